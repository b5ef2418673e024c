"""Evaluation in real time: frames arrive at the times of a clock, whether or not the tracker is ready.

Of the frames that arrive while the tracker is running, only the newest is processed; the others are missed. One run is
scored by two rules for the box of a frame:

- streaming accuracy (Li, Wang and Ramanan, Towards Streaming Perception, ECCV 2020): the newest box published before
  the next frame arrives, whichever frame it was computed from. (The paper takes the box at the frame's own arrival;
  here the tracker has the time of one frame.)
- VOT's real-time rule (Kristan et al., VOT2017): the box computed from the frame itself, however late; for a missed
  frame, the box of the last processed frame before it.

The start is not timed: the clock begins when `init` has returned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sot_tracker.datasets.records import Sequence
from sot_tracker.errors import UserError
from sot_tracker.evaluate import raw
from sot_tracker.evaluate.metrics import SequenceScores, measure, summarize
from sot_tracker.stream.range16 import Range16
from sot_tracker.tables import table
from sot_tracker.tracker import Image, State, Tracker

_COLUMNS = "at,frame,x,y,w,h,score,tracking,reported"
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answer:
    """A published result. at: seconds since the first frame arrived. frame: number of the processed frame."""

    at: float
    frame: int
    box: tuple[float, float, float, float]
    score: float
    tracking: bool
    reported: bool


@dataclass(frozen=True, eq=False)
class Run:
    """A real-time run on a sequence of N frames of size (width, height).

    streaming, vot: N x 4, the box of each frame by either rule. fresh: N, whether the streaming box was computed from
    that frame and reported. answers: the published results in order.
    """

    streaming: Array
    vot: Array
    fresh: Mask
    answers: tuple[Answer, ...]
    size: tuple[int, int]


def follow(
    tracker: Tracker,
    sequence: Sequence,
    fps: float,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """Track the target while frames arrive `fps` times per second by `clock` (seconds).

    All pictures are read first, so a sequence must fit into memory. Raises UserError naming the sequence.
    """
    try:
        range16 = Range16()
        images = [sequence.picture(index, range16) for index in range(len(sequence.frames))]
        answers = _answers(tracker, images, sequence, fps, clock, sleep)
    except UserError as error:
        raise UserError(f"sequence '{sequence.name}': {error}") from None
    return _run(answers, len(images), fps, (images[0].shape[1], images[0].shape[0]))


def save(path: Path, run: Run, made_with: dict[str, Any]) -> None:
    """Write the answers of a run with all their digits. Raises UserError if the file cannot be written."""
    table = [[a.at, a.frame, *a.box, a.score, a.tracking, a.reported] for a in run.answers]
    raw.write_table(path, table, _COLUMNS, "%.17g", run.size, made_with)


def load(path: Path, count: int, fps: float) -> Run:
    """Read a file of `save`, of a run on `count` frames. Raises UserError if it is damaged."""
    rows, size = raw.read_table(path, _COLUMNS)
    if not np.isin(rows[:, 1], np.arange(count)).all():
        raise UserError(f"result '{path}' has frames that the sequence does not have: remove it and run again")
    answers = [
        Answer(at, int(frame), (x, y, w, h), score, bool(tracking), bool(reported))
        for at, frame, x, y, w, h, score, tracking, reported in rows.tolist()
    ]
    return _run(answers, count, fps, size)


def _run(answers: list[Answer], count: int, fps: float, size: tuple[int, int]) -> Run:
    streaming, fresh = _streaming(answers, count, fps)
    return Run(streaming, _vot(answers, count), fresh, tuple(answers), size)


def _answers(
    tracker: Tracker,
    images: list[Image],
    sequence: Sequence,
    fps: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[Answer]:
    tracker.init(images[0], sequence.first_box, 0)
    begin, done = clock(), 0
    answers = [Answer(0.0, 0, sequence.first_box.xywh, 1.0, True, True)]
    while done < len(images) - 1:
        newest = min(int((clock() - begin) * fps + 1e-9), len(images) - 1)
        if newest <= done:
            sleep(max(0.0, begin + (done + 1) / fps - clock()))
            continue
        estimate = tracker.update(images[newest], round(newest * 1e9 / fps))
        done = newest
        seen = estimate.state is State.TRACKING
        box, at = estimate.box.xywh, clock() - begin
        answers.append(Answer(at, newest, box, estimate.score, seen, estimate.is_reported))
    return answers


def _streaming(answers: list[Answer], count: int, fps: float) -> tuple[Array, Mask]:
    """For each frame, the newest box published before the next frame arrives, and whether it is fresh (see `Run`)."""
    boxes, fresh, newest = np.empty((count, 4)), np.zeros(count, np.bool_), 0
    for frame in range(count):
        while newest + 1 < len(answers) and answers[newest + 1].at <= (frame + 1) / fps + 1e-9:
            newest += 1
        boxes[frame] = answers[newest].box
        fresh[frame] = answers[newest].frame == frame and answers[newest].reported
    return boxes, fresh


def _vot(answers: list[Answer], count: int) -> Array:
    """For each frame, the box of the last processed frame up to and including it."""
    boxes = np.empty((count, 4))
    ends = [answer.frame for answer in answers[1:]] + [count]
    for answer, end in zip(answers, ends, strict=True):
        boxes[answer.frame : end] = answer.box
    return boxes


@dataclass(frozen=True, slots=True)
class Row:
    """A tracker's figures, means over sequences. ratio: success AUC in real time divided by success AUC offline."""

    auc: float | None
    precision: float | None
    vot_auc: float | None
    offline_auc: float | None
    ratio: float | None
    fresh: float


def row(runs: list[tuple[Sequence, Run]], offline: Mapping[str, SequenceScores]) -> Row:
    """The figures of one tracker. offline: name of a sequence -> its scores without a time limit."""
    streaming, vot = ([_scores(s, getattr(run, rule)) for s, run in runs] for rule in ("streaming", "vot"))
    fresh = float(np.mean([run.fresh[1:].mean() for _, run in runs]))
    live, by_vot = summarize(streaming), summarize(vot)
    offline_auc = summarize([offline[s.name] for s, _ in runs])["auc"]
    ratio = live["auc"] / offline_auc if live["auc"] is not None and offline_auc else None
    return Row(live["auc"], live["precision"], by_vot["auc"], offline_auc, ratio, fresh)


def _scores(sequence: Sequence, boxes: Array) -> SequenceScores:
    count = len(boxes)
    size = (10**6, 10**6)  # of the frames; the success curve does not depend on it
    certain = np.ones(count, np.bool_)
    truth, visible, known = sequence.truth, sequence.visible, sequence.known
    return measure(boxes, np.ones(count), certain, np.ones(count), truth, visible, size, known)


def report(rows: Mapping[str, Row], fps: float) -> str:
    """The table, one line per tracker."""
    head = ["model", "success AUC", "precision", "AUC, VOT's rule", "AUC offline", "ratio", "fresh boxes"]
    body = [
        [label, *(_cell(v) for v in (r.auc, r.precision, r.vot_auc, r.offline_auc, r.ratio, r.fresh))]
        for label, r in rows.items()
    ]
    return (
        f"In real time, {fps:g} frames per second. success AUC, precision: by the newest box published before the next"
        " frame arrives; ratio: of that success AUC to the one offline; fresh boxes: share of frames with a box of"
        " their own in time\n\n" + table(head, body)
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
