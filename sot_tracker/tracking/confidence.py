"""How far a network's box can be believed: numbers from one run of the network on a frame, a look.

They are read from its maps and from how the box moved. `calibration.py` makes a probability of them, and `states.py`
takes the reasons of states from them.
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

AROUND = 2
"""Cells around the chosen one that belong to its peak: the target is four cells wide."""


_RECENT, _MEMORY = 0.3, 0.1
"""Weights of a new score in its two running means."""
_FORGETS = 0.97
"""Share of the largest jump of the last frames that is left of it in the next."""
_AT_FIRST = 3.0
"""First value of the running means, as logits: the first box was given, so it is right."""
_NO_LOOK_ALIKE = 0.4
"""By how much a box is nearer to the target's colours than to those of look-alikes, where none has been seen."""


@dataclass(frozen=True, slots=True)
class MapEvidence:
    """Of one map of g x g cells.

    peak: highest value without any window, 0 to 1. chosen: value at the chosen cell. second: highest value more than
    `AROUND` cells away from the chosen one. mass: sum over all cells, in cells. spread: root of the variance of the
    map around its centre of mass, in cells. second_at: x and y of the second peak's middle in fractions of the search
    crop's side; None where the map does not say where targets are in the middle, as of corners.
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
"""Of maps that are not finite."""


def read_maps(maps: Maps, found: Decoded) -> MapEvidence:
    """What the maps of one search show besides the box; `found` is what they decode to."""
    if not found.is_finite:
        return UNREADABLE
    grid = score_grid(maps)
    g = grid.shape[0]
    row, col = divmod(found.index, g)
    others = grid.copy()
    others[max(0, row - AROUND) : row + AROUND + 1, max(0, col - AROUND) : col + AROUND + 1] = 0
    return MapEvidence(
        peak=float(grid.max()),
        chosen=float(grid[row, col]),
        second=float(others.max()),
        mass=float(grid.sum()),
        spread=_spread(grid),
        second_at=None if "tl" in maps else _middle(int(others.argmax()), g),
    )


def score_grid(maps: Maps) -> Grid:
    """g x g values of 0 to 1 that say where the target is, whatever the decoding.

    Centre networks have them; of tokens it is the foreground probability; of corner networks the probability of the
    top-left corner.
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
    """Name -> value of everything that a calibration may use; all of them finite.

    box: as reported. before: the features of the last look, empty at the first. The box is compared with the one
    around which was searched: where the last look, or optical flow since then, put it.
    """
    evidence, expected, now = found.evidence, found.window.box, _logit(found.score)
    recent, memory = before.get("recent", _AT_FIRST), before.get("memory", _AT_FIRST)
    jump = math.log1p(math.dist(box.center, expected.center) / math.sqrt(max(expected.area, 1.0)))
    likeness = found.likeness
    apart = _distance(likeness.mean)
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
        "jumped": max(jump, _FORGETS * before.get("jumped", 0.0)),
        "colour": likeness.first,
        "colour_memory": likeness.mean,
        "differs": _distance(likeness.first),
        "differs_memory": apart,
        "nearer": _NO_LOOK_ALIKE if likeness.others is None else _distance(likeness.others) - apart,
    }


def _distance(similarity: float) -> float:
    """Hellinger's distance, 0 to 1, of two histograms whose Bhattacharyya coefficient is `similarity`."""
    return math.sqrt(max(0.0, 1 - similarity))


def _middle(index: int, cells: int) -> tuple[float, float]:
    """Of that cell of a square grid with so many cells per side."""
    row, column = divmod(index, cells)
    return (column + 0.5) / cells, (row + 0.5) / cells


def _logit(value: float) -> float:
    """Of a value held in 0.001 to 0.999."""
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
