"""What clicks into a picture mean: the corners of a box, or an object and then a yes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.tracker import Image
from sot_tracker.tracking.flow import GreyWindow, grey_window, propagate

CORNERS_S = 3.0
"""Seconds between two clicks that are the corners of a box."""
PROPOSAL_S = 30.0
"""Seconds for which a proposal waits for the click that accepts it."""
MIN_SIDE = 4.0
"""Pixels: a box with a shorter side is a double click."""
MIN_KEPT = 0.3
"""Share of the points of a proposal that optical flow must find again in the next frame."""


class Clicks:
    """Takes the clicks of one picture, one after the other.

    The first click asks for the object around it: the caller looks for one and gives it to `propose`; `see` moves it
    with the picture. A second click inside that proposal accepts it; anywhere else, within `CORNERS_S` of the first, it
    makes a box with the first as the opposite corner; later it is a first click again. steady: seconds.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._first: tuple[float, float, float] | None = None
        self._proposal: Box | None = None
        self._window: GreyWindow | None = None
        self._until = 0.0

    @property
    def proposal(self) -> Box | None:
        """The box that waits for a click, pixels of the newest frame; None without one."""
        if self._proposal is not None and self._steady() > self._until:
            self._proposal = None
        return self._proposal

    def click(self, x: float, y: float) -> Box | None:
        """The box to start on, or None where this was a first click. x, y: pixels.

        Raises UserError, changing nothing, for a point that is none.
        """
        if not (math.isfinite(x) and math.isfinite(y)):
            raise UserError(f"point ({x:g}, {y:g}) is not in the picture: give finite pixels")
        proposal, first = self.proposal, self._first
        if proposal is not None and contains(proposal, x, y):
            self.forget()
            return proposal
        now = self._steady()
        if first is not None and now - first[2] <= CORNERS_S:
            box = Box(min(x, first[0]), min(y, first[1]), abs(x - first[0]), abs(y - first[1]))
            if min(box.w, box.h) >= MIN_SIDE:
                self.forget()
                return box
        self._first, self._proposal = (x, y, now), None
        return None

    def propose(self, box: Box, image: Image) -> None:
        """What was found around the first click, in that frame (H x W x 3, uint8)."""
        self._proposal, self._until = box, self._steady() + PROPOSAL_S
        self._window = grey_window(image, box)

    def see(self, image: Image) -> None:
        """The next frame: the proposal is moved by optical flow, and dropped where that cannot follow it."""
        box, window = self.proposal, self._window
        if box is None or window is None:
            return
        self._proposal = None
        if image.shape[1::-1] == window.frame_size:
            motion, moved, self._window = propagate(window, image, box)
            if motion.kept >= MIN_KEPT and contains(Box(0, 0, *window.frame_size), *moved.center):
                self._proposal = moved

    def forget(self) -> None:
        """The next click is a first one."""
        self._first = self._proposal = None


def contains(box: Box, x: float, y: float) -> bool:
    x1, y1, x2, y2 = box.xyxy
    return x1 <= x < x2 and y1 <= y < y2
