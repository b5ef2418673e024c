"""What an evaluation leaves: tables, summary.json, sequences.csv and plots."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sot_tracker.errors import MissingPackage
from sot_tracker.evaluate.metrics import (
    FRACTIONS,
    OVERLAPS,
    PIXELS,
    PRECISION_AT,
    SequenceScores,
    over_all_frames,
    summarize,
)

METRICS = {
    "ao": "AO (average overlap, GOT-10k)",
    "sr50": "SR0.5 (share of frames with overlap above 0.5, GOT-10k)",
    "sr75": "SR0.75 (share of frames with overlap above 0.75, GOT-10k)",
    "auc": "success AUC (LaSOT)",
    "precision": "precision at 20 px (LaSOT)",
    "norm_precision": "normalised precision AUC (LaSOT)",
    "fps": "fps (frames by time in update)",
    "presence_auc": "presence AUC (score above in frames with the target)",
    "false_confidence": "false confidence (share of frames without the target said to be tracked)",
}
_REQUIRED = ("ao", "sr50", "sr75", "auc", "precision", "norm_precision", "fps")
LONGEST_TABLE = 40  # sequences; more are in sequences.csv alone

Results = Mapping[str, Mapping[str, SequenceScores]]
"""label -> sequence name -> scores."""
Row = dict[str, float | None]


def require_plots() -> None:
    """Raises UserError where matplotlib is missing, so that nobody learns of it after hours."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingPackage("matplotlib", "plotting in `sot-tracker eval`", "pip install matplotlib") from None


def write_report(results: Results, out: Path, about: dict[str, Any], plots: bool = True) -> str:
    """Write all files into `out` and return the tables as text. `about` goes into summary.json as it is."""
    rows = {label: {name: summarize([s]) for name, s in found.items()} for label, found in results.items()}
    overall = {label: summarize(found.values()) for label, found in results.items()}
    pooled = {label: over_all_frames(found.values()) for label, found in results.items()}
    text = "\n\n".join([*_metric_tables(rows, overall, pooled), _overview(overall, rows)])
    summary = {
        "models": {label: {**values, "sequences": len(results[label])} for label, values in overall.items()},
        "over_all_frames": pooled,
        **about,
    }
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (out / "report.md").write_text(text + "\n", encoding="utf-8")
    _write_csv(rows, results, out / "sequences.csv")
    if plots:
        _plots(results, out)
    return text


def _metric_tables(
    rows: Mapping[str, Mapping[str, Row]], overall: Mapping[str, Row], pooled: Mapping[str, Row]
) -> list[str]:
    labels, tables = list(overall), []
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    shown = names if len(names) <= LONGEST_TABLE else []
    for metric in _present(overall):
        lines = {name: [rows[label][name].get(metric) for label in labels] for name in shown}
        lines["overall"] = [overall[label].get(metric) for label in labels]
        if metric in pooled[labels[0]]:
            lines["all frames together"] = [pooled[label].get(metric) for label in labels]
        body = [[name, *(_cell(metric, value) for value in values)] for name, values in lines.items()]
        tables.append(f"{METRICS[metric]}\n\n" + table(["sequence", *labels], body))
    return tables


def _overview(overall: Mapping[str, Row], rows: Mapping[str, Mapping[str, Row]]) -> str:
    shown = _present(overall)
    body = [
        [label, *(_cell(m, values.get(m)) for m in shown), str(len(rows[label]))] for label, values in overall.items()
    ]
    return "Overall\n\n" + table(["model", *(METRICS[m].split(" (")[0] for m in shown), "sequences"], body)


def table(head: list[str], body: list[list[str]], right: Collection[str] | None = None) -> str:
    """A Markdown table with aligned columns; `right` names those set to the right, all but the first if not given."""
    at_right = [name in right if right is not None else i > 0 for i, name in enumerate(head)]
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    columns = list(zip(widths, at_right, strict=True))
    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in columns]
    lines = [
        [cell.rjust(w) if r else cell.ljust(w) for cell, (w, r) in zip(row, columns, strict=True)]
        for row in [head, rule, *body]
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _present(overall: Mapping[str, Row]) -> list[str]:
    """The required metrics, and the others where some model has them."""
    return [m for m in METRICS if m in _REQUIRED or any(m in values for values in overall.values())]


def _cell(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if metric == "fps" else f"{value:.3f}"


def _write_csv(rows: Mapping[str, Mapping[str, Row]], results: Results, path: Path) -> None:
    shown = [m for m in METRICS if m in _REQUIRED or any(m in row for found in rows.values() for row in found.values())]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "sequence", "frames", "visible", *shown])
        for label, found in rows.items():
            for name, row in found.items():
                present = results[label][name].present
                values = ["" if (v := row.get(m)) is None else f"{v:.6g}" for m in shown]
                writer.writerow([label, name, len(present) + 1, int(present.sum()) + 1, *values])


def _plots(results: Results, out: Path) -> None:
    _plot(results, "success", OVERLAPS, "overlap threshold", None, out)
    _plot(results, "precision", PIXELS, "centre error threshold, pixels", PRECISION_AT, out)
    _plot(results, "norm_precision", FRACTIONS, "centre error threshold, true widths and heights", None, out)


def _plot(results: Results, curve: str, x: Any, x_label: str, at: int | None, out: Path) -> None:
    """Mean curves over sequences; the legend gives the value at index `at`, or the mean of the curve."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    curves = {label: np.mean([getattr(s, curve) for s in found.values()], axis=0) for label, found in results.items()}
    value = {label: float(y.mean() if at is None else y[at]) for label, y in curves.items()}
    for label in sorted(curves, key=lambda name: -value[name]):
        axes.plot(x, curves[label], label=f"{label} [{value[label]:.3f}]")
    axes.set(xlabel=x_label, ylabel="share of frames", title=curve.replace("_", " "), xlim=(x[0], x[-1]), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out / f"{curve}.png", dpi=150)
