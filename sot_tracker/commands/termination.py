"""SIGTERM (of systemd, Docker, timeout) for commands that have something to put in order before they end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sot_tracker.errors import INTERRUPTED, TERMINATED, Terminated


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[list[int]]:
    """SIGTERM ends the work as Ctrl-C does, by a KeyboardInterrupt, `Terminated`. Yields the list of what was received.

    For the main thread, as all that has to do with signals.
    """
    received: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        received.append(number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)


class StopRequest:
    """SIGTERM and Ctrl-C as a request to save and stop: calling the object tells whether one has come.

    Once `saved` was replaced after that answer, a second signal ends the program at once by a KeyboardInterrupt.
    """

    def __init__(self, saved: Path) -> None:
        self._saved, self._received = saved, 0
        self._before: int | None = None
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def __call__(self) -> bool:
        if self._received and not self._asked:
            self._asked, self._before = True, self._inode()
        return bool(self._received)

    @property
    def status(self) -> int:
        """The exit status for the signal received; 0 without one."""
        return {0: 0, signal.SIGTERM: TERMINATED}.get(self._received, INTERRUPTED)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if not self._received:
            self._received = number
            os.write(2, b"\nstopping after this step: saving, then validating; once saved, Ctrl-C ends at once\n")
        elif self._asked and self._inode() != self._before:
            raise KeyboardInterrupt

    def _inode(self) -> int | None:
        try:
            return self._saved.stat().st_ino
        except OSError:
            return None
