"""How the camera moved between two frames, and where a target with a velocity of its own is then expected.

The background's motion is a similarity transform (translation, rotation, zoom), fitted to optical flow outside of the
target's box in frames reduced to a width of `WIDTH` pixels; RANSAC leaves out other moving objects. A target's velocity
is relative to the background, so that neither a pan nor a stop of the camera changes it. All functions are pure and
deterministic: OpenCV draws RANSAC's samples from a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]

WIDTH = 120
"""Width of the reduced frame, pixels; narrower frames are not reduced."""
ENLARGEMENT = 1.3
"""Factor by which a target's box is enlarged before it is masked out: what is close to a target often moves with it."""

_CORNERS, _QUALITY, _MIN_DISTANCE = 40, 0.01, 6  # corners (Shi and Tomasi) in the reduced frame
_WINDOW = (9, 9)  # pixels of the reduced frame; OpenCV is faster with 9 than with 7 or 11
_LEVELS = (3, 1)  # pyramid levels; the second is tried if the first gives no motion
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)
_MAX_RETURN_ERROR = 1.0  # pixels of the reduced frame: largest forward-backward error of a point that is used
_RANSAC_THRESHOLD = 1.0  # pixels of the reduced frame: largest distance of an inlier from the fitted motion
_MIN_POINTS = 8  # points
_MAX_ZOOM = 1.3  # in one frame


@dataclass(frozen=True, slots=True, eq=False)
class ReducedFrame:
    """A small grey copy of a frame. shrink: frame pixels per pixel, in x and in y."""

    pixels: Image
    shrink: tuple[float, float]


@dataclass(frozen=True, slots=True)
class CameraMotion:
    """The motion of the background: x' = a x - b y + dx, y' = b x + a y + dy, frame pixels.

    kept: share of the points that are inliers, 0 to 1; 0 if the motion is unknown, which is then the identity.
    """

    a: float
    b: float
    dx: float
    dy: float
    kept: float

    @property
    def is_known(self) -> bool:
        return self.kept > 0

    @property
    def zoom(self) -> float:
        return math.hypot(self.a, self.b)

    def moved(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the background is in the next frame."""
        return self.a * x - self.b * y + self.dx, self.b * x + self.a * y + self.dy


STILL = CameraMotion(1.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Velocity:
    """Velocity of a target relative to the background, pixels per frame."""

    x: float = 0.0
    y: float = 0.0


def reduced_frame(image: Image) -> ReducedFrame:
    """The reduced copy of a frame (H x W x 3, uint8, any strides), made from its green channel."""
    height, width = image.shape[:2]
    step = max(1, round(width / (2 * WIDTH)))
    part = np.ascontiguousarray(image[::step, ::step, 1])
    size = (WIDTH, max(1, round(height * WIDTH / width))) if width > WIDTH else (width, height)
    if size != part.shape[1::-1]:
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.uint8)  # of about two pixels
    return ReducedFrame(part, (width / size[0], height / size[1]))


def estimate_camera(previous: ReducedFrame, current: ReducedFrame, targets: Sequence[Box] = ()) -> CameraMotion:
    """The background's motion between two frames of one size. `targets` are masked out in the previous frame.

    `STILL` if too few points can be tracked, or if most of them do not move together.
    """
    if previous.pixels.shape != current.pixels.shape:
        return STILL
    start = _corners(previous, targets)
    for levels in _LEVELS:  # a new object in the picture can disturb the coarsest level, and with it all points
        camera = _fitted(*_followed(previous, current, start, levels), previous.shrink)
        if camera.is_known:
            return camera
    return STILL


def _fitted(start: Points, end: Points, shrink: tuple[float, float]) -> CameraMotion:
    """The motion that most of these points of two reduced frames have in common; `STILL` if there is none."""
    if len(start) < _MIN_POINTS:
        return STILL
    before, after = (((points + 0.5) * shrink).astype(np.float32) for points in (start, end))
    matrix, mask = cv2.estimateAffinePartial2D(
        before,
        after,
        method=cv2.RANSAC,
        ransacReprojThreshold=_RANSAC_THRESHOLD * max(shrink),
        maxIters=200,
        refineIters=0,
    )
    if matrix is None or not np.isfinite(matrix).all():
        return STILL
    fits = np.asarray(mask)[:, 0] == 1
    a, b, dx, dy = _least_squares(before[fits], after[fits])
    kept = float(np.mean(fits))
    if kept < 0.5 or not 1 / _MAX_ZOOM < math.hypot(a, b) < _MAX_ZOOM:
        return STILL
    return CameraMotion(a, b, dx, dy, kept)


def _least_squares(before: Points, after: Points) -> tuple[float, float, float, float]:
    """a, b, dx and dy of `CameraMotion` by least squares, in complex numbers: z' = (a + bi) z + (dx + dyi)."""
    z, moved = (points.astype(np.float64) @ (1, 1j) for points in (before, after))
    middle, there = z.mean(), moved.mean()
    size = float(np.vdot(z - middle, z - middle).real)
    turn = complex(np.vdot(z - middle, moved - there)) / size if size else 1.0 + 0.0j
    shift = complex(there - turn * middle)
    return turn.real, turn.imag, shift.real, shift.imag


def predicted(box: Box, velocity: Velocity, camera: CameraMotion) -> Box:
    """Where a box of the last frame is expected: moved with the background, then by its own velocity."""
    x, y = camera.moved(*box.center)
    return Box.from_cxcywh(x + velocity.x, y + velocity.y, box.w * camera.zoom, box.h * camera.zoom)


def updated_velocity(velocity: Velocity, camera: CameraMotion, last: Box, box: Box, rate: float = 0.4) -> Velocity:
    """The velocity after a target went from `last` to `box` in one frame; `rate`, 0 to 1, is that frame's weight."""
    turned = _turned(velocity, camera)
    x, y = camera.moved(*last.center)
    now = box.center[0] - x, box.center[1] - y
    return Velocity(turned.x + rate * (now[0] - turned.x), turned.y + rate * (now[1] - turned.y))


def _turned(velocity: Velocity, camera: CameraMotion) -> Velocity:
    """The same velocity in the coordinates of the next frame."""
    return Velocity(camera.a * velocity.x - camera.b * velocity.y, camera.b * velocity.x + camera.a * velocity.y)


def _corners(frame: ReducedFrame, targets: Sequence[Box]) -> Points:
    """Corners of the background, which optical flow can track."""
    corners = cv2.goodFeaturesToTrack(frame.pixels, _CORNERS, _QUALITY, _MIN_DISTANCE, mask=_background(frame, targets))
    return np.empty((0, 2), np.float32) if corners is None else np.asarray(corners, np.float32).reshape(-1, 2)


def _followed(previous: ReducedFrame, current: ReducedFrame, start: Points, levels: int) -> tuple[Points, Points]:
    """The points with a small forward-backward error: their positions in the previous and in the current frame."""
    if len(start) < _MIN_POINTS:
        return start, start
    end, there = _lucas_kanade(previous.pixels, current.pixels, start, levels)
    back, again = _lucas_kanade(current.pixels, previous.pixels, end, levels)
    good = there & again & (np.hypot(*(back - start).T) <= _MAX_RETURN_ERROR)
    return start[good], end[good]


def _background(frame: ReducedFrame, targets: Sequence[Box]) -> Image:
    mask = np.full(frame.pixels.shape, 255, np.uint8)
    for target in targets:
        box = Box.from_cxcywh(*target.center, ENLARGEMENT * target.w, ENLARGEMENT * target.h)
        x1, y1, x2, y2 = (at / frame.shrink[i % 2] for i, at in enumerate(box.xyxy))
        mask[max(0, math.floor(y1)) : max(0, math.ceil(y2)), max(0, math.floor(x1)) : max(0, math.ceil(x2))] = 0
    return mask


def _lucas_kanade(previous: Image, current: Image, points: Points, levels: int) -> tuple[Points, npt.NDArray[np.bool_]]:
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        previous, current, points, None, winSize=_WINDOW, maxLevel=levels, criteria=_CRITERIA
    )
    return np.asarray(moved, np.float32), np.asarray(status)[:, 0] == 1
