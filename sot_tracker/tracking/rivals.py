"""Other things that look like the target: kept track of, so that none of them is taken for it.

While the target is hidden, the highest peak of the score map is often on a look-alike, and from then on the loop
follows that. But nothing can be in two places: a peak that stood beside the target's own in earlier frames is not the
target when that vanishes (Mayer et al., KeepTrack, ICCV 2021, learn such an association; here it is by place alone).

A rival is a second peak, lower than the target's. From frame to frame it is the nearest peak to where the camera moved
it (`expectation.py`). Its peak is not chosen unless the target is expected nearer to it. One that gets higher than the
target is no rival any more: the loop may have followed the wrong one. All functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sot_tracker.box import Box
from sot_tracker.crop import Crop
from sot_tracker.decode import Maps

LEAST = 0.15
"""Score of a peak that counts."""
APART, SAME, REACH = 0.6, 0.45, 0.5
"""In sides of the target, sqrt(w h): a peak farther than the first from the target's is another object; farther than
the second a rival does not move in one frame, beside the camera's motion; within the last a place is the rival's."""
COVERED = 2.0
"""Sides of the target from its box to the border of the searched square."""
PATIENCE = 8
"""Searches that covered a rival's place and did not find it, until it is forgotten."""
FORGET = 12
"""Frames of a lost target, until anything may be the target again."""
SETTLED = 20
"""Frames for which the target must have been followed without a loss for a second peak to be a rival: after a loss, the
loop may be on the wrong one."""
LEVEL_RATE = 0.2
"""Share of a frame's score in the running mean with which rivals are compared."""
_AROUND = np.ones((5, 5), np.uint8)  # cells: a peak is the highest of so many


@dataclass(frozen=True, slots=True)
class Peak:
    """Of a score map: its center, frame pixels, how high it is, 0 to 1, and its cell."""

    x: float
    y: float
    score: float
    row: int = 0
    col: int = 0

    def distance(self, x: float, y: float) -> float:
        """Pixels to a point."""
        return math.hypot(self.x - x, self.y - y)


@dataclass(frozen=True, slots=True)
class Rival:
    """Something like the target. x, y: its center, pixels of the newest frame. unseen: searches in vain since then."""

    x: float
    y: float
    unseen: int = 0


@dataclass(frozen=True, slots=True)
class Rivals:
    """All of one target. level: running mean of its own score. followed: frames since it was lost, or enough."""

    known: tuple[Rival, ...] = ()
    level: float = 0.5
    followed: int = SETTLED


NO_RIVALS = Rivals()


def peaks(maps: Maps, crop: Crop) -> tuple[Peak, ...]:
    """The peaks of a center network's score map; of other networks none."""
    if "score" not in maps or not np.isfinite(maps["score"]).all():
        return ()
    score = maps["score"][0]
    cells = np.argwhere((score >= cv2.dilate(score, _AROUND)) & (score >= LEAST))
    return tuple(_peak(maps, crop, int(row), int(col)) for row, col in cells)


def without(maps: Maps, crop: Crop, index: int, rivals: Rivals, window: Box, is_lost: bool) -> Maps | None:
    """The maps with a score in the cells of other peaks alone, where the cell chosen from them is a rival's.

    index: that cell. window: the box that was searched around, of the target's size; where it is not lost, it is
    expected there. The same maps where the cell is no rival's; None where no other peak is left.
    """
    if not rivals.known or "score" not in maps or index < 0:
        return maps
    side, expected = math.sqrt(window.area), None if is_lost else window.center

    def is_rival(peak: Peak) -> bool:
        reach = REACH * side if expected is None else min(REACH * side, peak.distance(*expected))
        return any(peak.distance(rival.x, rival.y) < reach for rival in rivals.known)

    g = maps["score"].shape[-1]
    if not is_rival(_peak(maps, crop, *divmod(index, g))):
        return maps
    left = [peak for peak in peaks(maps, crop) if not is_rival(peak)]
    if not left:
        return None
    score = np.zeros_like(maps["score"])
    for peak in left:
        score[0, peak.row, peak.col] = peak.score
    return {**maps, "score": score}


def updated(rivals: Rivals, seen: Sequence[Peak], window: Box, found: Peak | None) -> Rivals:
    """The rivals after a search.

    rivals: moved by the camera into this frame. seen: its peaks. window: the box that was searched around. found: the
    target's center and score; None where it was not found, and then no rival is new: it may be the target. Nor is one
    while the loop has followed the target for less than `SETTLED` frames.
    """
    side, left, kept = math.sqrt(window.area), list(seen), []
    level = max(found.score, rivals.level) if found else rivals.level
    for rival in rivals.known:
        near = min(left, key=lambda peak: peak.distance(rival.x, rival.y), default=None)
        if near is None or near.distance(rival.x, rival.y) >= SAME * side:
            covered = max(abs(rival.x - window.center[0]), abs(rival.y - window.center[1])) < COVERED * side
            kept.append(Rival(rival.x, rival.y, rival.unseen + covered))
            continue
        left.remove(near)
        if found is None or (near.distance(found.x, found.y) >= REACH * side and near.score <= level):
            kept.append(Rival(near.x, near.y))
    kept = [rival for rival in kept if rival.unseen < PATIENCE]
    if found is None:
        return Rivals(tuple(kept), level, followed=0)
    if rivals.followed + 1 >= SETTLED:
        new = [peak for peak in left if peak.distance(found.x, found.y) > APART * side and peak.score < level]
        kept += [Rival(peak.x, peak.y) for peak in new]
    return Rivals(tuple(kept), rivals.level + LEVEL_RATE * (found.score - rivals.level), rivals.followed + 1)


def _peak(maps: Maps, crop: Crop, row: int, col: int) -> Peak:
    """What stands in one cell."""
    g, offset = maps["score"].shape[-1], maps["offset"][:, row, col]
    x, y = crop.to_frame(float(col + offset[0]) / g, float(row + offset[1]) / g, 0.0, 0.0).center
    return Peak(x, y, float(maps["score"][0, row, col]), row, col)
