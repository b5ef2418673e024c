"""Counts and rolling times of a running node, and what `/diagnostics` says of them."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

import numpy as np

WINDOW = 300  # frames


class Throttle:
    """Says of each kind of event whether it is time to tell it again."""

    def __init__(self, period_s: float) -> None:
        self._period = period_s
        self._told: dict[str, float] = {}

    def ready(self, kind: str) -> bool:
        now = time.monotonic()
        if now - self._told.get(kind, -self._period) < self._period:
            return False
        self._told[kind] = now
        return True


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
    """Counts what a publisher sent and this subscription never saw, by the publication sequence numbers.

    Covers messages overwritten by a newer one as well as messages lost on the way.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._last: int | None = None

    def restart(self) -> None:
        """The next number follows from nothing (a new subscription)."""
        self._last = None

    def see(self, number: int | None) -> None:
        """number: of the message just taken; None where the middleware does not tell."""
        if number is not None and self._last is not None and number > self._last:
            self.lost += number - self._last - 1
        self._last = number
