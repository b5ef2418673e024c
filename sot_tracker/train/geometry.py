"""Affine maps between pictures and patches. A map is 2 x 3, float64, in corner coordinates: (0, 0) is the corner of
pixel 0.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.datasets.records import XYWH

Affine = npt.NDArray[np.float64]


def crop(
    center: tuple[float, float], side: float, out: int, angle: float = 0.0, aspect: float = 1.0, flip: bool = False
) -> Affine:
    """Picture -> patch of out x out showing the square of `side` pixels around `center`.

    angle: radians the picture turns. aspect: the picture's width grows by its root and the height shrinks.
    flip: mirrored.
    """
    scale = out / side
    stretch = np.diag([math.sqrt(aspect) * (-1 if flip else 1), 1 / math.sqrt(aspect)])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = scale * turn @ stretch
    return np.column_stack([linear, 0.5 * out - linear @ np.asarray(center)])


def place(
    center: tuple[float, float], target: tuple[float, float], scale: float, angle: float, aspect: float, flip: bool
) -> Affine:
    """The map that scales and turns a picture and brings its point `center` to `target`."""
    linear = crop(center, 1.0, 1, angle, aspect, flip)[:, :2] * scale
    return np.column_stack([linear, np.asarray(target) - linear @ np.asarray(center)])


def square_side(convention: str, w: float, h: float, factor: float) -> float:
    """Side of the square that a tracker crops around a box, before rounding; `sot_tracker.crop` has the conventions.

    convention: `NetworkSpec.crop`. They differ for boxes that are not squares.
    """
    if convention == "black":
        return factor * math.sqrt(w * h)
    context = 0.5 * (factor - 1) * (w + h)
    return math.sqrt((w + context) * (h + context))


def padding(convention: str, picture: np.ndarray) -> tuple[int, ...]:
    """What a tracker shows outside of a picture, per channel: black, or the picture's average, rounded down as HCAT was
    trained (fact sheet, section 8). A mask, the fourth channel, is empty there.
    """
    if convention == "black":
        return (0, 0, 0, 0)
    return (*(int(v) for v in cv2.mean(picture)[:3]), 0)


def warp(picture: np.ndarray, affine: Affine, out: int, fill: tuple[int, ...] = (0, 0, 0, 0)) -> np.ndarray:
    """The out x out patch, bilinear, `fill` outside of the picture."""
    centres = affine.copy()
    centres[:, 2] += 0.5 * affine[:, 0] + 0.5 * affine[:, 1] - 0.5
    return cv2.warpAffine(picture, centres, (out, out), flags=cv2.INTER_LINEAR, borderValue=fill)


def move_box(box: XYWH, affine: Affine) -> XYWH:
    """Bounds of the moved box; under rotation of its inscribed ellipse, since objects seldom fill their corners."""
    cx, cy = box[0] + 0.5 * box[2], box[1] + 0.5 * box[3]
    x, y = affine[:, :2] @ (cx, cy) + affine[:, 2]
    half_w = math.hypot(affine[0, 0] * box[2] / 2, affine[0, 1] * box[3] / 2)
    half_h = math.hypot(affine[1, 0] * box[2] / 2, affine[1, 1] * box[3] / 2)
    return (x - half_w, y - half_h, 2 * half_w, 2 * half_h)


def move_points(points: np.ndarray, affine: Affine) -> XYWH:
    """Bounds of moved points (N x 2)."""
    moved = points @ affine[:, :2].T + affine[:, 2]
    (x0, y0), (x1, y1) = moved.min(0), moved.max(0)
    return (float(x0), float(y0), float(x1 - x0), float(y1 - y0))


def jitter(box: XYWH, scale: float, shift: float, rng: np.random.Generator) -> XYWH:
    """The published search jitter: sides x exp(scale N(0,1)), centre + shift sqrt(w h) U(-0.5, 0.5) per axis
    (facts, section 6).
    """
    w, h = np.asarray(box[2:]) * np.exp(scale * rng.standard_normal(2))
    cx, cy = np.add(box[:2], np.multiply(box[2:], 0.5)) + shift * math.sqrt(w * h) * (rng.random(2) - 0.5)
    return (cx - 0.5 * w, cy - 0.5 * h, w, h)


def fractions(box: XYWH, out: int) -> XYWH:
    """A box in patch pixels as fractions of the patch, with the published half-pixel shift.

    Training puts the crop's centre at (out - 1) / 2 where the trackers decode it at out / 2 (fact sheets, training
    section); both stay as published.
    """
    x, y, w, h = box
    return ((x - 0.5) / out, (y - 0.5) / out, w / out, h / out)
