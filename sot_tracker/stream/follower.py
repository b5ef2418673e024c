"""Which frame starts a target, and what is said of every frame: the node's logic, without ROS.

A `Follower` owns a tracker, the recent frames and the box request that waits for its frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from sot_tracker.box import Box, require_trackable
from sot_tracker.errors import UserError
from sot_tracker.stream.frame import Frame, FrameError
from sot_tracker.tracker import Estimate, Image, State, Tracker

Warn = Callable[[str, str], None]
"""warn(kind, text); the receiver throttles per kind."""


@dataclass(frozen=True, slots=True)
class Request:
    """Follow `box` from the frame with this stamp (nanoseconds) on; stamp 0 is the next frame."""

    box: Box
    stamp: int = 0
    target_id: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What is said of one frame.

    estimate: None without a target. convert_ms: decoding of the picture. tracker_ms: the tracker's own time.
    """

    frame: Frame
    target_id: str = ""
    estimate: Estimate | None = None
    convert_ms: float = 0.0
    tracker_ms: float = 0.0

    @property
    def detection(self) -> Estimate | None:
        """The estimate if it may be published as a detection: an old box is never told as a new one."""
        return self.estimate if self.estimate is not None and self.estimate.state is State.TRACKING else None


class Follower:
    """One target at a time through one stream of frames.

    history: recent frames kept, besides the newest, for requests that name an earlier frame.
    warn: told of everything odd that does not stop the work.
    """

    def __init__(self, tracker: Tracker, history: int, warn: Warn) -> None:
        self._tracker = tracker
        self._warn = warn
        self._recent: deque[Frame] = deque(maxlen=history + 1)
        self._pending: Request | None = None
        self._target_id = ""
        self._size: tuple[int, int] | None = None
        self._count = 0

    @property
    def target_id(self) -> str:
        """Of the target that is followed now; empty without one."""
        return self._target_id

    def stop(self) -> bool:
        """Forget the target and any waiting request; False if there was neither."""
        had = bool(self._target_id) or self._pending is not None
        self._target_id, self._pending, self._size = "", None, None
        return had

    def request(self, request: Request) -> Result | None:
        """Start on a new target: at once, catching up to the newest frame, if its frame was seen; else when it comes.

        The result is that of the newest frame, or None while the request waits.
        Raises UserError, changing nothing, for a box that cannot be tracked or a frame that is no longer kept.
        """
        if not request.box.is_valid:
            require_trackable(request.box, 1, 1)  # raises; the size of the frame is not known yet
        newest = self._recent[-1] if self._recent else None
        if newest is not None and 0 < request.stamp <= newest.stamp:
            return self._start(request)
        if newest is not None and request.stamp == 0:
            require_trackable(request.box, *_size(newest.image))
        self._pending = request
        return None

    def process(self, frame: Frame) -> Result:
        """Follow the target into the next frame. Raises FrameError, changing nothing, for a frame of no use."""
        if self._recent and frame.stamp < self._recent[-1].stamp:
            behind = (self._recent[-1].stamp - frame.stamp) * 1e-9
            self._warn(
                "stamp", f"stamp jumped back by {behind:.3f} s (bag loop, clock reset?): earlier frames forgotten"
            )
            self._recent.clear()
        due = self._pending is not None and (frame.stamp == 0 or self._pending.stamp <= frame.stamp)
        if self._size is not None and not due:
            self._require_size(frame)
        self._recent.append(frame)
        if due and self._pending is not None:
            request, self._pending = self._pending, None
            try:
                return self._start(request)
            except FrameError:
                self._pending = request
                self._recent.pop()
                raise
            except UserError as error:
                self._warn("init_box", f"init_box refused: {error}")
        if not self._target_id:
            return Result(frame)
        self._require_size(frame)
        return self._follow(frame)

    def _start(self, request: Request) -> Result:
        frames = list(self._recent)
        first = self._frame_of(request, frames)
        start = time.perf_counter()
        image = frames[first].image
        converted = time.perf_counter()
        self._tracker.init(image, request.box)
        done = time.perf_counter()
        self._count += 1
        self._target_id = request.target_id or str(self._count)
        self._size = _size(image)
        self._pending = None
        estimate = Estimate(request.box, 1.0, State.TRACKING, {"init": (done - converted) * 1e3})
        result = Result(frames[first], self._target_id, estimate, (converted - start) * 1e3, (done - converted) * 1e3)
        for frame in frames[first + 1 :]:
            result = self._catch_up(frame, result)
        return result

    def _catch_up(self, frame: Frame, so_far: Result) -> Result:
        try:
            self._require_size(frame)
        except FrameError:  # told when it came; what counts is the newest usable frame
            return so_far
        result = self._follow(frame)
        return replace(
            result,
            convert_ms=so_far.convert_ms + result.convert_ms,
            tracker_ms=so_far.tracker_ms + result.tracker_ms,
        )

    def _frame_of(self, request: Request, frames: list[Frame]) -> int:
        """Index of the frame whose stamp is nearest to the request's; the newest for stamp 0 or unstamped frames."""
        if request.stamp == 0 or frames[-1].stamp == 0:
            return len(frames) - 1
        if request.stamp < frames[0].stamp:
            late = (frames[0].stamp - request.stamp) * 1e-9
            raise UserError(
                f"its frame is {late:.3f} s older than the oldest of {len(frames)} kept: "
                "send it sooner, with stamp 0 for the next frame, or raise frame_history"
            )
        return min(range(len(frames)), key=lambda index: abs(frames[index].stamp - request.stamp))

    def _follow(self, frame: Frame) -> Result:
        start = time.perf_counter()
        image = frame.image
        converted = time.perf_counter()
        estimate = self._tracker.update(image)
        spent = time.perf_counter() - converted
        return Result(frame, self._target_id, estimate, (converted - start) * 1e3, spent * 1e3)

    def _require_size(self, frame: Frame) -> None:
        size = _size(frame.image)
        if size != self._size and self._size is not None:
            raise FrameError(
                "resized",
                f"frame is {size[0]}x{size[1]} but the target was given in {self._size[0]}x{self._size[1]}: "
                "frame refused; send a new init_box to follow in the new size",
            )


def _size(image: Image) -> tuple[int, int]:
    return image.shape[1], image.shape[0]
