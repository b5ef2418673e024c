"""A box for every frame within milliseconds: the tracker runs in a thread of its own, optical flow fills the gaps.

A search is one run of the tracker on one frame.

`update` never waits for a slow tracker. It moves the box into the new frame by optical flow. If a search in an earlier
frame has ended, its result is moved to the new frame by the motions measured since then, and replaces the box. As soon
as the tracker is idle, it gets the newest frame. A tracker that keeps pace with the frames is waited for instead, as
soon as its speed is known. Then every frame is searched, and the box is the tracker's own.

With `lockstep` every search is waited for, in the caller's thread, and only `max_search_rate` decides which frames are
searched. So the boxes do not depend on the speed of the computer.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

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
"""Shares of the time between two frames. While a search takes less than the first, it is waited for; while it takes
more than the second, it is not. Between the two, what was decided last still holds."""
_SMOOTHING = 0.2  # weight of a new duration in the running means
_EARLY = 1e-3  # seconds by which a search may begin too early: frames arrive a little irregularly
_MAX_INTERVAL = 1.0  # seconds: a longer gap between frames is a pause, not a rate
_processes: WeakKeyDictionary[Executor, int] = WeakKeyDictionary()
"""Executors that have run a search, and the process that has their threads."""


@dataclass(frozen=True, slots=True)
class _Search:
    """A search that is running. begin: seconds at which its frame arrived (`_time_of`). stamp_ns: its capture time."""

    future: Future[Estimate]
    begin: float
    stamp_ns: int | None


@dataclass(slots=True)
class _Pace:
    """How fast searches and frames are: running means in seconds, 0 where not known.

    search: of the time in which every tracker on the executor is run once. interval: of the time between two frames.
    keeps: the last answer of `judge`.
    """

    search: float = 0.0
    interval: float = 0.0
    keeps: bool = False

    def judge(self) -> bool:
        """Whether the tracker keeps pace with the frames."""
        if self.search and self.interval:
            self.keeps = self.search < (FALLS_BEHIND if self.keeps else KEEPS_PACE) * self.interval
        return self.keeps


class _InCallersThread(Executor):
    """Runs what is submitted at once, so that its result is there when `submit` returns."""

    def submit(self, call: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments, **options))
        except Exception as error:
            future.set_exception(error)  # raised where the result is asked for, as with a thread
        return future


class RealtimeTracker:
    """Any tracker, with a box for every frame; itself a `Tracker`.

    inner: the tracker; from `init` on nobody else may use it. executor: runs one search at a time; by default a thread
    of its own, which ends with this object. clock: gives seconds, for measuring the pace. max_search_rate: largest
    mean number of searches per second, 0 for no limit. lockstep: run every search in the caller's thread and wait for
    it; `executor` is not used then, and time is taken from the frames' stamps (a frame without one comes 1/30 s after
    the one before).

    An estimate's `source` tells where its box comes from, its `look_age_ms` how old the last search is.
    """

    def __init__(
        self,
        inner: Tracker,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.perf_counter,
        max_search_rate: float = 0.0,
        lockstep: bool = False,
    ) -> None:
        self._inner = inner
        self._lockstep = lockstep
        if lockstep:
            executor = _InCallersThread()
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="search")
        self._clock = clock
        self._pace = _Pace()
        self._min_interval = 1 / max_search_rate if max_search_rate else 0.0  # seconds between searches, on average
        self._search: _Search | None = None
        self._flow: fusion.FlowState | None = None
        self._latest: Estimate | None = None
        self._motions: deque[Motion] = deque()  # from the frame of the running search to the newest
        self._searched: tuple[float, int | None] = (0.0, None)  # time and stamp of the frame of the last search
        self._due = 0.0  # when the next search may begin, seconds of `_time_of`
        self._arrived = 0.0
        self._size = (0, 0)
        self.company = 1
        """Number of trackers that share the executor, this one included."""

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
        """Start on a target. Waits for a running search and for the tracker. Raises UserError as the tracker does."""
        frame_size(image)
        self._require_own_process()
        self._finish_search()
        estimate = self._inner.init(image, box, stamp_ns)
        self._flow = fusion.start(image, estimate.box)
        self._size = (image.shape[0], image.shape[1])
        self._arrived = self._time_of(stamp_ns)
        self._due = self._arrived + self._min_interval
        self._latest, self._searched = estimate, (self._arrived, stamp_ns)
        self._motions.clear()
        return estimate

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        """The estimate for the next frame. Its `times` have "flow", and the tracker's stages if it was waited for.

        Raises UserError before `init`, for a frame of another size, for a stamp that is no whole number, and in a
        forked process. Raises what a search raised, in the frame in which its result is taken.
        """
        if self._latest is None or self._flow is None:
            raise UserError(f"{self.info.name} has no target yet: call init(image, box) first")
        require_size(image, self._size)
        require_stamp(stamp_ns)
        self._require_own_process()
        begin, now = self._clock(), self._time_of(stamp_ns)
        self._notice_arrival(now)
        moved = fusion.follow(self._flow, image, self._latest.box, lost=not self._latest.is_there)
        self._motions.append(_motion(moved.last, moved.box))
        estimate = replace(self._latest, box=moved.box, source=moved.source.value)
        if self._search is not None and self._search.future.done():
            estimate = self._taken_over(self._search, estimate)
        times = {"flow": 1e3 * (self._clock() - begin)}
        if self._search is None and now >= self._due - _EARLY:
            waits = self._lockstep or self._pace.judge()
            self._begin_search(image if waits else own(image), estimate, now, stamp_ns)
            if waits:
                estimate = self._waited_for(estimate)
                times = {**estimate.times, "flow": times["flow"] + estimate.times.get("flow", 0.0)}
        self._flow = fusion.settle(moved, image, estimate.box)
        age_ms = self._age_ms(now, stamp_ns)
        self._latest = replace(estimate, times=times, look_age_ms=age_ms)
        return states.between_searches(self._latest, self._size, self.policy.max_coast)

    def recenter(self, box: BoxLike) -> None:
        """See `Tracker.recenter`; waits for a running search."""
        self._require_own_process()
        self._finish_search()
        self._inner.recenter(box)
        if self._latest is not None:
            self._latest = Estimate(Box.of(box), self._latest.score, State.TRACKING)
            self._flow = expectation.recentered(self._flow)

    def move(self, box: BoxLike) -> None:
        """See `Tracker.move`; waits for a running search."""
        self._require_own_process()
        self._finish_search()
        self._inner.move(box)
        if self._latest is not None:
            self._latest = replace(self._latest, box=Box.of(box))

    def _time_of(self, stamp_ns: int | None) -> float:
        """Seconds at which a frame arrived: by the clock, in lock-step by its stamp."""
        if not self._lockstep:
            return self._clock()
        return self._arrived + states.FRAME_S if stamp_ns is None else stamp_ns * 1e-9

    def _begin_search(self, image: Image, estimate: Estimate, now: float, stamp_ns: int | None) -> None:
        height, width = self._size
        # A box that was not accepted is a guess; then the tracker searches at its own last position.
        is_there = estimate.is_there and estimate.box.is_valid and estimate.box.overlaps(width, height)
        if is_there and self.info.can_recenter:
            self._inner.move(estimate.box)
        self._motions.clear()
        self._due = max(self._due + self._min_interval, now)  # a late search does not delay the next ones
        _processes[self._executor] = os.getpid()
        self._search = _Search(self._executor.submit(self._inner.update, image, stamp_ns), now, stamp_ns)

    def _taken_over(self, search: _Search, carried: Estimate) -> Estimate:
        """The result of a search in an earlier frame, moved to the newest frame."""
        found = self._result_of(search)
        if not found.is_there and not carried.is_there:
            return replace(found, box=carried.box, source=carried.source)
        return replace(found, box=fusion.carried(found.box, self._motions), source=carried.source)

    def _waited_for(self, carried: Estimate) -> Estimate:
        """The result of the search in this frame. If the tracker only reports failure, the box is the carried one."""
        assert self._search is not None
        found = self._result_of(self._search)
        return replace(found, box=carried.box, source=carried.source) if found.source == HELD else found

    def _result_of(self, search: _Search) -> Estimate:
        """Wait for the result of a search. Raises what the tracker raised; also after that the next one can begin."""
        self._search = None
        found = search.future.result()
        self._pace.search = _mean(self._pace.search, sum(found.times.values()) * 1e-3 * self.company)
        self._searched = (search.begin, search.stamp_ns)
        return found

    def _require_own_process(self) -> None:
        """Raise UserError in a forked process: it does not have the thread, and would wait for its results for ever."""
        if _processes.get(self._executor, process := os.getpid()) != process:
            raise UserError(f"{self.info.name} runs in another process: load it in the process that uses it")

    def _finish_search(self) -> None:
        """Wait for a running search and discard its result."""
        if self._search is not None:
            search, self._search = self._search, None
            search.future.exception()

    def _notice_arrival(self, now: float) -> None:
        if 0 < now - self._arrived < _MAX_INTERVAL:
            self._pace.interval = _mean(self._pace.interval, now - self._arrived)
        elif now < self._arrived:  # stamps that went back, as in a recording that begins again
            self._due = now
        self._arrived = now

    def _age_ms(self, now: float, stamp_ns: int | None) -> float:
        """Milliseconds from the frame of the last search to this one, by the stamps where both are known."""
        begin, stamp = self._searched
        if stamp is not None and stamp_ns is not None and stamp_ns >= stamp:
            return (stamp_ns - stamp) * 1e-6
        return 1e3 * max(0.0, now - begin)


def own(image: Image) -> Image:
    """The image if nobody can write to it, else a read-only copy.

    The caller may write to the array while a search runs in another thread.
    """
    if not image.flags.writeable:
        return image
    copied: Image = image.copy()
    copied.flags.writeable = False
    return copied


def _motion(before: Box, after: Box) -> Motion:
    (x, y), (u, v) = before.center, after.center
    return Motion(u - x, v - y, (after.w / before.w) if before.w > 0 else 1.0, 1.0, 0.0)


def _mean(old: float, new: float) -> float:
    return new if not old else old + _SMOOTHING * (new - old)
