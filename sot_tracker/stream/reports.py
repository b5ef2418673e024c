"""The interface between a tracker and the web page or the MAVLink camera: reports of frames, and requests.

It has two implementations: a tracker in this process (`live.py`) and one in a ROS node (`ros/remote.py`).
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
"""State of a tracker that sends nothing."""

Answer = Callable[[str], None]
"""Callback for the outcome of a request: "" if it succeeded, else the reason in one line. Called once, from any
thread."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result for one frame, as it is shown.

    size: width and height of the frame in pixels, the frame of reference of `box`; None while it is not known.
    state: IDLE, SILENT or the name of a `tracker.State`. reason: why, in a word or two; may be empty. box: None if
    there is no target or its position is not known. fresh: whether the box is reliable enough to be published; if
    not, it is a guess. score: 0..1. probability, source: as in `Estimate`. latency_ms: from the capture of the frame,
    as far as it is known, to the result; NaN where unknown. frame: None if no pictures were requested. jpeg: the frame
    as a JPEG file, if it was received as one.
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
    """Requests to a tracker. They may be made from any thread and return at once; `answer` is called later."""

    def start(self, request: Request, answer: Answer) -> None:
        """Start on a target. The box is in pixels of the frame with the request's stamp, or of the newest for 0."""

    def stop(self, answer: Answer) -> None:
        """Stop tracking the target."""

    def choose(self, model: str, answer: Answer) -> None:
        """Load another model and continue with it. `answer` is called when it is loaded."""


def report_of(result: Result, latency_ms: float) -> Report:
    """The report of a frame that was processed here."""
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
