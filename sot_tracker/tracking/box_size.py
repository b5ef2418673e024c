"""Sizes of tracked boxes: corrected towards the initial box, and smoothed.

The published loops use each frame's size as it is. But the network and the user may disagree about what belongs to the
target: its shadow, its tail, its rider. This gives the network's sizes a constant bias for each target, which can be
measured in the first frame, where the true box is known. And since the search crop is scaled by the last box, an error
of one frame's size is an error of the next frame's scale.
"""

from __future__ import annotations

import math

from sot_tracker.box import Box

SAME = 0.5
"""A box with at least this overlap (IoU) with the initial box is taken to be of the same object."""
MIN_SIDE = 1.0  # pixels: corner networks can give negative sizes

SizeBias = tuple[float, float]
"""log(found / given) of the width and of the height."""
NO_BIAS: SizeBias = (0.0, 0.0)


def bias(found: Box, given: Box) -> SizeBias:
    """How the network's width and height differ from the given ones; `NO_BIAS` where it found another object."""
    if found.w < MIN_SIDE or found.h < MIN_SIDE or found.iou(given) < SAME:
        return NO_BIAS
    return math.log(found.w / given.w), math.log(found.h / given.h)


def corrected(box: Box, known: SizeBias, share: float) -> Box:
    """The box with `share` (0 to 1) of the bias removed; the centre stays."""
    w, h = (max(side, MIN_SIDE) * math.exp(-share * by) for side, by in zip((box.w, box.h), known, strict=True))
    return Box.from_cxcywh(*box.center, w, h)


def smoothed(box: Box, last: Box, rate: float) -> Box:
    """The box with the size of the last one, changed by `rate` (0 to 1) of the difference in logarithms."""
    sides = zip((last.w, last.h), (box.w, box.h), strict=True)
    w, h = (old * (max(new, MIN_SIDE) / old) ** rate for old, new in sides)
    return Box.from_cxcywh(*box.center, w, h)
