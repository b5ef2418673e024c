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

SIDE = 32
"""Pixels of the small picture that is counted."""
AROUND = 1.5
"""Of the box, that is looked at; pixels count the less the farther they are from the middle."""
BINS = 16
"""Per channel, over the half of its range that real colours fill."""
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
    """Of the part of the frame (H x W x 3, BGR, any strides) around the box; even where that lies outside."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = Box.from_cxcywh(*box.center, AROUND * box.w, AROUND * box.h).xyxy
    left, top = (round(min(max(at, 0), length - 1)) for at, length in ((x1, width), (y1, height)))
    right, bottom = (round(min(max(at, 1), length)) for at, length in ((x2, width), (y2, height)))
    step = max(1, (right - left) // (2 * SIDE), (bottom - top) // (2 * SIDE))
    part = np.ascontiguousarray(image[top : max(bottom, top + 1) : step, left : max(right, left + 1) : step])
    small = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA if part.shape[0] > SIDE else cv2.INTER_LINEAR)
    channels = cv2.cvtColor(small, cv2.COLOR_BGR2LAB)[..., 1:].astype(np.int32)
    bins = np.clip((channels - 64) // (128 // BINS), 0, BINS - 1) @ (BINS, 1)
    counted = np.bincount(bins.ravel(), weights=_window(), minlength=BINS * BINS)
    return np.asarray(counted, np.float64)


def _coefficient(one: Histogram, other: Histogram) -> float:
    return float(np.sqrt(one * other).sum())


@functools.cache
def _window() -> npt.NDArray[np.float64]:
    line = np.hanning(SIDE + 2)[1:-1]
    window = np.outer(line, line)
    return np.asarray(window / window.sum()).ravel()
