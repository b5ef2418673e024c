"""OpenCV's own trackers: no weights, the baseline of every table."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np

from sot_tracker.box import Box, require_trackable
from sot_tracker.errors import UserError
from sot_tracker.tracker import Estimate, Image, Policy, State, TrackerInfo

CLASSES = {"csrt": "TrackerCSRT", "kcf": "TrackerKCF", "mil": "TrackerMIL"}
_SMALLEST = 6  # pixels per side; MIL draws features for ever in a box of 4 x 4


class OpenCVTracker:
    """CSRT, KCF or MIL. Where OpenCV reports failure the estimate is LOST, score 0, with the last found box as guess.

    OpenCV's trackers work on whole pixels inside the image: the init box is cut to the image, rounded, and
    made at least six pixels wide and high. They say only yes or no, so that the score is 1 or 0.
    MIL draws its features from one sequence of random numbers per process: which boxes it gives depends on how many
    targets it was given before.

    threads: CPU threads of OpenCV, which holds them per process, not per tracker; 0 leaves them as they are.
    """

    def __init__(self, name: str, threads: int = 0) -> None:
        """Raises UserError for an unknown name or an OpenCV without contrib modules."""
        if name not in CLASSES:
            raise UserError(f"'{name}' is not an OpenCV tracker: known are {', '.join(CLASSES)}")
        if not hasattr(cv2, CLASSES[name]):
            raise UserError(
                f"this OpenCV ({cv2.__version__}) has no {CLASSES[name]}: "
                "install it with `pip install --force-reinstall opencv-contrib-python`"
            )
        self.name = name
        self.policy = Policy()  # nothing in it applies: OpenCV says yes or no and keeps its own search window
        self._tracker: Any = None
        self._size = (0, 0)
        self._last = Box(0, 0, 0, 0)
        if threads > 0:
            cv2.setNumThreads(threads)

    @property
    def info(self) -> TrackerInfo:
        runtime = f"OpenCV {cv2.__version__}"
        return TrackerInfo(self.name, "opencv", runtime, "cpu", f"{runtime} on cpu", threads=cv2.getNumThreads())

    def init(self, image: Image, box: Box, stamp_ns: int | None = None) -> Estimate:
        """Start on a target. Raises UserError, changing nothing, if the box cannot be tracked in this image."""
        start = time.perf_counter()
        height, width = image.shape[:2]
        require_trackable(box, width, height)
        tracker, rect = getattr(cv2, CLASSES[self.name]).create(), whole_pixels(box, width, height)
        try:
            tracker.init(_plain(image), rect)
        except cv2.error as error:
            told = f"{self.name} cannot start on box {rect} in a {width}x{height} frame"
            raise UserError(f"{told} ({_first_line(error)}): give another box or take another model") from None
        self._tracker, self._size, self._last = tracker, (width, height), Box.from_xywh(rect)
        return Estimate(box, 1.0, State.TRACKING, {"track": (time.perf_counter() - start) * 1e3})

    def recenter(self, box: Box) -> None:
        """Raises UserError: OpenCV's trackers have no search window that could be moved."""
        raise UserError(f"{self.name} cannot be moved to another box: start it anew with init(image, box)")

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        """Follow the target into the next frame. Raises UserError before `init`, or for a frame of another size."""
        height, width = image.shape[:2]
        if self._tracker is None:
            raise UserError(f"{self.name} has no target yet: call init(image, box) first")
        if (width, height) != self._size:
            raise UserError(
                f"frame is {width}x{height}, but the target was given in a {self._size[0]}x{self._size[1]} frame: "
                "give frames of one size, or start anew"
            )
        start = time.perf_counter()
        try:
            found, rect = self._tracker.update(_plain(image))
        except cv2.error:  # CSRT and MIL raise, instead of saying no, when their search area leaves the image
            found, rect = False, None
        times = {"track": (time.perf_counter() - start) * 1e3}
        if not found:
            return Estimate(self._last, 0.0, State.LOST, times)
        self._last = Box.from_xywh(rect)
        return Estimate(self._last, 1.0, State.TRACKING, times)


def whole_pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The box as OpenCV's integer rectangle, inside the width x height image, sides of at least six pixels there."""
    x1, y1, x2, y2 = box.clipped(width, height).xyxy
    w, h = min(max(round(x2 - x1), _SMALLEST), width), min(max(round(y2 - y1), _SMALLEST), height)
    return min(max(round(x1), 0), width - w), min(max(round(y1), 0), height - h), w, h


def _plain(image: Image) -> Image:
    """The image itself where OpenCV can read it in place, else a copy (reversed or transposed views)."""
    rows, columns, channels = image.strides
    in_place = channels == 1 and columns == image.shape[2] and rows >= columns * image.shape[1]
    return image if in_place else np.ascontiguousarray(image)


def _first_line(error: cv2.error) -> str:
    return str(getattr(error, "err", "") or error).strip().splitlines()[0]
