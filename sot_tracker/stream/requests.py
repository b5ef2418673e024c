"""A request to track a box, and how long it may wait for its frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sot_tracker.box import Box

SAME_CLOCK_S = 2.0
"""If two clocks differ by less than this, they are taken to be one."""


@dataclass(frozen=True, slots=True)
class Request:
    """Track `box` from the frame with this stamp (nanoseconds) on; stamp 0 means the next frame.

    origin: the topic, service or parameter that the request came from; log lines begin with it.
    """

    box: Box
    stamp: int = 0
    target_id: str = ""
    origin: str = "init_box"


class Waiting:
    """A request that waits for a frame with its stamp, at most `patience` seconds while frames come.

    A request with stamp 0 waits for the next frame without a time limit.
    """

    def __init__(self, request: Request, patience: float, steady: Callable[[], float] = time.monotonic) -> None:
        self.request = request
        self._patience, self._steady = patience, steady
        self._since: float | None = None

    def is_due(self, stamp: int) -> bool:
        """Whether the request starts in the frame with this stamp. Without stamps (0) it starts in any frame."""
        return stamp == 0 or self.request.stamp <= stamp

    def is_over(self) -> bool:
        """Whether the request has waited too long. To be called for every frame in which it does not start."""
        now = self._steady()
        self._since = now if self._since is None else self._since
        return self.request.stamp > 0 and now - self._since >= self._patience


def clock_report(box: int, frame: int, now: int) -> str:
    """Text for the log that explains why a box's stamp is later than the newest frame's: which clocks disagree.

    box, frame: stamps of the box and of the newest frame; now: this node's clock; all in nanoseconds.
    """
    ahead = f"its stamp is {(box - frame) * 1e-9:.3f} s later than the newest frame's"
    behind, early = (now - frame) * 1e-9, (box - now) * 1e-9
    if abs(early) <= SAME_CLOCK_S < abs(behind):
        where = f"the frames' stamps are {abs(behind):.3f} s {'behind' if behind > 0 else 'ahead of'} this node's clock"
        why = "a recording played without use_sim_time, or a camera driver with a clock of its own"
    elif abs(behind) <= SAME_CLOCK_S < abs(early):
        where = f"its sender's clock is {abs(early):.3f} s {'ahead of' if early > 0 else 'behind'} this node's"
        why = "clocks of two computers that are not synchronized"
    else:
        where = f"this node's clock is {behind:.3f} s after the frames' and {-early:.3f} s after the box's stamp"
        why = "frames and box come from different recordings or computers"
    return f"{ahead}; {where} ({why}): send the box with stamp 0 for the next frame"
