"""Sizes of tracked boxes: corrected towards the initial box, and smoothed.

The published loops take each frame's size as it is. But what counts as the target differs: with its shadow, its tail or
its rider, or without. A network has a constant bias for each object, which shows in the first frame, where the truth is
known. And an error of one frame's size is an error of the next frame's zoom.
"""

from __future__ import annotations

import math

from sot_tracker.box import Box

SAME = 0.5
"""From this overlap (IoU) with the initial box on, what the network found is taken to be the same object."""
LEAST = 1.0  # pixels: corner networks can give negative sizes

SizeBias = tuple[float, float]
"""log(found / given) of the width and of the height."""
NO_BIAS: SizeBias = (0.0, 0.0)


def bias(found: Box, given: Box) -> SizeBias:
    """How a network's width and height of a target differ from the given ones; none where it found another object."""
    if found.w < LEAST or found.h < LEAST or found.iou(given) < SAME:
        return NO_BIAS
    return math.log(found.w / given.w), math.log(found.h / given.h)


def corrected(box: Box, known: SizeBias, share: float) -> Box:
    """The box without `share` (0 to 1) of the bias; the centre stays."""
    w, h = (max(side, LEAST) * math.exp(-share * by) for side, by in zip((box.w, box.h), known, strict=True))
    return Box.from_cxcywh(*box.center, w, h)


def smoothed(box: Box, last: Box, rate: float) -> Box:
    """The box with the size of the last one, changed by `rate` (0 to 1) of the difference in logarithms."""
    sides = zip((last.w, last.h), (box.w, box.h), strict=True)
    w, h = (old * (max(new, LEAST) / old) ** rate for old, new in sides)
    return Box.from_cxcywh(*box.center, w, h)
