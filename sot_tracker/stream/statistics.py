"""Counts and rolling times of a running node, and what to do about them."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from sot_tracker.tracker import Estimate, State

WINDOW = 300  # frames

MUCH_DROPPED = 0.1
"""Share of the frames that may be dropped without a warning."""


def dropping(processed: int, dropped: int, seconds: float) -> str:
    """A warning with rates and advice if many of a stream's frames were dropped; empty otherwise."""
    total = processed + dropped
    if dropped <= 2 or dropped < MUCH_DROPPED * total or seconds <= 0:
        return ""
    return (
        f"{dropped} of {total} frames dropped: {processed / seconds:.1f} of {total / seconds:.1f} per second are "
        "processed; take a faster model (`sot-tracker bench`), more threads, a GPU, or a lower camera rate"
    )


def falling_behind(processed: int, seconds: float, rate: float, busy: float) -> str:
    """As `dropping`, for a camera of that rate (frames per second) that does not count dropped frames itself.

    seconds: how long it ran. busy: how many of these seconds were spent in the tracker. If it was less than half, the
    camera was slow and not the tracker, and the result is empty.
    """
    missed = round(seconds * rate) - processed
    return dropping(processed, missed, seconds) if missed > 0 and busy > 0.5 * seconds else ""


class Throttle:
    """Limits how often events of one kind are reported: at most `most` times in any `period_s` seconds."""

    def __init__(self, period_s: float, most: int = 1) -> None:
        self._period = period_s
        self._reported: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=most))

    def ready(self, kind: str) -> bool:
        now, times = time.monotonic(), self._reported[kind]
        if len(times) == times.maxlen and now - times[0] < self._period:
            return False
        times.append(now)
        return True


class Reminder:
    """Decides when to report a problem that lasts: at once, after `first_s` seconds, then at intervals that double up
    to `longest_s`. steady: a clock in seconds.
    """

    def __init__(
        self, first_s: float = 10.0, longest_s: float = 600.0, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._first, self._longest, self._steady = first_s, longest_s, steady
        self._problem = ""
        self._pause = self._next = 0.0

    def is_due(self, problem: str) -> bool:
        """Whether to report the problem now. To be called regularly while it lasts; another problem is due at once.

        problem: any text that is not empty.
        """
        now = self._steady()
        if problem != self._problem:
            self._problem, self._pause, self._next = problem, self._first, now
        if now < self._next:
            return False
        self._next = now + self._pause
        self._pause = min(2 * self._pause, self._longest)
        return True

    def clear(self) -> None:
        """The problem is over: the next one is reported at once."""
        self._problem = ""


class StateTimes:
    """Since when each target is in its present state, for the `MAX` targets that were updated last."""

    MAX = 64

    def __init__(self) -> None:
        self._since: dict[str, tuple[State, int]] = {}

    def see(self, target_id: str, estimate: Estimate | None, now: int) -> int:
        """When this state of this target began, by the clock of `now` (nanoseconds); 0 without a target."""
        if estimate is None:
            self._since.clear()
            return 0
        state, since = self._since.pop(target_id, (None, now))
        self._since[target_id] = (estimate.state, since if state is estimate.state else now)
        if len(self._since) > self.MAX:
            del self._since[next(iter(self._since))]
        return self._since[target_id][1]

    def forget(self, target_id: str) -> None:
        """The target is given anew: its state begins with its next estimate."""
        self._since.pop(target_id, None)


class Times:
    """The last WINDOW values of every stage, in milliseconds."""

    def __init__(self) -> None:
        self._values: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))

    def add(self, stages: Mapping[str, float]) -> None:
        for name, value in stages.items():
            self._values[name].append(value)

    def percentiles(self) -> dict[str, tuple[float, float]]:
        """stage -> (p50, p95)."""
        return {name: percentiles(values) for name, values in self._values.items()}


def percentiles(values: Iterable[float]) -> tuple[float, float]:
    """The median and the 95th percentile; NaN of nothing."""
    known = np.fromiter(values, float)
    known = known[np.isfinite(known)]
    return (float(np.percentile(known, 50)), float(np.percentile(known, 95))) if known.size else (np.nan, np.nan)


class Sequence:
    """Counts, by publication sequence numbers, the messages that were published but not received.

    These are messages that were overwritten by a newer one in the queue, and messages lost on the way.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._last: int | None = None

    def restart(self) -> None:
        """Expect any number next (a new subscription)."""
        self._last = None

    def see(self, number: int | None) -> None:
        """number: sequence number of a received message; None if the middleware does not provide it."""
        if number is not None and self._last is not None and number > self._last:
            self.lost += number - self._last - 1
        self._last = number
