"""How similar the colours in a box are to the target's, which tells the target from a look-alike of the same shape.

The colours are a weighted histogram of the two colour channels of CIELAB, without lightness. It is compared, by the
Bhattacharyya coefficient, with three others: that of the first box, a running mean over the frames in which the target
was surely found, and a running mean of the look-alikes that were beside it in those frames.
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
"""Pixels per side to which the region is resized before its pixels are counted."""
ENLARGEMENT = 1.5
"""Factor by which the box is enlarged for its histogram; weights decrease from the middle outwards."""
BINS = 16
"""Bins per channel, over the half of its range in which real colours lie: 128 values, 8 in a bin."""
RATE, OTHERS_RATE = 0.05, 0.1
"""Weights of a new frame in the running means of the target and of look-alikes."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Similarity of a histogram to that of the target's first box, to the target's running mean, and to that of the
    look-alikes beside it (None as long as there was none): Bhattacharyya coefficients, 0 to 1.
    """

    first: float
    mean: float
    others: float | None = None


IDENTICAL = Likeness(1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """Histograms that sum to 1: of the first box, and running means of the target and of look-alikes beside it."""

    first: Histogram
    mean: Histogram
    others: Histogram | None = None

    def likeness(self, seen: Histogram) -> Likeness:
        """How similar that histogram is to those of the target and of the look-alikes."""
        others = None if self.others is None else _coefficient(seen, self.others)
        return Likeness(_coefficient(seen, self.first), _coefficient(seen, self.mean), others)

    def learnt(self, seen: Histogram, beside: Histogram | None = None) -> Colours:
        """Update the running means after a frame in which the target was surely found.

        seen: histogram of the target. beside: of a look-alike beside it, if there was one.
        """
        others = self.others
        if beside is not None:
            others = beside if others is None else others + OTHERS_RATE * (beside - others)
        return replace(self, mean=self.mean + RATE * (seen - self.mean), others=others)


def start(image: Image, box: Box) -> Colours:
    """The histograms of a new target."""
    seen = histogram(image, box)
    return Colours(seen, seen)


def histogram(image: Image, box: Box) -> Histogram:
    """The histogram of the region around the box in a frame (H x W x 3, BGR, any strides), cut to the frame."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = Box.from_cxcywh(*box.center, ENLARGEMENT * box.w, ENLARGEMENT * box.h).xyxy
    left, top = (round(min(max(at, 0), length - 1)) for at, length in ((x1, width), (y1, height)))
    right, bottom = (round(min(max(at, 1), length)) for at, length in ((x2, width), (y2, height)))
    step = max(1, (right - left) // (2 * SIDE), (bottom - top) // (2 * SIDE))
    part = np.ascontiguousarray(image[top : max(bottom, top + 1) : step, left : max(right, left + 1) : step])
    small = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if part.shape[0] > SIDE else cv2.INTER_LINEAR)
    a, b = np.clip((_channels(np.asarray(small, np.uint8)) - 64) >> 3, 0, BINS - 1)
    counted = np.bincount((BINS * a + b).ravel(), weights=_window(), minlength=BINS * BINS)
    return np.asarray(counted, np.float64)


def _channels(small: Image) -> Integers:
    """2 x pixels, a and b of CIELAB, 0 to 255, as from OpenCV's conversion, whose tables take 40 ms and 5 MB.

    Of all 16.7 million colours, a or b of 443 differ from OpenCV's by 1.
    """
    grey_levels, roots, matrix = _tables()
    light = grey_levels.take(small.reshape(-1, 3)) @ matrix  # whole numbers below 2**24: exact in float32
    x, y, z = roots.take((light.T.astype(np.int32) + 2048) >> 12)
    return (np.stack([500 * (x - y), 200 * (y - z)]) + ((128 << 15) + (1 << 14))) >> 15


@functools.cache
def _tables() -> tuple[Floats, Integers, Floats]:
    """Fixed-point tables: grey level to linear light, linear light to CIELAB's cube root, and BGR to XYZ (D65).

    The entries are rounded to float32 in between, as in OpenCV. They are computed in float64, so that they are the
    same on every processor: NumPy's cube root in float32 differs in its last bit between AVX2 and AVX-512.
    """
    grey = np.arange(256) / 255
    linear = np.where(grey <= 0.04045, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4).astype(np.float32)
    light = np.arange(384 * 8, dtype=np.float32) / np.float32(255 * 8)  # XYZ of white is 1
    root = np.where(light < 0.008856, light * 7.787 + 16 / 116, np.cbrt(light.astype(np.float64))).astype(np.float32)
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
