"""A second opinion on what a network finds: that of a filter which learns the target while it is followed.

The filter (`online_filter.py`) is learnt from the first frame and responds with 1 where the target is. Its response and
the network's score are mapped to one scale, where 0.5 means an even chance of the target, and averaged. The average
picks the place and becomes the score, so it also decides whether the target counts as lost or returned. Where the
filter looks and sees nothing of the target, the score is below the threshold whatever the network says. The box is read
from the network's maps at the chosen place.

The filter does not look in every frame (`response_held`): in between the network chooses the place, and the filter's
last response has its part in the score.

All functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.crop import Crop
from sot_tracker.decode import Decoded, Maps
from sot_tracker.tracking import online_filter
from sot_tracker.tracking.confidence import AROUND, score_grid
from sot_tracker.tracking.online_filter import OnlineFilter

Array = npt.NDArray[np.float32]
Patch = npt.NDArray[np.uint8]
Features = Callable[[Patch], Array]
"""What the filter sees of a search patch: C x g x g."""

SHARE = 0.5
"""Of the filter in the average; the rest is the network's."""
ABSENT, EVEN, PRESENT = 0.3, 0.45, 0.8
"""Responses of the filter. On training-side clips, with every network: below the first there was hardly ever a target,
at the second in half of the cases, at the last nearly always."""
PASSED = 5
"""Looks in a row that must find the target without doubt before the filter learns from them (`session.py`): what is
found just after a loss may be a look-alike."""
EVERY = 4
"""Frames from one sample to the next, and the longest time without a look where nothing is in doubt."""
CLEAR, ALONE = 0.6, 0.4
"""The filter may skip a frame where the network's score, on the common scale, is at least CLEAR and its second peak is
at most ALONE times the highest."""
RATE, HARD_RATE = 0.07, 0.1
"""Of learning; the second while something else responds too."""
HARD = 0.6
"""A response elsewhere of this share of the one on the target is a look-alike: it is learnt at once."""
CORNERS = 8.0
"""For a network that has corner maps and no score map: this times SHARE is the weight of the logarithm of the filter's
likelihood, which is added to those maps."""

_SHIFTS = (
    *((0.0, 0.0, 1.0), (0.6, 0.3, 1.0), (-0.5, 0.6, 1.0), (0.4, -0.7, 1.0), (-0.7, -0.4, 1.0)),
    *((0.0, 0.0, 1.12), (0.0, 0.0, 0.9), (0.3, 0.3, 1.1), (-0.3, 0.2, 0.92)),
)
"""Windows of the first frame: how far from the target's centre, in its sides, and how large for its size."""
_BLURS = ((9, 3), (3, 9))
_FLOOR = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """What is remembered of a target: its filter, and the frames since a sample was learnt.

    held: the response on the target when the filter last looked; None if that left a doubt.
    """

    known: OnlineFilter
    age: int = 0
    held: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the filter says of one search patch: its response, g x g, made of `rows` (`online_filter.samples`)."""

    crop: Crop
    rows: Array
    response: Array

    def at(self, x: float, y: float) -> float:
        """The highest response within a cell of (x, y), fractions of the patch."""
        return float(_part(self.response, x, y, 1).max())

    def elsewhere(self, x: float, y: float) -> float:
        """The highest response away from (x, y)."""
        others = self.response.copy()
        _part(others, x, y, AROUND)[:] = 0
        return float(others.max())


def start(crop: Callable[[Box], Crop], features: Features, box: Box) -> Opinion:
    """Learn a target from its first frame: `crop` gives search patches of that frame around a box."""
    seen, labels = [], []
    for patch, label in _first_samples(crop, box):
        found = features(patch)
        seen.append(found)
        labels.append(_label(*label, found.shape[-1]))
    return Opinion(online_filter.start(seen, labels))


def response_held(opinion: Opinion, found: Decoded, rival: float, threshold: float) -> float | None:
    """The last response on the target, where it still stands and the filter need not look; None where it has to look.

    found: what the network's maps alone decode to. rival: their second peak as a share of the highest. A look costs
    more than all else but the network itself, and says little new where the target is clear and alone.
    """
    is_clear = _common(found.score, threshold) >= CLEAR and rival <= ALONE
    return opinion.held if is_clear and opinion.age + 1 < EVERY else None


def look(opinion: Opinion, features: Array, crop: Crop) -> Seen:
    """The filter's answer to the features of a search patch."""
    rows = online_filter.samples(opinion.known.projection, features)
    response = (rows @ opinion.known.coefficients).reshape(features.shape[1:])
    return Seen(crop, rows, response)


def settle(opinion: Opinion, seen: Seen | None, box: Box, sure: bool) -> Opinion:
    """The opinion after a frame in which that box was decided on; `sure`: that it is the target's.

    seen: None where the filter did not look. A sure box is learnt every few frames, and at once while there is a
    look-alike.
    """
    if seen is None:
        return replace(opinion, age=opinion.age + 1, held=opinion.held if sure else None)
    x, y = _place(box, seen.crop)
    here = seen.at(x, y)
    hard = seen.elsewhere(x, y) > HARD * max(here, _FLOOR)
    held = here if sure and here >= EVEN and not hard else None
    if not (sure and here >= ABSENT and (hard or opinion.age + 1 >= EVERY)):
        return replace(opinion, age=opinion.age + 1, held=held)
    label = _label(x, y, _width(box, seen.crop), seen.response.shape[0])
    return Opinion(online_filter.learn_rows(opinion.known, seen.rows, label, HARD_RATE if hard else RATE), held=held)


def weighed(maps: Maps, seen: Seen, size: tuple[float, float], threshold: float) -> Maps:
    """The network's maps, with the filter's response mixed into those that pick the place; the rest is unchanged.

    size: of the target, width and height in pixels of the frame. threshold: score of the network that is as likely the
    target's as not. The filter's peaks are widened by a cell, so that within a peak the network has the choice.
    """
    if "tl" in maps:
        return _weighed_corners(maps, seen, size)
    grid = score_grid(maps)
    score = agreed(grid, _fitted(_widened(seen.response, 1), grid.shape[0]), threshold)
    if "score" in maps:
        return {**maps, "score": score[None]}
    safe = np.clip(score.ravel(), 1e-6, 1 - 1e-6)
    return {**maps, "logits": np.stack([np.log(safe / (1 - safe)), np.zeros_like(safe)], axis=1)}


def judged(found: Decoded, maps: Maps, seen: Seen, threshold: float) -> Decoded:
    """What `weighed` maps decoded to, with a score that both agree on, in the network's own scale."""
    response, score = seen.at(found.cx, found.cy), found.score
    if "tl" in maps:
        score = float(agreed(np.float32(score), np.float32(response), threshold))
    if response < ABSENT:
        score = min(score, threshold * max(response, 0.0) / ABSENT * (1 - _FLOOR))
    return replace(found, score=score)


def held_score(score: float, held: float, threshold: float) -> float:
    """What both agree on where the filter did not look: `held` (`response_held`) is its response."""
    return float(agreed(np.float32(score), np.float32(held), threshold))


def agreed(score: Array, response: Array, threshold: float) -> Array:
    """The average of both on a scale on which 0.5 is as likely the target as not, back in the score's own scale."""
    own = _common(score, threshold)
    other = np.interp(response, (0, EVEN, PRESENT), (0, 0.5, 1))
    both = (1 - SHARE) * own + SHARE * other
    return np.asarray(np.interp(both, (0, 0.5, 1), (0, threshold, 1)), np.float32)


def _common(score: Array | float, threshold: float) -> Array:
    """A network's score on the scale on which 0.5 is as likely the target as not."""
    return np.asarray(np.interp(score, (0, threshold, 1), (0, 0.5, 1)))


def _weighed_corners(maps: Maps, seen: Seen, size: tuple[float, float]) -> Maps:
    """Adds to each corner's map how likely the filter finds the centre that this corner implies at the last size."""
    grid = maps["tl"].shape[0]
    cell = seen.crop.side / grid
    likely = np.interp(_fitted(_widened(seen.response, 2), grid), (0, EVEN, PRESENT), (_FLOOR, 0.5, 1))
    found = dict(maps)
    for name, sign in (("tl", -0.5), ("br", 0.5)):
        shift = np.array([[1, 0, sign * size[0] / cell], [0, 1, sign * size[1] / cell]], np.float32)
        here = cv2.warpAffine(likely.astype(np.float32), shift, (grid, grid), borderValue=_FLOOR)
        found[name] = maps[name] + np.float32(SHARE * CORNERS) * np.log(here)
    return found


def _first_samples(crop: Callable[[Box], Crop], box: Box) -> Sequence[tuple[Patch, tuple[float, float, float]]]:
    """Patches, and where and how wide the target is in each: shifted, scaled, blurred, and one seen in a mirror."""
    side = math.sqrt(box.area)
    found = []
    for dx, dy, scale in _SHIFTS:
        x, y = box.center
        taken = crop(Box.from_cxcywh(x + dx * side, y + dy * side, scale * box.w, scale * box.h))
        found.append((taken.patch, (*_place(box, taken), _width(box, taken))))
    patch, (x, y, width) = found[0]
    blurred = [(np.asarray(cv2.GaussianBlur(patch, size, 0), patch.dtype), (x, y, width)) for size in _BLURS]
    return [*found, *blurred, (np.ascontiguousarray(patch[:, ::-1]), (1 - x, y, width))]


def _place(box: Box, crop: Crop) -> tuple[float, float]:
    """The box's centre in fractions of the patch."""
    return tuple((at - middle) / crop.side + 0.5 for at, middle in zip(box.center, crop.center, strict=True))  # type: ignore[return-value]


def _width(box: Box, crop: Crop) -> float:
    """A side of the target in fractions of the patch."""
    return math.sqrt(box.area) / crop.side


def _label(x: float, y: float, width: float, grid: int) -> Array:
    return online_filter.peak_label(x * grid, y * grid, max(online_filter.SIGMA * width * grid, 0.5), grid)


def _part(grid: Array, x: float, y: float, reach: int) -> Array:
    """The cells within `reach` of the one at (x, y), fractions of the patch; the nearest ones where that is outside."""
    rows, columns = grid.shape
    row, column = (int(min(max(at * n, 0), n - 1)) for at, n in ((y, rows), (x, columns)))
    return grid[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]


def _widened(response: Array, reach: int) -> Array:
    return np.asarray(cv2.dilate(response, np.ones((2 * reach + 1,) * 2, np.uint8)), np.float32)


def _fitted(response: Array, grid: int) -> Array:
    """In as many cells as the network's map has."""
    if response.shape[0] == grid:
        return response
    return np.asarray(cv2.resize(response, (grid, grid), interpolation=cv2.INTER_LINEAR), np.float32)
