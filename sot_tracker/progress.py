"""Progress of long work: a bar on a terminal, one line per ten percent in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from typing_extensions import Self


class Lines:
    """What is used of tqdm, printed as a line when another tenth is done; nothing without a total."""

    def __init__(self, total: int | None, unit: str, desc: str) -> None:
        self.n, self.total = 0, total
        self._unit, self._desc, self._tenths, self._began = unit, desc, 0, time.monotonic()

    def update(self, count: int = 1) -> None:
        self.n += count
        tenths = 10 * self.n // self.total if self.total else 0
        if tenths > self._tenths:
            self._tenths = tenths
            rate = self.n / max(time.monotonic() - self._began, 1e-9)
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
        return tqdm(total=total, unit=unit, desc=desc)
    return Lines(total, unit, desc)
