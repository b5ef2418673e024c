"""The node's logic for one target, without ROS: in which frame it starts, and the result for every frame.

A `Follower` has a tracker, the recent frames, and possibly a request that waits for its frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice

from sot_tracker.box import require_trackable
from sot_tracker.errors import UserError
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.frame import Frame, History
from sot_tracker.stream.requests import Request, Waiting, clock_report
from sot_tracker.tracker import Estimate, Tracker

Warn = Callable[[str, str], None]
"""warn(kind, text); the receiver throttles per kind."""

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one frame.

    estimate: None without a target. convert_ms: time to decode the picture. tracker_ms: time spent in the tracker.
    is_start: whether the target was given anew, in this frame or in an earlier one from which it was caught up.
    """

    frame: Frame
    target_id: str = ""
    estimate: Estimate | None = None
    convert_ms: float = 0.0
    tracker_ms: float = 0.0
    is_start: bool = False

    @property
    def detection(self) -> Estimate | None:
        """The estimate if it may be published as a detection, see `Estimate.is_reported`; otherwise None."""
        return self.estimate if self.estimate is not None and self.estimate.is_reported else None


class Follower:
    """Tracks one target at a time through one stream of frames.

    history: recent frames, for requests with the stamp of an earlier frame. warn: called for every problem that is not
    an error. patience_s: longest wait for a frame with a request's stamp. now: the clock of this process, nanoseconds.
    number: returns an id for a target that was requested without one; by default 1, 2, 3, ...
    """

    def __init__(
        self,
        tracker: Tracker,
        history: History,
        warn: Warn,
        patience_s: float = PATIENCE_S,
        now: Callable[[], int] = time.time_ns,
        number: Callable[[], str] | None = None,
    ) -> None:
        self._tracker = tracker
        self.history = history
        self._warn = warn
        self._patience, self._now = patience_s, now
        self._waiting: Waiting | None = None
        self._target_id = ""
        self._size: tuple[int, int] | None = None
        self._number = number or map(str, count(1)).__next__

    @property
    def target_id(self) -> str:
        """Id of the current target; empty without one."""
        return self._target_id

    @property
    def waiting(self) -> Request | None:
        """The request that still waits for its frame."""
        return self._waiting.request if self._waiting else None

    def stop(self) -> bool:
        """Drop the target and a waiting request. Returns False if there was neither."""
        had = bool(self._target_id) or self._waiting is not None
        self._target_id, self._waiting, self._size = "", None, None
        return had

    def request(self, request: Request) -> Result | None:
        """Start on a new target: at once if its frame has arrived, else when it arrives.

        At once means: in the frame with the request's stamp, and then through all later frames up to the newest.
        Returns the result for the newest frame; None if the request waits, or if the newest frame is damaged.
        Raises UserError, changing nothing, for a box that cannot be tracked, and if the requested frame is no longer
        kept or has another size than the newest.
        """
        if not request.box.is_valid:
            require_trackable(request.box, 1, 1)  # raises; the size of the frame is not known yet
        newest = self.history.newest
        if newest is not None and 0 < request.stamp <= newest.stamp:
            try:
                result = self._start(request)
                return result if result.frame is newest else None
            except FrameError:  # every kept frame is damaged: start in the next one
                self._waiting = Waiting(request, self._patience)
                return None
        if newest is not None and request.stamp == 0:
            _require_trackable_in(newest, request)
        self._waiting = Waiting(request, self._patience)
        return None

    def process(self, frame: Frame, decode: bool = False) -> Result:
        """Process the next frame: start a target whose request waits for it, or find the current target in it.

        decode: decode the picture even if there is no target, because the caller needs it. Raises FrameError, keeping
        target and request, for a frame that cannot be used, and UserError for one that the tracker refuses.
        """
        self._notice_jump(frame)
        due = self._waiting if self._waiting is not None and self._waiting.is_due(frame.stamp) else None
        convert_ms = _decoded_ms(frame) if due or self._target_id or decode else 0.0
        self.history.append(frame)
        if due is not None:
            self._waiting = None
            try:
                result = self._start(due.request)
                return replace(result, convert_ms=result.convert_ms + convert_ms)
            except UserError as error:
                self._warn(due.request.origin, f"{due.request.origin} refused: {error}")
        elif self._waiting is not None and self._waiting.is_over():
            request, self._waiting = self._waiting.request, None
            late = clock_report(request.stamp, frame.stamp, self._now())
            self._warn(request.origin, f"{request.origin} refused after a wait of {self._patience:g} s: {late}")
        if not self._target_id:
            return Result(frame, convert_ms=convert_ms)
        self._require_size(frame)
        return self._follow(frame, convert_ms)

    def _notice_jump(self, frame: Frame) -> None:
        newest = self.history.newest
        if newest is not None and frame.stamp < newest.stamp:
            behind = (newest.stamp - frame.stamp) * 1e-9
            self._warn(
                "stamp",
                f"stamp jumped back by {behind:.3f} s (bag loop, clock reset, two cameras on one topic?): "
                "earlier frames discarded",
            )
            self.history.clear()

    def _start(self, request: Request) -> Result:
        """Start in the requested frame and track to the newest. Raises FrameError if no frame can be used."""
        frames = list(self.history)
        for first in self._frames_for(request, frames):
            try:
                convert_ms = _decoded_ms(frames[first])
                break
            except FrameError as error:
                damage = error
        else:
            raise damage
        _require_same_size(frames[first], frames[-1])
        image = frames[first].image
        start = time.perf_counter()
        estimate = self._tracker.init(image, request.box, frames[first].stamp or None)
        spent = (time.perf_counter() - start) * 1e3
        self._target_id = request.target_id or self._number()
        self._size = frames[first].size
        self._waiting = None
        result = Result(frames[first], self._target_id, estimate, convert_ms, spent)
        for frame in islice(frames, first + 1, None):
            result = self._catch_up(frame, result)
        return replace(result, is_start=True)

    def _catch_up(self, frame: Frame, so_far: Result) -> Result:
        try:
            convert_ms = _decoded_ms(frame)
            self._require_size(frame)
        except FrameError:  # it was reported when it arrived
            return so_far
        so_far.frame.release()
        result = self._follow(frame, so_far.convert_ms + convert_ms)
        return replace(result, tracker_ms=so_far.tracker_ms + result.tracker_ms)

    def _frames_for(self, request: Request, frames: list[Frame]) -> Iterator[int]:
        """Indices of the frames in which the request may start, best first.

        For stamp 0 and unstamped frames this is the newest alone; otherwise all, by the distance of their stamps.
        """
        if request.stamp == 0 or frames[-1].stamp == 0:
            return iter([len(frames) - 1])
        if request.stamp < frames[0].stamp:
            late = (frames[0].stamp - request.stamp) * 1e-9
            raise UserError(
                f"its frame is {late:.3f} s older than the oldest of {len(frames)} kept: "
                "send it sooner, with stamp 0 for the next frame, or raise frame_history and frame_history_mb"
            )
        return iter(sorted(range(len(frames)), key=lambda index: abs(frames[index].stamp - request.stamp)))

    def _follow(self, frame: Frame, convert_ms: float) -> Result:
        image = frame.image
        start = time.perf_counter()
        estimate = self._tracker.update(image, frame.stamp or None)
        return Result(frame, self._target_id, estimate, convert_ms, (time.perf_counter() - start) * 1e3)

    def _require_size(self, frame: Frame) -> None:
        if frame.size is None or self._size is None or frame.size == self._size:
            return
        (width, height), (old_width, old_height) = frame.size, self._size
        raise FrameError(
            "resized",
            f"frame is {width}x{height} but the target was given in {old_width}x{old_height}: "
            "send a new init_box to follow in the new size",
        )


def _decoded_ms(frame: Frame) -> float:
    """Decode the frame. Returns the milliseconds that this took, about 0 if it was decoded before.

    Raises FrameError.
    """
    start = time.perf_counter()
    frame.image  # noqa: B018
    return (time.perf_counter() - start) * 1e3


def _require_same_size(first: Frame, newest: Frame) -> None:
    """Raise UserError if the sizes differ: the target could not be tracked in any coming frame."""
    if first.size is not None and newest.size is not None and first.size != newest.size:
        (width, height), (new_width, new_height) = first.size, newest.size
        raise UserError(
            f"its frame is {width}x{height} and the newest {new_width}x{new_height}: "
            "send the box again for a frame of the new size"
        )


def _require_trackable_in(newest: Frame, request: Request) -> None:
    """Raise UserError if the box cannot be tracked in frames of the newest one's size.

    If the newest frame is damaged, nothing is checked: the box is then checked in the frame in which it starts.
    """
    try:
        height, width = newest.image.shape[:2]
    except FrameError:
        return
    require_trackable(request.box, width, height)
