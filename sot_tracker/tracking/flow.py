"""Moves a box from one frame to the next by optical flow, fast enough for every frame.

Median flow (Kalal, Mikolajczyk and Matas, Forward-Backward Error, ICPR 2010): points on a grid in the box are tracked
into the next frame by pyramidal Lucas-Kanade, and back again. Points that do not return to where they started are left
out. The box is moved by the median shift of the others and scaled by the median ratio of their distances.

Only a square around the box is converted to grey, at a scale at which the box is at most `MAX_BOX` pixels long. So the
cost depends neither on the frame size nor on the box. All functions are pure and deterministic.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]

SIDE = 96
"""Pixels per side of the grey square."""
MAX_BOX = 42.0
"""Longer side of the box in a new square, pixels: less than half of the square, to leave room for motion. Frames are
shrunk by whole numbers, which is fastest. Boxes of less than half of that are enlarged to twice their size: the windows
of Lucas-Kanade would otherwise contain more background than target."""
BOX_RANGE = (0.45, 1.15)
"""The square is used for the next frame as long as the longer side of the box is in this range times `MAX_BOX`."""
OFF_CENTER = 0.06
"""... and as long as the box is no farther from the square's middle than this share of the square's side."""

_ENLARGED = 0.5
_GRID = 7  # points per side
_WINDOW = (9, 9)  # pixels of the square; OpenCV is faster with 9 than with 7 or 11
_LEVELS = 3
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.02)
_MIN_POINTS = 6  # with fewer points the motion is unknown
_ALWAYS_KEPT = 0.3  # pixels of the square: a point with at most this return error is never left out
_MAX_RETURN_ERROR = 1.0  # pixels of the square: a point with at most this return error counts in `Motion.kept`
_MIN_DISTANCE = 3.0  # pixels of the square between two points from which the scale is measured
_MAX_SCALE = 1.06  # change of size in one frame


@dataclass(frozen=True, slots=True, eq=False)
class GreyWindow:
    """A grey square of a frame.

    pixels: SIDE x SIDE, uint8. corner: column and row of the frame at which the square begins. They may be outside of
    the frame, whose border pixels are repeated there. shrink: frame pixels per pixel of the square, 0.5 or a whole
    number. frame_size: width, height.
    """

    pixels: Image
    corner: tuple[int, int]
    shrink: float
    frame_size: tuple[int, int]

    def fits(self, box: Box) -> bool:
        """Whether the box is near the middle of this square and has a suitable size for it."""
        low, high = BOX_RANGE
        share = max(box.w, box.h) / self.shrink / MAX_BOX
        if share > high or (share < low and self.shrink > _ENLARGED):
            return False
        off = (abs((at - start) / self.shrink - 0.5 * SIDE) for at, start in zip(box.center, self.corner, strict=True))
        return max(off) <= OFF_CENTER * SIDE


@dataclass(frozen=True, slots=True)
class Motion:
    """How a box moved between two frames.

    dx, dy: shift of its centre, frame pixels. scale: ratio of its sizes.
    kept: share of the points that returned to where they started, 0 to 1; 0 if the motion is unknown, which is then no
        motion. error: median distance between where points started and returned to, frame pixels.
    """

    dx: float
    dy: float
    scale: float
    kept: float
    error: float

    @property
    def is_known(self) -> bool:
        return self.kept > 0


UNKNOWN = Motion(0.0, 0.0, 1.0, 0.0, math.inf)


def grey_window(image: Image, box: Box) -> GreyWindow:
    """The grey square around a box. image: H x W x 3, uint8, any strides."""
    shrink = max(box.w, box.h) / MAX_BOX
    shrink = math.ceil(shrink) if shrink > _ENLARGED else _ENLARGED
    x, y = (round(at - 0.5 * SIDE * shrink) for at in box.center)
    return _cut(image, (x, y), shrink)


def same_window(image: Image, window: GreyWindow, shift: tuple[float, float] = (0.0, 0.0)) -> GreyWindow:
    """The square of another frame at the position of `window`, or `shift` (x, y) frame pixels away from it."""
    x, y = (start + round(by) for start, by in zip(window.corner, shift, strict=True))
    return _cut(image, (x, y), window.shrink)


def estimate_motion(previous: GreyWindow, current: GreyWindow, box: Box, use_scale: bool = True) -> Motion:
    """How the object in the box moved; `UNKNOWN` if too few points can be tracked.

    Both squares must cover the same size in the frame (`same_window`). box: in the previous frame, frame pixels.
    use_scale: measure the change of size too; otherwise the scale is 1.
    """
    start = _grid_points(previous, box)
    if len(start) < _MIN_POINTS:
        return UNKNOWN
    end, back, followed = _follow(previous.pixels, current.pixels, start)
    error = np.hypot(*(back - start).T)
    if followed.sum() < _MIN_POINTS:
        return UNKNOWN
    typical = float(np.median(error[followed]))
    kept = followed & (error <= max(typical, _ALWAYS_KEPT))
    if kept.sum() < _MIN_POINTS:
        return UNKNOWN
    start, end = start[kept], end[kept]
    shift = np.median(end - start, axis=0) * previous.shrink
    dx, dy = (float(by) + now - old for by, now, old in zip(shift, current.corner, previous.corner, strict=True))
    faithful = float((error[followed] <= _MAX_RETURN_ERROR).sum()) / len(followed)
    scale = _scale(start, end) if use_scale else 1.0
    return Motion(dx, dy, scale, faithful, typical * previous.shrink)


def apply(motion: Motion, box: Box) -> Box:
    """The box after that motion; it may leave the frame."""
    x, y = box.center
    return Box.from_cxcywh(x + motion.dx, y + motion.dy, box.w * motion.scale, box.h * motion.scale)


def propagate(
    window: GreyWindow, image: Image, box: Box, shift: tuple[float, float] = (0.0, 0.0), use_scale: bool = True
) -> tuple[Motion, Box, GreyWindow]:
    """Move a box from the frame of `window` to `image`. Returns motion, moved box, and the next `window`.

    shift: expected motion of the box (camera and target), frame pixels; flow then only measures the difference.
    use_scale: as for `estimate_motion`.
    """
    current = same_window(image, window, shift)
    motion = estimate_motion(window, current, box, use_scale)
    moved = apply(motion, box)
    return motion, moved, current if current.fits(moved) else grey_window(image, moved)


def _cut(image: Image, corner: tuple[int, int], shrink: float) -> GreyWindow:
    height, width = image.shape[:2]
    left, right = _inside(corner[0], round(SIDE * shrink), width)
    top, bottom = _inside(corner[1], round(SIDE * shrink), height)
    step = max(1, int(shrink) // 2)  # skip pixels where the frame is shrunk a lot
    rows = image[top:bottom:step, left:right]
    if rows.strides[1:] != (3, 1):
        rows = np.ascontiguousarray(rows)
    # To grey before resizing, since that leaves a third of the data.
    grey = cv2.cvtColor(rows, cv2.COLOR_BGR2GRAY)[:, ::step]
    size = max(1, round((right - left) / shrink)), max(1, round((bottom - top) / shrink))
    if size != grey.shape[1::-1]:
        interpolation = cv2.INTER_AREA if shrink > 1 else cv2.INTER_LINEAR
        grey = cv2.resize(np.ascontiguousarray(grey), size, interpolation=interpolation)
    pixels = np.ascontiguousarray(grey, np.uint8)
    if pixels.shape != (SIDE, SIDE):
        pixels = _extended(pixels, round((left - corner[0]) / shrink), round((top - corner[1]) / shrink))
    return GreyWindow(pixels, corner, shrink, (width, height))


def _inside(start: int, side: int, length: int) -> tuple[int, int]:
    """Begin and end of the part of start..start+side that is in 0..length; one pixel if none is."""
    first = min(max(start, 0), length - 1)
    return first, max(first + 1, min(start + side, length))


def _extended(grey: Image, left: int, top: int) -> Image:
    """A SIDE x SIDE square with these pixels at column `left` and row `top`; their border is repeated outwards."""
    left, top = (min(max(at, 0), SIDE - 1) for at in (left, top))
    grey = grey[: SIDE - top, : SIDE - left]
    right, bottom = SIDE - left - grey.shape[1], SIDE - top - grey.shape[0]
    return np.asarray(cv2.copyMakeBorder(grey, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8)


@functools.cache
def _unit_grid() -> npt.NDArray[np.float64]:
    """Grid points in -0.5..0.5, inside of a circle: the corners of a box rarely belong to the target."""
    line = (np.arange(_GRID) + 0.5) / _GRID - 0.5
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2) * 0.9
    inside: npt.NDArray[np.float64] = points[np.hypot(*points.T) <= 0.5]
    return inside


def _grid_points(window: GreyWindow, box: Box) -> Points:
    """The grid points of the box that are in the frame, in pixels of the square."""
    points = np.array(box.center) + _unit_grid() * (box.w, box.h)
    points = points[((points >= 0) & (points < window.frame_size)).all(axis=1)]
    local = (points - window.corner) / window.shrink - 0.5
    return local[((local >= 0) & (local < SIDE)).all(axis=1)].astype(np.float32)


def _follow(previous: Image, current: Image, start: Points) -> tuple[Points, Points, npt.NDArray[np.bool_]]:
    """The points' positions in the current square, where they return to in the previous one, and which were tracked."""
    end, there = _lucas_kanade(previous, current, start)
    back, again = _lucas_kanade(current, previous, end)
    return end, back, there & again


def _lucas_kanade(previous: Image, current: Image, points: Points) -> tuple[Points, npt.NDArray[np.bool_]]:
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        previous, current, points, None, winSize=_WINDOW, maxLevel=_LEVELS, criteria=_CRITERIA
    )
    return np.asarray(moved, np.float32), np.asarray(status)[:, 0] == 1


def _scale(start: Points, end: Points) -> float:
    """Median ratio of the distances between all pairs of points, limited to 1 / `_MAX_SCALE`..`_MAX_SCALE`."""
    i, j = np.triu_indices(len(start), 1)
    before, after = np.hypot(*(start[i] - start[j]).T), np.hypot(*(end[i] - end[j]).T)
    apart = before > _MIN_DISTANCE
    if apart.sum() < _MIN_POINTS:
        return 1.0
    ratio = float(np.median(after[apart] / before[apart]))
    return min(max(ratio, 1 / _MAX_SCALE), _MAX_SCALE)
