"""What other programs show of a tracker and ask of it: the interface between a tracker and the page or MAVLink.

There are two trackers behind it: one that runs here (`live.py`) and one that runs in a node (`ros/remote.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sot_tracker.box import Box
from sot_tracker.stream.follower import Result
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.requests import Request
from sot_tracker.tracker import Reason

IDLE = "IDLE"
"""State of a tracker without a target; the others are the names of `tracker.State`."""
SILENT = "SILENT"
"""State of a tracker of which nothing is heard."""

Answer = Callable[[str], None]
"""Receives "" where a request was accepted, else the reason in one line. Called once, from any thread."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one frame.

    size: width and height of the frame in pixels, the frame of reference of `box`; None while it is not known.
    state: IDLE, SILENT or the name of a `tracker.State`. reason: why, in a word or two; may be empty. box: None where
    there is no target or its place is not known. fresh: whether the box may be taken for the target's place in this
    frame; else it is a guess. score: 0..1. probability, source: as in `Estimate`. latency_ms: from the capture of the
    frame, as far as it is known, to the result; NaN where unknown. frame: None where nobody asked for pictures. jpeg:
    the frame as it came, where it came as a JPEG file.
    """

    stamp: int
    size: tuple[int, int] | None
    state: str = IDLE
    reason: str = ""
    box: Box | None = None
    fresh: bool = True
    score: float = 0.0
    probability: float = float("nan")
    latency_ms: float = float("nan")
    source: str = ""
    target_id: str = ""
    frame: Frame | None = None
    jpeg: bytes | None = None


class Control(Protocol):
    """What can be asked of a tracker, from any thread, without waiting."""

    def start(self, request: Request, answer: Answer) -> None:
        """Start on a target. The box is in pixels of the frame with the request's stamp, or of the newest for 0."""

    def stop(self, answer: Answer) -> None:
        """Forget the target."""

    def choose(self, model: str, answer: Answer) -> None:
        """Load another model and go on with it; the answer comes when it is loaded."""


def report_of(result: Result, latency_ms: float) -> Report:
    """The report of a frame that was followed in this process."""
    frame, estimate = result.frame, result.estimate
    if estimate is None:
        return Report(frame.stamp, frame.size, latency_ms=latency_ms, frame=frame)
    return Report(
        stamp=frame.stamp,
        size=frame.size,
        state=estimate.state.name,
        reason="" if estimate.reason is Reason.NONE else estimate.reason.value,
        box=estimate.box,
        fresh=estimate.is_reported,
        score=float(estimate.score),
        probability=float(estimate.probability),
        latency_ms=latency_ms,
        source=estimate.source,
        target_id=result.target_id,
        frame=frame,
    )
