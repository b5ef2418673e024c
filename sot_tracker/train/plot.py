"""The learning curves of a run as one picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

SMOOTHED = 9
"""Rows whose mean is drawn: single rows of a small batch hide the course."""


def curves(out: Path, losses: str, validation: str) -> None:
    """Write `curves.png` from a run's two CSV files: losses on the left, held-back figures on the right."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, name, left_out in ((left, losses, ("rate", "samples_per_s", "wait_share")), (right, validation, ())):
        table = _read(out / name)
        steps = table.pop("step", np.empty(0))
        width = min(SMOOTHED, len(steps)) if axes is left else 1
        for key in (key for key in table if key not in left_out and width):
            mean = np.convolve(table[key], np.full(width, 1 / width), "valid")
            axes.plot(steps[width - 1 :], mean, marker="" if axes is left else ".", label=key)
        axes.set(xlabel="step", title="losses" if axes is left else "held-back pairs")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    figure.savefig(out / "curves.png", dpi=90)


def _read(path: Path) -> dict[str, np.ndarray]:
    """Columns by name; empty where the file is not there yet."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        head, *rows = list(csv.reader(file))
    return dict(zip(head, np.array(rows, float).T, strict=False))
