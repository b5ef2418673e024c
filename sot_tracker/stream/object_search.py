"""`object_at` in a thread of its own: a search takes 0.1 to 0.3 s, and meanwhile frames arrive."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from sot_tracker.box import Box
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.object_at import object_at


class Found(NamedTuple):
    """The point of a search in a frame, pixels, and the box that it found there; None where nothing stands out."""

    x: float
    y: float
    frame: Frame
    box: Box | None


class ObjectSearch:
    """One search at a time; a new one replaces the one before, whose result is then never seen."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="object")
        self._running: Future[Found] | None = None

    def ask(self, frame: Frame, x: float, y: float) -> None:
        """Search around (x, y), pixels of the frame. Raises FrameError where that cannot be decoded."""
        self.forget()
        image = frame.image  # here, since the picture is released in this thread
        self._running = self._worker.submit(lambda: Found(x, y, frame, object_at(image, x, y)))

    def result(self) -> Found | None:
        """The result, once; None while it is not there. Raises what OpenCV raised."""
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
        """Waits for nothing: a search that runs ends by itself."""
        self.forget()
        self._worker.shutdown(wait=False)
