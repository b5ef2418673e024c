"""Plots of an evaluation and of calibrations, as PNG. Curves differ in line style and marker, so they can be printed in
grey.
"""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from sot_tracker.atomic import new_file
from sot_tracker.errors import MissingPackage
from sot_tracker.evaluate.metrics import FRACTIONS, OVERLAPS, PIXELS, PRECISION_AT, Results
from sot_tracker.stats import calibration_bins, calibration_error

FILES = ("success.png", "precision.png", "norm_precision.png")
MIN_FRAMES = 20
"""Smallest number of frames for a point of a calibration diagram's thin lines."""
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v")


def require_plots(user: str = "plotting in `sot-tracker eval`") -> None:
    """Raise UserError without matplotlib. To be called first, not after hours of evaluation."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingPackage("matplotlib", user, "pip install matplotlib") from None


def write_plots(results: Results, out: Path, data: str) -> None:
    """Write the three curves, means over the sequences with truth; nothing if there is no such sequence."""
    judged = {label: [s for s in found.values() if s.judged] for label, found in results.items()}
    count = len(next(iter(judged.values())))
    if not count:
        return
    where = f"{data}, {count} sequence{'s' if count > 1 else ''}"
    _plot(judged, "success", OVERLAPS, "overlap threshold", None, f"success: {where}", out)
    _plot(judged, "precision", PIXELS, "centre error threshold, pixels", PRECISION_AT, f"precision: {where}", out)
    x_label = "centre error threshold, true widths and heights"
    _plot(judged, "norm_precision", FRACTIONS, x_label, None, f"normalised precision: {where}", out)


def _plot(judged: Any, curve: str, x: Any, x_label: str, at: int | None, title: str, out: Path) -> None:
    """Plot one curve per model, best first. The legend has its value at index `at`, or its mean if `at` is None."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    curves = {label: np.mean([getattr(s, curve) for s in found], axis=0) for label, found in judged.items()}
    value = {label: float(y.mean() if at is None else y[at]) for label, y in curves.items()}
    styles = zip(cycle(_DASHES), cycle(_MARKERS), strict=False)  # 20 different pairs
    for number, (label, (dash, marker)) in enumerate(
        zip(sorted(curves, key=lambda n: -value[n]), styles, strict=False)
    ):
        every = (number % 5, max(1, len(x) // 8))
        axes.plot(x, curves[label], dash, marker=marker, ms=4, markevery=every, label=f"{label} [{value[label]:.3f}]")
    axes.set(xlabel=x_label, ylabel="share of frames", title=title, xlim=(x[0], x[-1]), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    with new_file(out / f"{curve}.png") as unfinished:
        figure.savefig(unfinished, dpi=150)


def write_calibration(path: Path, probability: Any, right: Any, kind: Any, title: str) -> None:
    """Write a calibration diagram: share of right boxes over predicted probability, and the number of frames.

    probability: N, 0..1. right: N, whether the box was right. kind: N, number of the data set. If there are several,
    each has a thin line of its own, with points of at least `MIN_FRAMES` frames. Raises UserError if the file cannot be
    written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts, sums, hits = calibration_bins(probability, right)
    edges, kinds = np.linspace(0, 1, len(counts) + 1), np.unique(kind)
    figure = Figure(figsize=(4.2, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot((0, 1), (0, 1), "--", color="0.5", label="as predicted")
    for number in kinds if len(kinds) > 1 else ():
        of = calibration_bins(probability[kind == number], right[kind == number])
        name = "of one data set" if number == kinds[0] else None
        upper.plot(*_shares(*of, MIN_FRAMES), "-", lw=0.8, color="tab:orange", label=name)
    error = calibration_error(probability, right)
    upper.plot(*_shares(counts, sums, hits), "o-", color="tab:blue", label=f"observed [error {error:.3f}]")
    upper.set(ylabel="share of right boxes", title=title, xlim=(0, 1), ylim=(0, 1))
    upper.grid(alpha=0.3)
    upper.legend(loc="upper left")
    bars = lower.bar(edges[:-1], counts, width=edges[1], align="edge", color="0.7", edgecolor="0.4")
    lower.bar_label(bars, labels=[f"{count:.0f}" for count in counts], fontsize=7)
    lower.set(xlabel="probability that the box is right", ylabel="frames", ylim=(0, 1.2 * counts.max()))
    with new_file(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=100)


def _shares(counts: Any, sums: Any, hits: Any, min_frames: int = 1) -> tuple[Any, Any]:
    """Mean probability and share of right boxes of the bins with at least `min_frames` frames."""
    some = counts >= min_frames
    return sums[some] / counts[some], hits[some] / counts[some]
