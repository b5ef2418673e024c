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
    bins = cv2.LUT(cv2.cvtColor(small, cv2.COLOR_BGR2LAB), _bins())
    counted = np.bincount((bins[..., 1] + bins[..., 2]).ravel(), weights=_window(), minlength=BINS * BINS)
    return np.asarray(counted, np.float64)


@functools.cache
def _bins() -> npt.NDArray[np.uint8]:
    """1 x 256 x 3: by value of the channels L, a and b, what it adds to the number of a pixel's bin."""
    line = np.clip((np.arange(256) - 64) // (128 // BINS), 0, BINS - 1)
    return np.stack([0 * line, BINS * line, line], axis=-1).astype(np.uint8)[None]


@functools.cache
def _window() -> npt.NDArray[np.float64]:
    line = np.hanning(SIDE + 2)[1:-1]
    window = np.outer(line, line)
    return np.asarray(window / window.sum()).ravel()
