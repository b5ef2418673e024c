"""Joins the messages about one frame that a tracker node publishes on several topics: picture, state and box."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sot_tracker.box import Box
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.reports import SILENT, Report

MAX_KEPT = 8
"""Largest number of incomplete frames that are kept."""
PATIENCE_S = 0.3
"""Seconds after which a frame is reported although messages are missing."""
WITH_BOX = ("TRACKING", "UNCERTAIN")
"""States in which a box is published."""


@dataclass(slots=True)
class _Parts:
    since: float
    state: Report | None = None
    boxes: dict[str, Box] = field(default_factory=dict)  # by target
    frame: Frame | None = None
    jpeg: bytes | None = None

    @property
    def box(self) -> Box | None:
        return self.boxes.get(self.state.target_id) if self.state is not None else None


class Joiner:
    """Takes every message and returns the report of a frame as soon as it is complete. Reports are in order.

    If there are several targets, one of them is reported, always the same while it is tracked; `show` chooses it.

    pictures: whether a report needs the picture. Messages are joined by their stamps, in nanoseconds, which may jump
    back, as in a recording that is repeated.
    """

    def __init__(self, pictures: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pictures, self._clock = pictures, clock
        self._parts: dict[int, _Parts] = {}
        self._target = ""  # the one that is reported
        self._target_stamp = -2  # of its newest state
        self._stamps = (-1, -1)  # of the newest states of any target: the last but one, the last

    def show(self, target_id: str) -> None:
        """Report this target from now on."""
        self._target, self._target_stamp = target_id, self._stamps[1]

    def picture(self, frame: Frame, jpeg: bytes | None = None) -> Report | None:
        """Take a picture. jpeg: the received data, if it is a JPEG file."""
        parts = self._of(frame.stamp)
        parts.frame, parts.jpeg = frame, jpeg
        return self._complete(frame.stamp)

    def state(self, state: Report) -> Report | None:
        """Take a state, as a report without box and picture."""
        if not self._is_shown(state):
            return None
        self._of(state.stamp).state = state
        return self._complete(state.stamp)

    def detection(self, stamp: int, box: Box, target_id: str) -> Report | None:
        self._of(stamp).boxes[target_id] = box
        return self._complete(stamp)

    def overdue(self) -> Report | None:
        """The report of the newest frame that has been incomplete for too long; SILENT if its state is missing."""
        late = [
            stamp
            for stamp, parts in self._parts.items()
            if self._clock() - parts.since > PATIENCE_S and self._is_enough(parts)
        ]
        return self._taken(late[-1]) if late else None

    def _is_shown(self, state: Report) -> bool:
        """Whether that target is the one to report. If a frame had no state of it, another one is chosen."""
        if state.stamp != self._stamps[1]:
            self._stamps = (self._stamps[1], state.stamp)
        if state.target_id != self._target and self._target_stamp not in self._stamps:
            self._target = state.target_id
        if state.target_id == self._target:
            self._target_stamp = state.stamp
        return state.target_id == self._target

    def _of(self, stamp: int) -> _Parts:
        if stamp not in self._parts:
            self._parts[stamp] = _Parts(self._clock())
            while len(self._parts) > MAX_KEPT:
                del self._parts[next(iter(self._parts))]
        return self._parts[stamp]

    def _is_enough(self, parts: _Parts) -> bool:
        """Whether these parts are enough for a report."""
        return parts.frame is not None if self._pictures else parts.state is not None

    def _complete(self, stamp: int) -> Report | None:
        parts = self._parts[stamp]
        if parts.state is not None and self._is_enough(parts) and not _lacks_box(parts):
            return self._taken(stamp)
        # A target that is UNCERTAIN for long has no box. When parts of the next frame arrive, none will come.
        earlier = list(self._parts)[: list(self._parts).index(stamp)]
        without = [s for s in earlier if _is_uncertain(self._parts[s]) and self._is_enough(self._parts[s])]
        return self._taken(without[-1]) if without else None

    def _taken(self, stamp: int) -> Report:
        """The report of that frame; earlier frames are dropped."""
        parts = self._parts[stamp]
        stamps = list(self._parts)
        for earlier in stamps[: stamps.index(stamp) + 1]:
            del self._parts[earlier]
        state = parts.state or Report(stamp, None, SILENT)
        size = parts.frame.size if parts.frame is not None else None
        return replace(state, size=size, box=parts.box, frame=parts.frame, jpeg=parts.jpeg)


def _lacks_box(parts: _Parts) -> bool:
    return parts.box is None and parts.state is not None and parts.state.state in WITH_BOX


def _is_uncertain(parts: _Parts) -> bool:
    return parts.state is not None and parts.state.state == "UNCERTAIN"
