"""Runs `object_at` in a thread of its own, since it takes 0.1 to 0.3 s and frames must be processed meanwhile."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from sot_tracker.box import Box
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.object_at import object_at


class Found(NamedTuple):
    """Result of a search: the point in the frame, pixels, and the box found around it; None if there is no object."""

    x: float
    y: float
    frame: Frame
    box: Box | None


class ObjectSearch:
    """Runs one search at a time. A new search replaces the one before, whose result is discarded."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="object")
        self._running: Future[Found] | None = None

    def ask(self, frame: Frame, x: float, y: float) -> None:
        """Search around (x, y), pixels of the frame. Raises FrameError if the frame cannot be decoded."""
        self.forget()
        image = frame.image  # decoded here, since this thread also releases decoded pictures
        self._running = self._worker.submit(lambda: Found(x, y, frame, object_at(image, x, y)))

    def result(self) -> Found | None:
        """The result of the search, returned once; None before that and after. Raises what OpenCV raised."""
        running = self._running
        if running is None or not running.done():
            return None
        self._running = None
        return running.result()

    def forget(self) -> None:
        if self._running is not None:
            self._running.cancel()
            self._running = None

    def close(self) -> None:
        """Close without waiting; a running search ends by itself."""
        self.forget()
        self._worker.shutdown(wait=False)
