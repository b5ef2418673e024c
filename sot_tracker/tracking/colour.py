"""How alike in colour what is in a box is to the target: what tells it from a look-alike of the same shape.

A weighted histogram of the two colour channels of CIELAB, without lightness; compared by Bhattacharyya's coefficient
with that of the first box and with a running mean over the frames in which the target was surely seen.
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
Integers = npt.NDArray[np.int64]

SIDE = 32
"""Pixels of the small picture that is counted."""
AROUND = 1.5
"""Of the box, that is looked at; pixels count the less the farther they are from the middle."""
BINS = 16
"""Per channel, over the half of its range that real colours fill."""
RATE = 0.05
"""Weight of a new frame in the running mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """Histograms that sum to 1: of the first box, and the running mean."""

    first: Histogram
    mean: Histogram

    def similarity(self, seen: Histogram) -> tuple[float, float]:
        """With the first box and with the mean, 0 to 1."""
        return float(np.sqrt(seen * self.first).sum()), float(np.sqrt(seen * self.mean).sum())

    def learnt(self, seen: Histogram) -> Colours:
        """After a frame in which the target was surely seen."""
        return replace(self, mean=self.mean + RATE * (seen - self.mean))


def start(image: Image, box: Box) -> Colours:
    """Of a new target."""
    seen = histogram(image, box)
    return Colours(seen, seen)


def histogram(image: Image, box: Box) -> Histogram:
    """Of the part of the frame (H x W x 3, BGR, any strides) around the box; even where that lies outside."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = Box.from_cxcywh(*box.center, AROUND * box.w, AROUND * box.h).xyxy
    left, top = (round(min(max(at, 0), length - 1)) for at, length in ((x1, width), (y1, height)))
    right, bottom = (round(min(max(at, 1), length)) for at, length in ((x2, width), (y2, height)))
    step = max(1, (right - left) // (2 * SIDE), (bottom - top) // (2 * SIDE))
    part = np.ascontiguousarray(image[top : max(bottom, top + 1) : step, left : max(right, left + 1) : step])
    small = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if part.shape[0] > SIDE else cv2.INTER_LINEAR)
    bins = np.clip((_channels(np.asarray(small, np.uint8)) - 64) // (128 // BINS), 0, BINS - 1) @ (BINS, 1)
    counted = np.bincount(bins.ravel(), weights=_window(), minlength=BINS * BINS)
    return np.asarray(counted, np.float64)


def _channels(small: Image) -> Integers:
    """a and b of CIELAB, last axis, as OpenCV gives them for 8 bits; its own tables take 40 ms at the first use."""
    grey_levels, roots, matrix = _tables()
    x, y, z = np.moveaxis(roots[(grey_levels[small] @ matrix + 2048) >> 12], -1, 0)
    return np.stack([500 * (x - y), 200 * (y - z)], axis=-1) + (128 << 15) + (1 << 14) >> 15


@functools.cache
def _tables() -> tuple[Integers, Integers, Integers]:
    """In fixed point: linear light of a grey level, CIELAB's root of that, and BGR to XYZ in daylight (D65)."""
    grey = np.arange(256) / 255
    linear = np.where(grey <= 0.04045, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4)
    light = np.arange(384 * 8) / (255 * 8)  # XYZ of white is 1
    root = np.where(light < 0.008856, light * 7.787 + 16 / 116, np.cbrt(light))
    rgb_to_xyz = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    matrix = (np.array(rgb_to_xyz) / [[0.950456], [1], [1.088754]])[:, ::-1].T
    first, second, third = (np.rint(at).astype(np.int64) for at in (255 * 8 * linear, 2**15 * root, 2**12 * matrix))
    return first, second, third


@functools.cache
def _window() -> npt.NDArray[np.float64]:
    line = np.hanning(SIDE + 2)[1:-1]
    window = np.outer(line, line)
    return np.asarray(window / window.sum()).ravel()
