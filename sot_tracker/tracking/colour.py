"""How alike in colour what is in a box is to the target: what tells it from a look-alike of the same shape.

A weighted histogram of the two colour channels of CIELAB, without lightness; compared by Bhattacharyya's coefficient
with that of the first box, with a running mean over the frames in which the target was surely seen, and with one of
the look-alikes that were seen beside it in those frames.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.tracker import Image

Histogram = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

SIDE = 32
"""Pixels per side of the small picture whose pixels are counted."""
AROUND = 1.5
"""The histogram is that of the box enlarged by this; pixels count less the farther they are from the middle."""
BINS = 16
"""Per channel, over the half of its range that real colours fill: 128 values, 8 in a bin."""
RATE, OTHERS_RATE = 0.05, 0.1
"""Weights of a new frame in the running means of the target and of look-alikes."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike something is to the target's first box, to its mean, and to look-alikes seen beside it (None where none
    has been seen): Bhattacharyya coefficients, 0 to 1.
    """

    first: float
    mean: float
    others: float | None = None


SAME = Likeness(1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """Histograms that sum to 1: of the first box, and running means of the target and of look-alikes beside it."""

    first: Histogram
    mean: Histogram
    others: Histogram | None = None

    def likeness(self, seen: Histogram) -> Likeness:
        """Of what has that histogram."""
        others = None if self.others is None else _coefficient(seen, self.others)
        return Likeness(_coefficient(seen, self.first), _coefficient(seen, self.mean), others)

    def learnt(self, seen: Histogram, beside: Histogram | None = None) -> Colours:
        """After a frame in which the target was surely seen, and perhaps a look-alike beside it."""
        others = self.others
        if beside is not None:
            others = beside if others is None else others + OTHERS_RATE * (beside - others)
        return replace(self, mean=self.mean + RATE * (seen - self.mean), others=others)


def start(image: Image, box: Box) -> Colours:
    """Of a new target."""
    seen = histogram(image, box)
    return Colours(seen, seen)


def histogram(image: Image, box: Box) -> Histogram:
    """Of the part of the frame (H x W x 3, BGR, any strides) around the box; outside of it of the nearest pixels."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = Box.from_cxcywh(*box.center, AROUND * box.w, AROUND * box.h).xyxy
    left, top = (round(min(max(at, 0), length - 1)) for at, length in ((x1, width), (y1, height)))
    right, bottom = (round(min(max(at, 1), length)) for at, length in ((x2, width), (y2, height)))
    step = max(1, (right - left) // (2 * SIDE), (bottom - top) // (2 * SIDE))
    part = np.ascontiguousarray(image[top : max(bottom, top + 1) : step, left : max(right, left + 1) : step])
    small = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if part.shape[0] > SIDE else cv2.INTER_LINEAR)
    a, b = np.clip((_channels(np.asarray(small, np.uint8)) - 64) >> 3, 0, BINS - 1)
    counted = np.bincount((BINS * a + b).ravel(), weights=_window(), minlength=BINS * BINS)
    return np.asarray(counted, np.float64)


def _channels(small: Image) -> Integers:
    """2 x pixels, a and b of CIELAB: exactly OpenCV's for 8 bits, but its tables take 40 ms and 5 MB to make."""
    grey_levels, roots, matrix = _tables()
    light = grey_levels.take(small.reshape(-1, 3)) @ matrix  # whole numbers below 2**24: exact in float32
    x, y, z = roots.take((light.T.astype(np.int32) + 2048) >> 12)
    return (np.stack([500 * (x - y), 200 * (y - z)]) + ((128 << 15) + (1 << 14))) >> 15


@functools.cache
def _tables() -> tuple[Floats, Integers, Floats]:
    """In fixed point: linear light of a grey level, CIELAB's root of that, and BGR to XYZ in daylight (D65).

    Computed in float32, as OpenCV's are: in float64 a few entries round to their neighbours.
    """
    grey = np.arange(256, dtype=np.float32) / 255
    linear = np.where(grey <= 0.04045, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4)
    light = np.arange(384 * 8, dtype=np.float32) / (255 * 8)  # XYZ of white is 1
    root = np.where(light < 0.008856, light * 7.787 + 16 / 116, np.cbrt(light))
    rgb_to_xyz = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    matrix = (np.array(rgb_to_xyz) / [[0.950456], [1], [1.088754]])[:, ::-1].T
    first, second, third = (np.rint(at) for at in (255 * 8 * linear, 2**15 * root, 2**12 * matrix))
    return first.astype(np.float32), second.astype(np.int32), third.astype(np.float32)


def _coefficient(one: Histogram, other: Histogram) -> float:
    return float(np.sqrt(one * other).sum())


@functools.cache
def _window() -> npt.NDArray[np.float64]:
    line = np.hanning(SIDE + 2)[1:-1]
    window = np.outer(line, line)
    return np.asarray(window / window.sum()).ravel()
