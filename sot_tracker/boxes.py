"""Arrays of boxes: x, y, w, h in the last axis, in the convention of `sot_tracker.box`. All functions broadcast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def to_corners(boxes: Array) -> Array:
    """(..., 4) x, y, w, h -> x1, y1, x2, y2."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def from_corners(corners: Array) -> Array:
    """(..., 4) x1, y1, x2, y2 -> x, y, w, h."""
    return np.concatenate([corners[..., :2], corners[..., 2:] - corners[..., :2]], axis=-1)


def centers(boxes: Array) -> Array:
    """(..., 2) x and y."""
    return np.asarray(boxes[..., :2] + 0.5 * boxes[..., 2:])


def areas(boxes: Array) -> Array:
    """(...) w * h, 0 where a side is not positive."""
    return np.asarray(np.clip(boxes[..., 2:], 0, None).prod(axis=-1))


def are_valid(boxes: Array) -> npt.NDArray[np.bool_]:
    """(...) whether all four numbers are finite and both sides positive."""
    return np.asarray(np.isfinite(boxes).all(axis=-1) & (boxes[..., 2:] > 0).all(axis=-1))


def intersections(a: Array, b: Array) -> Array:
    """(...) overlapping areas."""
    a, b = to_corners(a), to_corners(b)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.asarray(np.clip(sides, 0, None).prod(axis=-1))


def ious(a: Array, b: Array) -> Array:
    """(...) intersections over unions, 0..1; 0 where both are empty."""
    shared = intersections(a, b)
    union = areas(a) + areas(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def coverages(boxes: Array, by: Array) -> Array:
    """(...) shares of `boxes` that `by` covers, 0..1; 0 for empty ones."""
    shared, area = intersections(boxes, by), areas(boxes) + np.zeros(by.shape[:-1])
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)


def center_errors(boxes: Array, truth: Array, normalized: bool = False) -> Array:
    """(...) distances of centres: in pixels, or with each axis in units of the true width or height."""
    offset = centers(boxes) - centers(truth)
    return np.asarray(np.linalg.norm(offset / truth[..., 2:] if normalized else offset, axis=-1))


def clip(boxes: Array, size: tuple[int, int]) -> Array:
    """(..., 4) boxes cut to a (width, height) image; those outside of it become empty at its border."""
    width, height = size
    return from_corners(np.clip(to_corners(boxes), 0, np.array([width, height, width, height], np.float64)))
