"""A tracker that writes down what it is given, and frames whose grey level is their number."""

from __future__ import annotations

import time

import numpy as np

from sot_tracker.box import Box, require_trackable
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.frame import Frame
from sot_tracker.tracker import Estimate, Image, Policy, State, TrackerInfo

BOX = Box(2, 3, 4, 5)
MS = 1_000_000


class NotingTracker:
    """Frames are flat pictures whose grey level is their number."""

    info = TrackerInfo("noting", "none", "", "cpu", "")

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.stamps: list[int | None] = []
        self.state = State.TRACKING
        self.policy = Policy()
        self.seconds = 0.0

    def init(self, image: Image, box: Box, stamp_ns: int | None = None) -> Estimate:
        require_trackable(box, image.shape[1], image.shape[0])
        self.seen.append(("init", int(image[0, 0, 0])))
        self.stamps.append(stamp_ns)
        return Estimate(box, 1.0, State.TRACKING, {"template": 2.0})

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        time.sleep(self.seconds)
        self.seen.append(("update", int(image[0, 0, 0])))
        self.stamps.append(stamp_ns)
        return Estimate(BOX, 0.5, self.state, {"track": 1e3 * self.seconds or 1.0})

    def recenter(self, box: Box) -> None:
        raise NotImplementedError


def frame(number: int, stamp: int | None = None, size: tuple[int, int] = (20, 16), damaged: bool = False) -> Frame:
    """As compressed ones: the size is known once it is decoded."""

    def picture() -> Image:
        if damaged:
            raise FrameError("compressed", "damaged")
        return np.full((size[1], size[0], 3), number, np.uint8)

    return Frame(number * 10 * MS if stamp is None else stamp, picture, 100)
