"""From a recording of one clip to its boxes file, its summary and its debug video."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sot_tracker.box import Box
from sot_tracker.ros import messages
from sot_tracker.ros_tools.harness import Recording
from sot_tracker.stream.draw import draw_estimate, draw_text
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.statistics import percentiles
from sot_tracker.stream.video_writer import VideoWriter
from sot_tracker.tracker import Estimate, Image, State

LABELS = {
    "frames lost by the tracker": "frames with state LOST",
    "frames uncertain": "frames with state UNCERTAIN",
    "overlap": "overlap with the true box",
    "success 0.5": "share of overlaps above 0.5",
}
"""What the table calls some keys of the summary."""
STATES = {1: State.TRACKING, 2: State.LOST, 3: State.UNCERTAIN}


@dataclass(frozen=True, slots=True)
class Row:
    """The node's results of one frame. state: that of the estimate, "idle", or "dropped" where there is none."""

    index: int
    stamp: int
    state: str = "dropped"
    box: Box | None = None
    score: float = math.nan
    age_ms: float = math.nan
    stages: tuple[tuple[str, float], ...] = ()
    probability: float = math.nan
    source: str = "tracker"
    look_age_ms: float = 0.0


def read_log(path: Path) -> list[tuple[int, int]]:
    """(index, stamp) of every frame the player sent."""
    with path.open(newline="") as lines:
        return [(int(row["index"]), int(row["stamp"])) for row in csv.DictReader(lines)]


def rows_of(sent: list[tuple[int, int]], recording: Recording) -> list[Row]:
    """One row per frame sent, in order."""
    return [_row(index, stamp, recording) for index, stamp in sent]


def _row(index: int, stamp: int, recording: Recording) -> Row:
    state, detection = recording.states.get(stamp), recording.detections.get(stamp)
    if state is None:
        return Row(index, stamp)
    return Row(
        index,
        stamp,
        STATES[state.state].value if state.state in STATES else "idle",
        messages.box_of(detection) if detection is not None else None,
        state.score,
        state.frame_age_ms,
        tuple(zip(state.stage_names, state.stage_ms, strict=True)),
        state.probability,
        state.source,
        state.look_age_ms,
    )


def write_boxes(path: Path, rows: list[Row]) -> None:
    """CSV: index, stamp, state, x, y, w, h, score, age_ms; without numbers where there is no box."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("index", "stamp", "state", "x", "y", "w", "h", "score", "age_ms"))
        for row in rows:
            box = [f"{value:.3f}" for value in row.box.xywh] if row.box else [""] * 4
            numbers = ["" if math.isnan(v) else f"{v:.4f}" for v in (row.score, row.age_ms)]
            writer.writerow((row.index, row.stamp, row.state, *box, *numbers))


def summarize(rows: list[Row], recording: Recording, truth: Any | None) -> dict[str, Any]:
    """Frames in, processed, dropped; fps; latency p50/p95 by stage; overlap with the truth, where there is one.

    truth: N x 4 boxes by index, NaN or empty where the target is absent.
    """
    processed = [row for row in rows if row.state != "dropped"]
    span = (processed[-1].stamp - processed[0].stamp) * 1e-9 if len(processed) > 1 else math.nan
    summary: dict[str, Any] = {
        "frames in": len(rows),
        "frames processed": len(processed),
        "frames dropped": len(rows) - len(processed),
        "frames lost by the tracker": sum(row.state == "lost" for row in rows),
        "frames uncertain": sum(row.state == "uncertain" for row in rows),
        "fps": (len(processed) - 1) / span,
        "latency ms": _latencies(processed, recording),
    }
    if truth is not None:
        overlaps = [_overlap(row, truth[row.index]) for row in processed if _present(truth, row.index)]
        summary["overlap"] = float(np.mean(overlaps)) if overlaps else math.nan
        summary["success 0.5"] = float(np.mean(np.array(overlaps) > 0.5)) if overlaps else math.nan
    return summary


def _present(truth: Any, index: int) -> bool:
    return index < len(truth) and Box.from_xywh(truth[index]).is_valid


def _overlap(row: Row, truth: Any) -> float:
    return row.box.iou(Box.from_xywh(truth)) if row.box else 0.0


def _latencies(rows: list[Row], recording: Recording) -> dict[str, dict[str, float]]:
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, ms in row.stages:
            values.setdefault(name, []).append(ms)
    values["age of the frame"] = [row.age_ms for row in rows]
    latencies = {name: dict(zip(("p50", "p95"), percentiles(of), strict=True)) for name, of in values.items()}
    if "overhead p50 ms" in recording.diagnostics:
        latencies["node overhead"] = {p: float(recording.diagnostics[f"overhead {p} ms"]) for p in ("p50", "p95")}
    return latencies


def table(summary: dict[str, Any]) -> str:
    """The summary as a person reads it."""
    lines = []
    for key, value in summary.items():
        name = LABELS.get(key, key)
        if name == "latency ms":
            lines += [f"  {'latency ms':<28}{'p50':>9}{'p95':>9}"]
            lines += [f"    {stage:<26}{of['p50']:9.2f}{of['p95']:9.2f}" for stage, of in value.items()]
        else:
            lines.append(f"  {name:<28}{value:9.3f}" if isinstance(value, float) else f"  {name:<28}{value!s:>9}")
    return "\n".join(lines)


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    path.write_text(json.dumps(summary, indent=1) + "\n")


def write_video(path: Path, frames: Iterator[Frame], rows: list[Row], truth: Any | None, fps: float, name: str) -> None:
    """The clip with what the node reported of each frame; in frames it dropped, its last box in grey.

    Raises UserError if OpenCV cannot write MP4 here or the disk is full.
    """
    writer: VideoWriter | None = None
    last: Box | None = None
    for row, frame in zip(rows, frames, strict=False):
        image = frame.image
        if writer is None:
            writer = VideoWriter(path, fps, (image.shape[1], image.shape[0]), f"'{path}'")
        last = row.box if row.state != "dropped" else last
        writer.write(_picture(image, row, last, truth, name))
    if writer is not None:
        writer.close()


def _picture(frame: Image, row: Row, last: Box | None, truth: Any | None, name: str) -> Image:
    true = Box.from_xywh(truth[row.index]) if truth is not None and _present(truth, row.index) else None
    if row.box is None:
        return draw_text(frame, f"{name}  {row.state}", true, last if row.state == "dropped" else None)
    times = {stage: ms for stage, ms in row.stages if stage not in ("process", "convert")}
    age, probability = row.look_age_ms, row.probability
    estimate = Estimate(row.box, row.score, State(row.state), times, row.source, age, probability=probability)
    return draw_estimate(frame, estimate, name, true)
