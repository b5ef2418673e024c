"""Curves of a run: `curves.csv`, `validation.csv` and TensorBoard, with speed and the share of time spent waiting for
data.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

CURVES, VALIDATION = "curves.csv", "validation.csv"


class Report:
    """Collects steps and writes their means. A resumed run continues the files; rows past its step are dropped.

    out: the run's folder. step: where the run starts. enabled: False on all ranks but 0.
    """

    def __init__(self, out: Path, step: int, enabled: bool = True) -> None:
        self.out, self.enabled = out, enabled
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.steps = self.samples = 0
        self.waited = self.spent = 0.0
        self.board = None
        if enabled:
            (out / "pictures").mkdir(parents=True, exist_ok=True)
            for name in (CURVES, VALIDATION):
                _cut(out / name, step)
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(out / "tensorboard"), purge_step=step)

    def step(self, losses: dict[str, float], samples: int, waited: float, spent: float) -> None:
        """One optimiser step: its losses, pairs over all processes, seconds waited for data, seconds in all."""
        for name, value in losses.items():
            self.sums[name] += value
        self.steps += 1
        self.samples += samples
        self.waited += waited
        self.spent += spent

    def flush(self, step: int, rate: float) -> None:
        """Write the means since the last flush."""
        if self.steps:
            row = {name: total / self.steps for name, total in self.sums.items()}
            speed = {"samples_per_s": self.samples / self.spent, "wait_share": self.waited / self.spent}
            self._write(CURVES, step, {**row, "rate": rate, **speed})
        self.sums.clear()
        self.steps = self.samples = 0
        self.waited = self.spent = 0.0

    def validation(self, step: int, figures: dict[str, float]) -> None:
        self._write(VALIDATION, step, figures)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()

    def _write(self, name: str, step: int, values: dict[str, float]) -> None:
        if not self.enabled:
            return
        path = self.out / name
        fresh = not path.exists() or path.stat().st_size == 0
        with path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if fresh:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{v:.6g}" for v in values.values())])
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(f"{Path(name).stem}/{key}", value, step)


def _cut(path: Path, step: int) -> None:
    """Drop the rows of a CSV past `step`: an interrupted run may have written further than it saved."""
    if not path.exists():
        return
    head, *rows = path.read_text().splitlines() or [""]
    kept = [row for row in rows if row and int(row.split(",")[0]) <= step]
    path.write_text("\n".join([head, *kept]) + "\n" if head else "")
