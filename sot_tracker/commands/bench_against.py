"""`sot-tracker bench --against DIR`: another checkout's build in alternation with this one, ratios pair by pair.

Machines are noisy: what runs minutes apart cannot be compared. So each pair is measured within seconds, and the median
of the ratios counts, not the ratio of the medians.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from sot_tracker.errors import UserError

Measure = Callable[[Path, dict[str, Any]], float]
"""(checkout, options of one run) -> milliseconds per frame in all."""


def require_checkout(folder: Path) -> None:
    """Raise UserError unless the folder holds this project's package."""
    if not (folder / "sot_tracker" / "bench.py").is_file():
        raise UserError(f"--against {folder} is not a checkout of sot_tracker: give its top folder")


def compare(
    here: Path, there: Path, jobs: Sequence[dict[str, Any]], rounds: int, measure: Measure, step: Callable[[], None]
) -> list[dict[str, Any]]:
    """Each job once per round here and there, the first turn changing; one row per job.

    "ratios" are here's milliseconds by there's, one for each round; "here_ms" and "there_ms" are medians. step: called
    after every run. Raises UserError where a build cannot run a job.
    """
    times: list[dict[str, list[float]]] = [{"here": [], "there": []} for _ in jobs]
    for number in range(rounds):
        for job, taken in zip(jobs, times, strict=True):
            order = [("here", here), ("there", there)]
            for name, checkout in order if number % 2 == 0 else reversed(order):
                taken[name].append(measure(checkout, job))
                step()
    rows = []
    for job, taken in zip(jobs, times, strict=True):
        ratios = [ours / theirs for ours, theirs in zip(taken["here"], taken["there"], strict=True)]
        middle = {f"{name}_ms": round(median(values), 3) for name, values in taken.items()}
        rows.append({**job, **middle, "ratio": round(median(ratios), 3), "ratios": [round(r, 3) for r in ratios]})
    return rows


def best_against_best(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per model and number of threads: this build's `auto`, or else its fastest run, against the other's fastest.

    Both have been measured in the same rounds, but not next to each other: a ratio of medians.
    """
    best = []
    for model, threads in dict.fromkeys((row["model"], row["threads"]) for row in rows):
        own = [row for row in rows if (row["model"], row["threads"]) == (model, threads)]
        ours = next((row for row in own if row.get("engine") == "auto"), min(own, key=lambda row: row["here_ms"]))
        theirs = min(own, key=lambda row: row["there_ms"])
        ratio = round(ours["here_ms"] / theirs["there_ms"], 3)
        chosen = {"here": ours.get("engine", ""), "there": theirs.get("engine", "")}
        best.append({"model": model, "threads": threads, **chosen, "ratio": ratio})
    return best


def measure_checkout(checkout: Path, job: dict[str, Any], frames: int, size: str, out: Path) -> float:
    """One run of `bench` in that checkout, in a process of its own. Raises UserError with what the process said."""
    command = [_python(checkout), "-m", "sot_tracker", "bench", "--no-pipeline", "--frames", str(frames)]
    command += ["--size", size, "--json", str(out)]
    for name, value in job.items():
        if value not in ("", None) and (name, value) != ("targets", 1):  # older builds know no --targets
            command += [f"--{name}", str(value)]
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
        raise UserError(f"{checkout} cannot run {job['model']} {job.get('engine', '')}: {said[:200]}")
    return float(json.loads(out.read_text(encoding="utf-8"))[0]["total_ms"])


def _python(checkout: Path) -> str:
    own = checkout / ".venv" / "bin" / "python"
    return str(own) if own.is_file() else sys.executable


def print_rows(rows: Sequence[dict[str, Any]], rounds: int) -> None:
    print(f"\nmilliseconds per frame in all; ratio here / there is the median of {rounds} pairs (lowest, highest)")
    print(f"{'model':<12} {'engine':<9} {'thr.':>4} {'tgt.':>4} {'here':>8} {'there':>8}  ratio")
    for row in rows:
        threads, low, high = row["threads"] or "auto", min(row["ratios"]), max(row["ratios"])
        print(
            f"{row['model']:<12} {row.get('engine', '-'):<9} {threads:>4} {row.get('targets', 1):>4}"
            f" {row['here_ms']:8.2f} {row['there_ms']:8.2f}  {row['ratio']:.2f} ({low:.2f}, {high:.2f})"
        )
    for row in best_against_best(rows):
        what = f"{row['model']}, {row['threads'] or 'auto'} threads"
        print(f"{what}: {row['here']} here / the fastest there, {row['there']}: {row['ratio']:.2f}")
