"""Puts together what a tracker node says of one frame in several messages: picture, state and box."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sot_tracker.box import Box
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.reports import SILENT, Report

MAX_KEPT = 8
"""Frames of which not everything has come yet."""
PATIENCE_S = 0.3
"""Seconds after which a frame is reported without what has not come."""
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
    """Give it every message; it gives a report of a frame as soon as all is there, and never of an earlier one after.

    Of several targets one is reported, always the same while it is followed; `show` chooses it.

    pictures: whether a report needs the picture. Messages belong together by their stamps, in nanoseconds, which may
    jump back, as those of a recording that begins again.
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
        """jpeg: the picture as it came, where that is a JPEG file."""
        parts = self._of(frame.stamp)
        parts.frame, parts.jpeg = frame, jpeg
        return self._complete(frame.stamp)

    def state(self, state: Report) -> Report | None:
        """A report without box and picture."""
        if not self._is_shown(state):
            return None
        self._of(state.stamp).state = state
        return self._complete(state.stamp)

    def detection(self, stamp: int, box: Box, target_id: str) -> Report | None:
        self._of(stamp).boxes[target_id] = box
        return self._complete(stamp)

    def overdue(self) -> Report | None:
        """The newest frame that has waited too long, as far as it is known; SILENT where its state did not come."""
        late = [
            stamp
            for stamp, parts in self._parts.items()
            if self._clock() - parts.since > PATIENCE_S and self._is_enough(parts)
        ]
        return self._taken(late[-1]) if late else None

    def _is_shown(self, state: Report) -> bool:
        """Whether that target is the one to report. Another takes its place when a whole frame had no state of it."""
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
        """Whether a report can be made of them."""
        return parts.frame is not None if self._pictures else parts.state is not None

    def _complete(self, stamp: int) -> Report | None:
        parts = self._parts[stamp]
        if parts.state is not None and self._is_enough(parts) and not _lacks_box(parts):
            return self._taken(stamp)
        # A tracker that is uncertain for long publishes no box any more: parts of the next frame show that none comes.
        earlier = list(self._parts)[: list(self._parts).index(stamp)]
        without = [s for s in earlier if _is_uncertain(self._parts[s]) and self._is_enough(self._parts[s])]
        return self._taken(without[-1]) if without else None

    def _taken(self, stamp: int) -> Report:
        """The report of that frame; what came before it is forgotten."""
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
