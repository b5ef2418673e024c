"""Progress of long work: a bar on a terminal, one line per ten percent in a log, at most one a second."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


PAUSE = 1.0
"""Seconds between two lines at least, so that short work does not fill a log."""


class Lines:
    """What is used of tqdm, as a line when another tenth is done, and always at the end; nothing without a total."""

    def __init__(self, total: int | None, unit: str, desc: str) -> None:
        self.n, self.total = 0, total
        self._unit, self._desc, self._tenths = unit, desc, 0
        self._began = self._printed = time.monotonic()
        self._first = (0, self._began)  # count and time of the first update

    def update(self, count: int = 1) -> None:
        now = time.monotonic()
        if self.n == 0:
            self._first = (count, now)
        self.n += count
        tenths = 10 * self.n // self.total if self.total else 0
        if tenths > self._tenths and (tenths == 10 or now - self._printed >= PAUSE):
            self._tenths, self._printed = tenths, now
            # What was done before the first update, such as loading a model, does not count.
            counted, began = self._first if self.n > self._first[0] else (0, self._began)
            rate = (self.n - counted) / max(now - began, 1e-9)
            print(
                f"{self._desc}: {10 * tenths} % ({self.n} of {self.total}), {rate:.1f} {self._unit}s per second",
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def progress(total: int | None, unit: str, desc: str) -> Any:
    """A context manager with `update(count)`, `n` and `total`, written to stderr. total: None where it is not known."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        return tqdm(total=total, unit=unit, desc=desc)
    return Lines(total, unit, desc)
