"""A box for every frame within milliseconds: the tracker looks in a thread of its own, optical flow does the rest.

A look is one run of the tracker on one frame.

`update` never waits for a slow tracker. It carries the box into the frame by optical flow, takes over what the tracker
found meanwhile in an earlier frame, carried to this one through the motions since, and gives the tracker the newest
frame as soon as it is idle. Where the tracker keeps pace with the frames it is asked at once instead, so that a fast
network loses nothing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from sot_tracker.box import Box, BoxLike
from sot_tracker.errors import UserError
from sot_tracker.tracker import (
    HELD,
    Estimate,
    Image,
    Policy,
    State,
    Tracker,
    TrackerInfo,
    frame_size,
    require_size,
    require_stamp,
)
from sot_tracker.tracking import expectation, fusion, states
from sot_tracker.tracking.flow import Motion

KEEPS_PACE, FALLS_BEHIND = 0.5, 0.8
"""Shares of the time between two frames. Looks that take less than the first are waited for, looks that take more than
the second are not; in between it stays as it was."""
_SMOOTHING = 0.2  # share of a new duration in the running means
_EARLY = 1e-3  # seconds by which a look may begin early: frames come a little irregularly
_LONGEST_INTERVAL = 1.0  # seconds: a longer gap between frames is a pause, not a rate


@dataclass(frozen=True, slots=True)
class _Look:
    """A look of the tracker under way. begin: by the clock; stamp_ns: of the frame."""

    future: Future[Estimate]
    begin: float
    stamp_ns: int | None


@dataclass(slots=True)
class _Pace:
    """Running means of how long a look takes and of how far apart frames are, seconds; 0 where not known."""

    look: float = 0.0
    interval: float = 0.0
    keeps: bool = False

    def judge(self) -> bool:
        """Whether the tracker keeps pace with the frames."""
        if self.look and self.interval:
            self.keeps = self.look < (FALLS_BEHIND if self.keeps else KEEPS_PACE) * self.interval
        return self.keeps


class RealtimeTracker:
    """Any tracker, with a box for every frame; itself a `Tracker`.

    inner: the tracker; from `init` on nobody else may use it. executor: runs one look at a time; by default a thread of
    its own, which ends with this object. clock: seconds, for the pace. max_search_rate: most looks per second, 0 for
    no limit.

    Estimates say by `source` what gave the box, and by `look_age_ms` how long ago the tracker looked.
    """

    def __init__(
        self,
        inner: Tracker,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.perf_counter,
        max_search_rate: float = 0.0,
    ) -> None:
        self._inner = inner
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="look")
        self._clock = clock
        self._pace = _Pace()
        self._apart = 1 / max_search_rate if max_search_rate else 0.0  # seconds between two looks, at least
        self._look: _Look | None = None
        self._flow: fusion.FlowState | None = None
        self._latest: Estimate | None = None
        self._since: deque[Motion] = deque()  # motions from the frame of the look under way to the newest
        self._seen: tuple[float, int | None] = (0.0, None)  # time and stamp of the frame of the last look
        self._due = 0.0  # when the next look may begin, by the clock
        self._arrived = 0.0
        self._size = (0, 0)
        self.company = 1
        """Trackers whose looks take turns in the executor, this one included."""

    def __repr__(self) -> str:
        return f"<realtime {self._inner!r}>"

    @property
    def info(self) -> TrackerInfo:
        return self._inner.info

    @property
    def policy(self) -> Policy:
        return self._inner.policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._inner.policy = policy

    def init(self, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Start on a target; waits for a look under way and for the tracker. Raises UserError as the tracker does."""
        frame_size(image)
        self._finish_look()
        estimate = self._inner.init(image, box, stamp_ns)
        self._flow = fusion.start(image, estimate.box)
        self._size = (image.shape[0], image.shape[1])
        self._arrived = self._clock()
        self._due = self._arrived + self._apart
        self._latest, self._seen = estimate, (self._arrived, stamp_ns)
        self._since.clear()
        return estimate

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        """The box in the next frame; stage "flow", and those of the tracker where it was waited for, in milliseconds.

        Raises UserError before `init` or for a frame of another size, and what a look before this frame raised.
        """
        if self._latest is None or self._flow is None:
            raise UserError(f"{self.info.name} has no target yet: call init(image, box) first")
        require_size(image, self._size)
        require_stamp(stamp_ns)
        begin = self._clock()
        self._notice_interval(begin)
        moved = fusion.follow(self._flow, image, self._latest.box, lost=not self._latest.is_there)
        self._since.append(_motion(moved.last, moved.box))
        estimate = replace(self._latest, box=moved.box, source=moved.source.value)
        if self._look is not None and self._look.future.done():
            estimate = self._taken_over(self._look, estimate)
        times = {"flow": 1e3 * (self._clock() - begin)}
        if self._look is None and begin >= self._due - _EARLY:
            waits = self._pace.judge()
            self._begin_look(image if waits else _own(image), estimate, stamp_ns)
            if waits:
                estimate = self._waited_for(estimate)
                times = {**times, **estimate.times}
        self._flow = fusion.settle(moved, image, estimate.box)
        age_ms = self._age_ms(begin, stamp_ns)
        self._latest = replace(estimate, times=times, look_age_ms=age_ms)
        return states.between_looks(self._latest, self._size, self.policy.max_coast)

    def recenter(self, box: BoxLike) -> None:
        """See `Tracker.recenter`; waits for a look under way."""
        self._finish_look()
        self._inner.recenter(box)
        if self._latest is not None:
            self._latest = Estimate(Box.of(box), self._latest.score, State.TRACKING)
            self._flow = expectation.recentered(self._flow)

    def move(self, box: BoxLike) -> None:
        """See `Tracker.move`; waits for a look under way."""
        self._finish_look()
        self._inner.move(box)
        if self._latest is not None:
            self._latest = replace(self._latest, box=Box.of(box))

    def _begin_look(self, image: Image, estimate: Estimate, stamp_ns: int | None) -> None:
        height, width = self._size
        # A box that is not accepted is a guess, and the tracker knows where the target was last.
        is_there = estimate.is_there and estimate.box.is_valid and estimate.box.overlaps(width, height)
        if is_there and self.info.can_recenter:
            self._inner.move(estimate.box)
        self._since.clear()
        now = self._clock()
        self._due = max(self._due + self._apart, now)  # a look that begins late does not delay those after it
        self._look = _Look(self._executor.submit(self._inner.update, image, stamp_ns), now, stamp_ns)

    def _taken_over(self, look: _Look, carried: Estimate) -> Estimate:
        """The answer of a look at an earlier frame in the newest one."""
        found = self._result_of(look)
        if not found.is_there and not carried.is_there:
            return replace(found, box=carried.box, source=carried.source)
        return replace(found, box=fusion.carried(found.box, self._since), source=carried.source)

    def _waited_for(self, carried: Estimate) -> Estimate:
        """The answer of the look at this very frame; the carried box where the tracker says only that it failed."""
        assert self._look is not None
        found = self._result_of(self._look)
        return replace(found, box=carried.box, source=carried.source) if found.source == HELD else found

    def _result_of(self, look: _Look) -> Estimate:
        """Waits. Raises what the tracker raised; then, too, the next frame is looked at."""
        self._look = None
        found = look.future.result()
        self._pace.look = _mean(self._pace.look, sum(found.times.values()) * 1e-3 * self.company)
        self._seen = (look.begin, look.stamp_ns)
        return found

    def _finish_look(self) -> None:
        """Wait for a look under way and forget what it says."""
        if self._look is not None:
            look, self._look = self._look, None
            look.future.exception()

    def _notice_interval(self, now: float) -> None:
        if 0 < now - self._arrived < _LONGEST_INTERVAL:
            self._pace.interval = _mean(self._pace.interval, now - self._arrived)
        self._arrived = now

    def _age_ms(self, now: float, stamp_ns: int | None) -> float:
        """From the frame of the last look to this one, by the stamps where both are known."""
        begin, stamp = self._seen
        if stamp is not None and stamp_ns is not None and stamp_ns >= stamp:
            return (stamp_ns - stamp) * 1e-6
        return 1e3 * max(0.0, now - begin)


def _own(image: Image) -> Image:
    """The picture as it is now: the caller may draw on it, or read the next frame into it, while the tracker looks."""
    return image.copy() if image.flags.writeable else image


def _motion(before: Box, after: Box) -> Motion:
    (x, y), (u, v) = before.center, after.center
    return Motion(u - x, v - y, (after.w / before.w) if before.w > 0 else 1.0, 1.0, 0.0)


def _mean(old: float, new: float) -> float:
    return new if not old else old + _SMOOTHING * (new - old)
