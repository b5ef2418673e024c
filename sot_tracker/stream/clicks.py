"""Selecting a target by clicks in a picture: on two corners of a box, or on an object and then on the proposed box."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.tracker import Image
from sot_tracker.tracking.flow import GreyWindow, grey_window, propagate

CORNERS_S = 3.0
"""Two clicks within this many seconds are the corners of a box."""
PROPOSAL_S = 30.0
"""Seconds after which a proposal expires."""
MIN_SIDE = 4.0
"""Pixels: two clicks that would give a box with a shorter side are a double click."""
MIN_KEPT = 0.3
"""A proposal is dropped if optical flow finds less than this share of its points in the next frame."""


class Clicks:
    """Interprets successive clicks in one stream of pictures.

    After a first click the caller searches for the object around it and passes its box to `propose`; `see` moves this
    proposal with the object. A second click inside the proposal accepts it. A second click anywhere else, at most
    `CORNERS_S` after the first, is the opposite corner of a box; later than that it is a first click again.
    steady: a clock in seconds.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._first: tuple[float, float, float] | None = None
        self._proposal: Box | None = None
        self._window: GreyWindow | None = None
        self._until = 0.0

    @property
    def proposal(self) -> Box | None:
        """The proposed box, pixels of the newest frame; None without one."""
        if self._proposal is not None and self._steady() > self._until:
            self._proposal = None
        return self._proposal

    def click(self, x: float, y: float) -> Box | None:
        """The box to start on, or None if this was a first click. x, y: pixels.

        Raises UserError, changing nothing, for coordinates that are not finite.
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
        """Set the proposal: the box found around the first click in that frame (H x W x 3, uint8)."""
        self._proposal, self._until = box, self._steady() + PROPOSAL_S
        self._window = grey_window(image, box)

    def see(self, image: Image) -> None:
        """Move the proposal into the next frame by optical flow; drop it if flow cannot track it."""
        box, window = self.proposal, self._window
        if box is None or window is None:
            return
        self._proposal = None
        if image.shape[1::-1] == window.frame_size:
            motion, moved, self._window = propagate(window, image, box)
            if motion.kept >= MIN_KEPT and contains(Box(0, 0, *window.frame_size), *moved.center):
                self._proposal = moved

    def forget(self) -> None:
        """Drop the proposal; the next click is a first one."""
        self._first = self._proposal = None


def contains(box: Box, x: float, y: float) -> bool:
    x1, y1, x2, y2 = box.xyxy
    return x1 <= x < x2 and y1 <= y < y2
