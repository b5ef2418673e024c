"""A second opinion on a network's result: a correlation filter that is trained on the target while it is tracked.

The filter (`online_filter.py`) is trained on the first frame; its response is about 1 at the target and 0 elsewhere.
The response and the network's score are mapped to a common scale, on which 0.5 means that target and background are
equally likely, and averaged. The position with the highest average is chosen. The average there is the score of the
result, so it also decides whether the target counts as lost or as found again. If the filter does not respond at that
position, the score is below the threshold whatever the network says. The size and offset of the box are read from the
network's maps at the chosen position.

The filter does not run in every frame (`cached_response`). Where it does not, the network alone chooses the position,
and the score is the average with the filter's last response.

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
from sot_tracker.tracker import seconds_between
from sot_tracker.tracking import online_filter
from sot_tracker.tracking.confidence import PEAK_RADIUS, score_grid
from sot_tracker.tracking.online_filter import OnlineFilter

Array = npt.NDArray[np.float32]
Patch = npt.NDArray[np.uint8]
Features = Callable[[Patch], Array]
"""From a search patch to its features, C x g x g."""

SHARE = 0.5
"""Weight of the filter in the average; the network has the rest."""
ABSENT, EVEN, PRESENT = 0.3, 0.45, 0.8
"""Three responses of the filter, measured on training-side clips with every network. Below ABSENT there was hardly ever
a target, at EVEN there was one in half of the cases, and from PRESENT on nearly always."""
PASSED = 5
"""Number of consecutive searches that must pass (`states.Condition.passed`) before the filter is trained on their boxes
(`session.py`): what is found just after a loss may be a look-alike."""
EVERY = 4
"""The filter is trained on every fourth frame at most (look-alikes apart), and runs in every fourth at least."""
CACHED_S = 0.25
"""Seconds for which a response is used, if stamps are known. From 15 frames per second on, `EVERY` ends it earlier."""
CLEAR, ALONE = 0.6, 0.4
"""The filter may skip a frame if the network's score, on the common scale, is at least CLEAR and the second peak of its
map is at most ALONE times the highest."""
RATE, HARD_RATE = 0.07, 0.1
"""Learning rates; the second is used while there is a look-alike."""
HARD = 0.6
"""A response elsewhere of at least this share of the response at the target means a look-alike. The filter is then
trained on this frame at once."""
CORNERS = 8.0
"""For a network that has corner maps and no score map: the logarithm of the filter's likelihood is added to those maps
with the weight SHARE times CORNERS."""

_SHIFTS = (
    *((0.0, 0.0, 1.0), (0.6, 0.3, 1.0), (-0.5, 0.6, 1.0), (0.4, -0.7, 1.0), (-0.7, -0.4, 1.0)),
    *((0.0, 0.0, 1.12), (0.0, 0.0, 0.9), (0.3, 0.3, 1.1), (-0.3, 0.2, 0.92)),
)
"""Search windows of the first frame on which the filter is trained: shift of the centre in x and y, in sides of the
target, and scale of the window."""
_BLURS = ((9, 3), (3, 9))  # Gaussian kernels, pixels
_FLOOR = 0.05  # smallest response and smallest likelihood that are used


@dataclass(frozen=True, slots=True, eq=False)
class Opinion:
    """The filter of one target, and when it last ran.

    learnt: the filter. age: frames since it was last trained. cached: its response at the target when it last ran; None
    if it must run in the next frame, because that response was low, there was a look-alike, or the box was doubtful.
    stamp_ns: capture time of the frame in which it last ran, None where unknown.
    """

    learnt: OnlineFilter
    age: int = 0
    cached: float | None = None
    stamp_ns: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FilterResponse:
    """The filter's response to one search patch, g x g, and the `online_filter.samples` (`rows`) that it is made of."""

    crop: Crop
    rows: Array
    response: Array

    def at(self, x: float, y: float) -> float:
        """The highest response within a cell of (x, y), fractions of the patch."""
        return float(_part(self.response, x, y, 1).max())

    def elsewhere(self, x: float, y: float) -> float:
        """The highest response away from (x, y)."""
        others = self.response.copy()
        _part(others, x, y, PEAK_RADIUS)[:] = 0
        return float(others.max())


def start(crop: Callable[[Box], Crop], features: Features, box: Box) -> Opinion:
    """Train a filter on a target's first frame: `crop` gives search patches of that frame around a box."""
    inputs, labels = [], []
    for patch, label in _first_samples(crop, box):
        found = features(patch)
        inputs.append(found)
        labels.append(_label(*label, found.shape[-1]))
    return Opinion(online_filter.start(inputs, labels))


def cached_response(
    opinion: Opinion, found: Decoded, rival: float, threshold: float, stamp_ns: int | None = None
) -> float | None:
    """The filter's last response at the target if the filter may skip this frame; None if it must run.

    found: what the network's maps alone decode to. rival: their second peak as a share of the highest. stamp_ns:
    capture time of this frame; without it, the response is limited in frames alone. Computing the
    features and running the filter costs more than everything else but the network itself, and adds little where the
    network is sure and sees no look-alike.
    """
    is_clear = _common(found.score, threshold) >= CLEAR and rival <= ALONE
    is_fresh = (seconds_between(opinion.stamp_ns, stamp_ns) or 0.0) <= CACHED_S and opinion.age + 1 < EVERY
    return opinion.cached if is_clear and is_fresh else None


def run_filter(opinion: Opinion, features: Array, crop: Crop) -> FilterResponse:
    """The filter's response to the features of a search patch."""
    rows = online_filter.samples(opinion.learnt.projection, features)
    response = (rows @ opinion.learnt.coefficients).reshape(features.shape[1:])
    return FilterResponse(crop, rows, response)


def settle(opinion: Opinion, seen: FilterResponse | None, box: Box, sure: bool, stamp_ns: int | None = None) -> Opinion:
    """The opinion after a frame with that final box. sure: whether it is certainly the target's.

    seen: the filter's response in this frame, None if it did not run. stamp_ns: capture time of the frame, None where
    unknown. The filter is trained on a sure box every `EVERY` frames, and at once while there is a look-alike.
    """
    if seen is None:
        return replace(opinion, age=opinion.age + 1, cached=opinion.cached if sure else None)
    x, y = _place(box, seen.crop)
    here = seen.at(x, y)
    hard = seen.elsewhere(x, y) > HARD * max(here, _FLOOR)
    cached = here if sure and here >= EVEN and not hard else None
    if not (sure and here >= ABSENT and (hard or opinion.age + 1 >= EVERY)):
        return replace(opinion, age=opinion.age + 1, cached=cached, stamp_ns=stamp_ns)
    label = _label(x, y, _width(box, seen.crop), seen.response.shape[0])
    learnt = online_filter.learn_rows(opinion.learnt, seen.rows, label, HARD_RATE if hard else RATE)
    return Opinion(learnt, cached=cached, stamp_ns=stamp_ns)


def combined_maps(maps: Maps, seen: FilterResponse, size: tuple[float, float], threshold: float) -> Maps:
    """The network's maps with the filter's response averaged into the map that decides the position; others unchanged.

    size: width and height of the target, pixels of the frame. threshold: the network's score at which target and
    background are equally likely. The filter's peaks are dilated by one cell, so that the network decides which of the
    cells of a peak is chosen.
    """
    if "tl" in maps:
        return _combined_corners(maps, seen, size)
    grid = score_grid(maps)
    score = combined_score(grid, _fitted(_widened(seen.response, 1), grid.shape[0]), threshold)
    if "score" in maps:
        return {**maps, "score": score[None]}
    safe = np.clip(score.ravel(), 1e-6, 1 - 1e-6)
    return {**maps, "logits": np.stack([np.log(safe / (1 - safe)), np.zeros_like(safe)], axis=1)}


def with_combined_score(found: Decoded, maps: Maps, seen: FilterResponse, threshold: float) -> Decoded:
    """`found`, decoded from `combined_maps`, with the combined score on the network's own scale."""
    response, score = seen.at(found.cx, found.cy), found.score
    if "tl" in maps:
        score = float(combined_score(np.float32(score), np.float32(response), threshold))
    if response < ABSENT:
        score = min(score, threshold * max(response, 0.0) / ABSENT * (1 - _FLOOR))
    return replace(found, score=score)


def score_with_cached_response(score: float, cached: float, threshold: float) -> float:
    """The combined score in a frame in which the filter did not run: `cached` is its response (`cached_response`)."""
    return float(combined_score(np.float32(score), np.float32(cached), threshold))


def combined_score(score: Array, response: Array, threshold: float) -> Array:
    """The network's score and the filter's response averaged on the common scale, as a score on the network's scale."""
    own = _common(score, threshold)
    other = np.interp(response, (0, EVEN, PRESENT), (0, 0.5, 1))
    both = (1 - SHARE) * own + SHARE * other
    return np.asarray(np.interp(both, (0, 0.5, 1), (0, threshold, 1)), np.float32)


def _common(score: Array | float, threshold: float) -> Array:
    """A network's score on the common scale, on which 0.5 means that target and background are equally likely."""
    return np.asarray(np.interp(score, (0, threshold, 1), (0, 0.5, 1)))


def _combined_corners(maps: Maps, seen: FilterResponse, size: tuple[float, float]) -> Maps:
    """The corner maps plus the log-likelihood, by the filter, of the centre that each corner implies at that size."""
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
    """Shifted, scaled, blurred and mirrored patches, with the target's x, y and width in fractions of the patch."""
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
    """The response, resized to the number of cells of the network's map."""
    if response.shape[0] == grid:
        return response
    return np.asarray(cv2.resize(response, (grid, grid), interpolation=cv2.INTER_LINEAR), np.float32)
