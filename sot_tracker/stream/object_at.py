"""Finds the object around a point of a picture, for a user who clicks instead of drawing a box.

GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004; OpenCV's implementation) segments square windows of several sizes
around the point: pixels at the point are labelled object, pixels near the window's border background. Of the regions
found, the one with the highest contrast along its outline is taken. This takes 0.1 to 0.3 s. The result is a guess: on
pictures with known boxes, four of ten guesses have an IoU above 0.5 and seven of ten above 0.3. So the user should see
it before it is tracked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.tracker import Image

Mask = npt.NDArray[np.uint8]
"""Square, 0 or 1."""

_SIDE = 96  # pixels of a window
_WINDOWS = (0.04, 0.08, 0.16, 0.32, 0.6)  # half sides, of the frame's shorter side
_SEED, _LIKELY, _BORDER = 0.1, 0.55, 0.9  # radii, of half the window: object, likely object; background from here on
_ROUNDS = 2
_NEAR = 7  # pixels of a window on both sides of an outline that are compared
_CLEAR = 80.0  # CIELAB difference across an outline; larger differences count as this
_FAINT = 4.0  # CIELAB difference across an outline; with smaller differences there is no object
_LARGER = 0.3  # a region is worth 2 ** 0.3 times as much as an equal one in the next smaller window
_MIN_SIDE = 4.0  # pixels of the frame: a region with a shorter side is not an object


@dataclass(frozen=True, slots=True)
class _Region:
    box: Box
    worth: float


def object_at(image: Image, x: float, y: float) -> Box | None:
    """The upright box of the object at (x, y), frame pixels, cut to the frame; None if no object is found.

    image: H x W x 3 BGR, uint8, any strides. Deterministic. A point outside of the frame gives None.
    """
    height, width = image.shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        return None
    picture = np.ascontiguousarray(image)
    halves = [share * min(height, width) for share in _WINDOWS]
    regions = [_region(picture, x, y, half, index) for index, half in enumerate(halves) if 2 * half > _MIN_SIDE]
    found = max((region for region in regions if region is not None), key=lambda r: r.worth, default=None)
    if found is None:
        return None
    box = found.box.clipped(width, height)
    return box if min(box.w, box.h) >= _MIN_SIDE else None


def _region(picture: Image, x: float, y: float, half: float, index: int) -> _Region | None:
    """The region that GrabCut finds in the window of that half side; None without a clear outline."""
    window = _window(picture, x, y, half)
    mask = _grab(window)
    if mask is None:
        return None
    contrast = _contrast(window, mask)
    if contrast < _FAINT:
        return None
    cut_off = float(
        (_radius()[mask > 0] > _BORDER - 0.04).mean()
    )  # share of the region that touches the window's border
    hull = cv2.contourArea(cv2.convexHull(cv2.findNonZero(mask)))
    solidity = float(mask.sum()) / max(1.0, hull)
    worth = min(contrast, _CLEAR) * solidity * (1 - 5 * cut_off) * 2 ** (_LARGER * index)
    left, top, w, h = cv2.boundingRect(mask)
    scale = 2 * half / _SIDE
    box = Box(x - half + left * scale, y - half + top * scale, w * scale, h * scale)
    return _Region(box, worth) if worth > 0 else None


@cache
def _radius() -> npt.NDArray[np.float64]:
    """Distance of every pixel of a window from its centre, in half sides."""
    along = (np.arange(_SIDE) + 0.5) / _SIDE * 2 - 1
    return np.asarray(np.hypot(*np.meshgrid(along, along)))


def _window(picture: Image, x: float, y: float, half: float) -> Image:
    """The square around a point, resized to `_SIDE`. Outside of the frame, its border pixels are repeated."""
    scale = _SIDE / (2 * half)
    matrix = np.array([[scale, 0, _SIDE / 2 - scale * x], [0, scale, _SIDE / 2 - scale * y]])
    # warpAffine does not average, so large windows are shrunk with INTER_AREA before.
    if scale < 0.5:
        step = int(1 / scale)
        size = (max(1, picture.shape[1] // step), max(1, picture.shape[0] // step))
        ratio = np.array([picture.shape[1] / size[0], picture.shape[0] / size[1]])
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, :2] *= ratio
    return np.asarray(
        cv2.warpAffine(picture, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )


def _grab(window: Image) -> Mask | None:
    """The connected region at the window's centre that GrabCut labels as object; None if there is none."""
    radius = _radius()
    labels = np.full((_SIDE, _SIDE), cv2.GC_PR_BGD, np.uint8)
    labels[radius < _LIKELY] = cv2.GC_PR_FGD
    labels[radius > _BORDER] = cv2.GC_BGD
    labels[radius < _SEED] = cv2.GC_FGD
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its clusters are initialised at random
    cv2.grabCut(window, labels, None, background, foreground, _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    mask = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    regions = cv2.connectedComponents(mask)[1]
    at_center = regions[_SIDE // 2, _SIDE // 2]
    return (regions == at_center).astype(np.uint8) if at_center else None


def _contrast(window: Image, mask: Mask) -> float:
    """Mean CIELAB difference between the two sides of the region's outline, each averaged over `_NEAR` pixels."""
    lab = cv2.cvtColor(window, cv2.COLOR_BGR2LAB).astype(np.float32)
    rim = (cv2.dilate(mask, np.ones((3, 3), np.uint8)) - mask) > 0
    if not rim.any():
        return 0.0
    across = np.linalg.norm(_near(lab, mask) - _near(lab, 1 - mask), axis=2)[rim]
    return float(np.minimum(across, _CLEAR).mean())


def _near(lab: npt.NDArray[np.float32], part: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The mean colour of the pixels of `part` around every pixel."""
    weight = part.astype(np.float32)
    size = (_NEAR, _NEAR)
    total = cv2.boxFilter(lab * weight[..., None], -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter(weight, -1, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(total / np.maximum(count, 1e-6)[..., None], np.float32)
