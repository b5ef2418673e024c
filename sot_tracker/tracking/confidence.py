"""How reliable a network's box is: features computed from one search.

They come from the network's maps, from the colours in the box and from how the box moved. `calibration.py` computes a
probability from them; `step.py` passes some of them to `states.py`, which decides the state and its reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.decode import Decoded, Maps

if TYPE_CHECKING:
    from sot_tracker.tracking.state import Measurement

Grid = npt.NDArray[np.float32]

PEAK_RADIUS = 2
"""Cells this far from the chosen one, in x and y, still belong to its peak: the target is four cells wide."""

_RECENT, _MEMORY = 0.3, 0.1
"""Weights of a new score in its two running means."""
_JUMP_DECAY = 0.97
"""Factor by which the largest jump so far decays per frame."""
_FIRST_MEAN = 3.0
"""First value of the running means, as a logit. It is high because the first box is the user's, and so right."""
_DEFAULT_NEARER = 0.4
"""Value of the feature "nearer" as long as no look-alike has been seen."""


@dataclass(frozen=True, slots=True)
class MapEvidence:
    """Numbers computed from one score map of g x g cells.

    peak: highest value, before any window is applied, 0 to 1. chosen: value at the chosen cell. second: highest value
    more than `PEAK_RADIUS` cells away from the chosen one. mass: sum over all cells. spread: standard deviation of the
    map around its centre of mass, in cells. second_at: x and y of the second peak in fractions of the search crop's
    side; None for corner maps, whose peaks are not at the middle of objects.
    """

    peak: float
    chosen: float
    second: float
    mass: float
    spread: float
    second_at: tuple[float, float] | None = None

    @property
    def rival(self) -> float:
        """The second peak as a share of the highest, 0 to 1."""
        return min(self.second / self.peak, 1.0) if self.peak > 0 else 0.0


UNREADABLE = MapEvidence(0.0, 0.0, 0.0, 0.0, 0.0)
"""The evidence of maps that are not finite."""


def read_maps(maps: Maps, found: Decoded) -> MapEvidence:
    """The evidence in the maps of one search; `found` is the box that they decode to."""
    if not found.is_finite:
        return UNREADABLE
    grid = score_grid(maps)
    g = grid.shape[0]
    row, col = divmod(found.index, g)
    others = grid.copy()
    others[max(0, row - PEAK_RADIUS) : row + PEAK_RADIUS + 1, max(0, col - PEAK_RADIUS) : col + PEAK_RADIUS + 1] = 0
    return MapEvidence(
        peak=float(grid.max()),
        chosen=float(grid[row, col]),
        second=float(others.max()),
        mass=float(grid.sum()),
        spread=_spread(grid),
        second_at=None if "tl" in maps else _cell_center(int(others.argmax()), g),
    )


def score_grid(maps: Maps) -> Grid:
    """A g x g score map, 0 to 1, whatever the decoding.

    It is the score map of a centre network, the foreground probability of a token network, and the probability of the
    top-left corner of a corner network.
    """
    if "score" in maps:
        return np.asarray(maps["score"][0], np.float32)
    if "logits" in maps:
        logits = maps["logits"]
        g = math.isqrt(len(logits))
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * (logits[:, 0] - logits[:, 1])), np.float32).reshape(g, g)
    corner = maps["tl"]
    probability = np.exp(corner - corner.max())
    return np.asarray(probability / probability.sum(), np.float32)


def features_of(found: Measurement, box: Box, lost_frames: int, before: Mapping[str, float]) -> Mapping[str, float]:
    """Name -> value of all features that a calibration may use; all values are finite.

    box: the reported one, which is compared with the box around which was searched (the last one, or where optical flow
    predicted it). before: the features of the last search, empty in the first.
    """
    evidence, expected, now = found.evidence, found.window.box, _logit(found.score)
    recent, memory = before.get("recent", _FIRST_MEAN), before.get("memory", _FIRST_MEAN)
    jump = math.log1p(math.dist(box.center, expected.center) / math.sqrt(max(expected.area, 1.0)))
    likeness = found.likeness
    distance = _distance(likeness.mean)
    return {
        "score": now,
        "peak": _logit(evidence.peak),
        "second": _logit(evidence.second),
        "rival": evidence.rival,
        "mass": math.log1p(evidence.mass),
        "spread": evidence.spread,
        "jump": jump,
        "resize": abs(math.log(max(box.area, 1.0) / max(expected.area, 1.0))),
        "overlap": box.iou(expected),
        "lost": math.log1p(lost_frames),
        "recent": recent + _RECENT * (now - recent),
        "memory": memory + _MEMORY * (now - memory),
        "jumped": max(jump, _JUMP_DECAY * before.get("jumped", 0.0)),
        "colour": likeness.first,
        "colour_memory": likeness.mean,
        "differs": _distance(likeness.first),
        "differs_memory": distance,
        "nearer": _DEFAULT_NEARER if likeness.others is None else _distance(likeness.others) - distance,
    }


def _distance(similarity: float) -> float:
    """The Hellinger distance, 0 to 1, of two histograms whose Bhattacharyya coefficient is `similarity`."""
    return math.sqrt(max(0.0, 1 - similarity))


def _cell_center(index: int, cells: int) -> tuple[float, float]:
    """x and y of the middle of a cell, in fractions of the side of a square grid of `cells` x `cells`."""
    row, column = divmod(index, cells)
    return (column + 0.5) / cells, (row + 0.5) / cells


def _logit(value: float) -> float:
    """The logit of the value, after limiting it to 0.001..0.999."""
    value = min(max(value, 1e-3), 1 - 1e-3)
    return math.log(value / (1 - value))


def _spread(grid: Grid) -> float:
    total = float(grid.sum())
    if total <= 0:
        return 0.0
    cells = np.arange(grid.shape[0], dtype=np.float64)
    by_column, by_row = grid.sum(axis=0) / total, grid.sum(axis=1) / total
    x, y = float(by_column @ cells), float(by_row @ cells)
    return math.sqrt(max(0.0, float(by_column @ (cells - x) ** 2 + by_row @ (cells - y) ** 2)))
