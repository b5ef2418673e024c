"""The size of a tracked box: what the network says, in the terms of the box that was given, and without its jumps.

The published loops take each frame's size as it is. But what counts as the target differs: with its shadow, its tail or
its rider, or without. A network has a habit for each object, which shows in the first frame, where the truth is known.
And the error of one frame's size is the zoom of the next.
"""

from __future__ import annotations

import math

from sot_tracker.box import Box

SAME = 0.5
"""Least overlap with the given box at which the network has the same thing in mind."""
LEAST = 1.0  # pixels: corner networks can say negative sizes

Bias = tuple[float, float]
"""Logarithms of found by given width and height."""


def bias(found: Box, given: Box) -> Bias:
    """By how much a network's width and height of a target differ from the given ones; none where it found another."""
    if found.w < LEAST or found.h < LEAST or found.iou(given) < SAME:
        return 0.0, 0.0
    return math.log(found.w / given.w), math.log(found.h / given.h)


def fitted(box: Box, known: Bias, share: float) -> Box:
    """The box without `share` of the bias; the centre stays."""
    w, h = (max(side, LEAST) * math.exp(-share * by) for side, by in zip((box.w, box.h), known, strict=True))
    return Box.from_cxcywh(*box.center, w, h)


def steadied(box: Box, last: Box, rate: float) -> Box:
    """The box with the size of the last one, changed by `rate` of the difference in logarithms."""
    sides = zip((last.w, last.h), (box.w, box.h), strict=True)
    w, h = (old * (max(new, LEAST) / old) ** rate for old, new in sides)
    return Box.from_cxcywh(*box.center, w, h)
