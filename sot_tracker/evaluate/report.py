"""Writes the results of an evaluation: tables, summary.json, sequences.csv and plots."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sot_tracker.atomic import write_text
from sot_tracker.errors import UserError
from sot_tracker.evaluate.metrics import Results, over_all_frames, summarize
from sot_tracker.evaluate.plots import FILES as PLOTS
from sot_tracker.evaluate.plots import write_plots
from sot_tracker.tables import table

METRICS = {
    "ao": "AO (average overlap, GOT-10k)",
    "sr50": "SR0.5 (share of frames with overlap above 0.5, GOT-10k)",
    "sr75": "SR0.75 (share of frames with overlap above 0.75, GOT-10k)",
    "auc": "success AUC (LaSOT)",
    "precision": "precision at 20 px (LaSOT)",
    "norm_precision": "normalised precision AUC (LaSOT)",
    "fps": "fps (frames by time in update)",
    "presence_auc": "presence AUC (chance that the confidence is higher in a frame with the target than without it)",
    "false_confidence": "false confidence (share of frames without the target in which the state was TRACKING)",
    "false_reports": "false reports (share of frames without the target in which a box was reported)",
    "calibration_error": "calibration error (of the probability that the overlap is at least 0.5)",
}
_REQUIRED = ("ao", "sr50", "sr75", "auc", "precision", "norm_precision", "fps")
MAX_TABLE_ROWS = 40  # sequences; more are in sequences.csv alone
FILES = ("summary.json", "report.md", "sequences.csv", "worst", "submission")

Row = dict[str, float | None]


def require_own(out: Path) -> None:
    """Raise UserError if `out` has a file that would be overwritten and was not written by an evaluation."""
    if (out / "raw").is_dir() or not out.is_dir():
        return
    foreign = [name for name in (*FILES, *PLOTS) if (out / name).exists()]
    if foreign:
        raise UserError(f"--out '{out}' holds {foreign[0]}, which no evaluation wrote there: give another folder")


def write_report(
    results: Results,
    out: Path,
    about: dict[str, Any],
    notes: Collection[str] = (),
    plots: bool = True,
    more: str = "",
) -> str:
    """Write all files into `out` and return the tables as text.

    about: further entries of summary.json; about["data"] is the name of the data set. notes: lines below the title.
    more: text after the tables.
    Raises UserError if a file cannot be written.
    """
    rows = {label: {name: summarize([s]) for name, s in found.items()} for label, found in results.items()}
    overall = {label: summarize(found.values()) for label, found in results.items()}
    pooled = {label: over_all_frames(found.values()) for label, found in results.items()}
    text = "\n\n".join([_title(results, about["data"], notes), _overview(overall, rows)])
    text = "\n\n".join([text, *_metric_tables(rows, overall, pooled), *([more] if more else [])])
    summary = {
        "models": {label: {**values, "sequences": len(results[label])} for label, values in overall.items()},
        "over_all_frames": pooled,
        "notes": list(notes),
        **about,
    }
    write_text(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    write_text(out / "report.md", text + "\n")
    write_text(out / "sequences.csv", _csv(rows, results))
    if plots:
        write_plots(results, out, about["data"])
    return text


def _title(results: Results, data: str, notes: Collection[str]) -> str:
    found = next(iter(results.values()))
    frames = sum(scores.frames for scores in found.values())
    lines = [f"One-pass evaluation on {data}: {len(found)} sequence{'s' if len(found) > 1 else ''}, {frames} frames"]
    return "\n\n".join([*lines, *notes])


def _overview(overall: Mapping[str, Row], rows: Mapping[str, Mapping[str, Row]]) -> str:
    shown = _present(overall)
    body = [
        [label, *(_cell(m, values.get(m)) for m in shown), str(len(rows[label]))] for label, values in overall.items()
    ]
    return (
        "Overall: each value is the mean over sequences, so that long ones do not outweigh the others; fps, "
        "presence AUC and false confidence are over all frames\n\n"
        + table(["model", *(METRICS[m].split(" (")[0] for m in shown), "sequences"], body)
    )


def _metric_tables(
    rows: Mapping[str, Mapping[str, Row]], overall: Mapping[str, Row], pooled: Mapping[str, Row]
) -> list[str]:
    labels, tables = list(overall), []
    names = list(dict.fromkeys(name for found in rows.values() for name in found))
    shown = names if len(names) <= MAX_TABLE_ROWS else []
    for metric in _present(overall):
        lines = {name: [rows[label][name].get(metric) for label in labels] for name in shown}
        lines["overall"] = [overall[label].get(metric) for label in labels]
        if metric in pooled[labels[0]]:
            lines["all frames together"] = [pooled[label].get(metric) for label in labels]
        body = [[name, *(_cell(metric, value) for value in values)] for name, values in lines.items()]
        tables.append(f"{METRICS[metric]}\n\n" + table(["sequence", *labels], body))
    return tables


def _present(overall: Mapping[str, Row]) -> list[str]:
    """The required metrics, and others that some model has; only fps if there is no truth at all."""
    if all(values["auc"] is None for values in overall.values()):
        return ["fps"]
    return [m for m in METRICS if m in _REQUIRED or any(m in values for values in overall.values())]


def _cell(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if metric == "fps" else f"{value:.3f}"


def _csv(rows: Mapping[str, Mapping[str, Row]], results: Results) -> str:
    shown = [m for m in METRICS if m in _REQUIRED or any(m in row for found in rows.values() for row in found.values())]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["model", "sequence", "frames", "visible", *shown])
    for label, found in rows.items():
        for name, row in found.items():
            scores = results[label][name]
            values = ["" if (v := row.get(m)) is None else f"{v:.6g}" for m in shown]
            writer.writerow([label, name, scores.frames, int(scores.present.sum()) + 1, *values])
    return file.getvalue()
