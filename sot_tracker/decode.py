"""Decodes a network's maps to a box in the crop and a confidence, in NumPy. `decode_torch.py` does it for batches.

Each `decode_*` takes the arrays of one frame as an engine returns them (no batch axis; docs/architecture.md, "Maps") on
a grid of g x g cells, and follows the published rules exactly. The published loops report no confidence, so each
docstring defines one. Maps that are not finite decode to `NOTHING`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box

Array = npt.NDArray[np.float32]
Maps = Mapping[str, Array]

TOKEN_WINDOW_WEIGHT = 0.42  # HCAT section 7: the value in the released scripts
WEAK_WINDOW = 0.7
"""Weight of the window for `lite`, whose score separates target and other objects well enough to find the target at the
crop's border."""
CORNER_REACH = 2  # cells around a corner's peak that count as its neighbourhood


@dataclass(frozen=True, slots=True)
class Decoded:
    """The decoded maps of one frame.

    cx, cy, w, h: centre and size in fractions of the search crop's side; sizes of a corner network may be negative.
    score: confidence, 0..1, without any window.
    index: row-major index of the chosen cell (corner networks: in the top-left map); -1 for `NOTHING`.
    response: value at the chosen cell of the map with the window, whose maximum it is (corner networks: the score).
    """

    cx: float
    cy: float
    w: float
    h: float
    score: float
    index: int
    response: float

    @property
    def is_finite(self) -> bool:
        return self.index >= 0


NOTHING = Decoded(math.nan, math.nan, math.nan, math.nan, 0.0, -1, 0.0)


def decode_center(maps: Maps, window: float = 1.0) -> Decoded:
    """FERMT sections 5 and 6, SMAT and MVT section 3: the first maximum of the score map times an open Hann window.

    maps: `score` (1,g,g) in 0..1, `size` (2,g,g) w and h, `offset` (2,g,g) x and y in cells.
    window: the score is multiplied by 1 - window + window * Hann window; 0 to 1.
    Confidence: the score at the chosen cell, without the window. The score is a heat map trained with a focal loss
    towards 1 at the target's centre and 0 elsewhere, so it is low if nothing in the crop looks like the target.
    """
    score, size, offset = maps["score"][0], maps["size"], maps["offset"]
    if not _finite(score, size, offset):
        return NOTHING
    g = score.shape[-1]
    response = (1 - window + window * hann_open(g)) * score
    index = int(response.argmax())
    row, col = divmod(index, g)
    cx, cy = (col + offset[0, row, col]) / g, (row + offset[1, row, col]) / g
    w, h = size[:, row, col]
    return Decoded(float(cx), float(cy), float(w), float(h), _unit(score[row, col]), index, float(response[row, col]))


def decode_token(maps: Maps) -> Decoded:
    """HCAT sections 5 and 7: g*g tokens, each with a foreground probability and a box. The token is chosen by the
    weighted mean of the probability and a closed Hann window.

    maps: `logits` (g*g,2) foreground first, `boxes` (g*g,4) cx, cy, w, h.
    Confidence: the foreground probability of the chosen token, without the window. (The published score includes the
    window with a weight of 42 %, so it cannot fall below 0.42 in the middle of the crop.)
    """
    logits, boxes = maps["logits"], maps["boxes"]
    if not _finite(logits, boxes):
        return NOTHING
    foreground = 0.5 + 0.5 * np.tanh(0.5 * (logits[:, 0] - logits[:, 1]))  # softmax of two, safe for any logits
    window = hann_closed(math.isqrt(len(foreground))).ravel()
    response = (1 - TOKEN_WINDOW_WEIGHT) * foreground + TOKEN_WINDOW_WEIGHT * window
    index = int(response.argmax())
    cx, cy, w, h = (float(v) for v in boxes[index])
    return Decoded(cx, cy, w, h, _unit(foreground[index]), index, float(response[index]))


def decode_corner(maps: Maps) -> Decoded:
    """HiT section 6: each corner is the expectation of the cells' top-left corners under the softmax of its map.

    There is no window. maps: `tl`, `br` (g,g) raw logits.
    Confidence: the network has none, so it is computed from the shapes of the two maps, as the geometric mean of
    - peak mass: share of a map's probability within two cells of its peak, geometric mean of both maps;
    - compactness: 1 / (1 + (s / 2)^2), where s is the spread of a map in cells (root of the variance summed over both
      axes), geometric mean of both maps. It falls if even a little probability is at a distant second place;
    - agreement: IoU of the box with the box computed from the neighbourhoods of the two peaks alone. It is 0 if either
      box has no area, so crossed corners give the confidence 0.
    """
    tl, br = maps["tl"], maps["br"]
    if not _finite(tl, br):
        return NOTHING
    first, second = _Corner.read(tl), _Corner.read(br)
    box = Box.from_xyxy(*first.mean, *second.mean)
    agreement = box.iou(Box.from_xyxy(*first.local_mean, *second.local_mean))
    mass = math.sqrt(first.mass * second.mass)
    compactness = math.sqrt(first.compactness * second.compactness)
    score = _unit((mass * compactness * agreement) ** (1 / 3))
    return Decoded(*box.cxcywh, score, first.peak, score)


DECODERS: dict[str, Callable[[Maps], Decoded]] = {
    "center": decode_center,
    "center_weak": functools.partial(decode_center, window=WEAK_WINDOW),
    "corner": decode_corner,
    "token": decode_token,
}


@functools.cache
def hann_open(g: int) -> Array:
    """g x g window without its zero ends: outer product of 0.5 (1 - cos(2 pi i / (g + 1))), i = 1..g."""
    return _outer(np.arange(1, g + 1) / (g + 1))


@functools.cache
def hann_closed(g: int) -> Array:
    """g x g window that is zero at its border: outer product of 0.5 (1 - cos(2 pi i / (g - 1))), i = 0..g-1."""
    return _outer(np.arange(g) / (g - 1))


def _outer(turns: npt.NDArray[np.float64]) -> Array:
    line = 0.5 * (1 - np.cos(2 * np.pi * turns))
    window = np.outer(line, line).astype(np.float32)
    window.setflags(write=False)  # shared by all callers through the cache
    return window


@dataclass(frozen=True, slots=True)
class _Corner:
    """Statistics of one corner map; coordinates (x, y) in fractions of the crop."""

    mean: tuple[float, float]
    local_mean: tuple[float, float]
    mass: float
    compactness: float
    peak: int

    @classmethod
    def read(cls, logits: Array) -> _Corner:
        g = logits.shape[-1]
        wide = logits.astype(np.float64)
        probability = np.exp(wide - wide.max())
        probability /= probability.sum()
        peak = int(probability.argmax())
        row, col = divmod(peak, g)
        top, left = max(0, row - CORNER_REACH), max(0, col - CORNER_REACH)
        near = probability[top : row + CORNER_REACH + 1, left : col + CORNER_REACH + 1]
        (x, y), variance = _moments(probability)
        (near_x, near_y), _ = _moments(near)
        return cls(
            mean=(x / g, y / g),
            local_mean=((left + near_x) / g, (top + near_y) / g),
            mass=float(near.sum()),
            compactness=1 / (1 + variance / 4),
            peak=peak,
        )


def _moments(weights: npt.NDArray[np.float64]) -> tuple[tuple[float, float], float]:
    """Mean column and row, and the variance summed over both axes, in cells."""
    total = float(weights.sum())
    by_column, by_row = weights.sum(axis=0) / total, weights.sum(axis=1) / total
    columns, rows = np.arange(len(by_column)), np.arange(len(by_row))
    x, y = float(by_column @ columns), float(by_row @ rows)
    variance = float(by_column @ (columns - x) ** 2 + by_row @ (rows - y) ** 2)
    return (x, y), variance


def _finite(*arrays: Array) -> bool:
    return all(bool(np.isfinite(a).all()) for a in arrays)


def _unit(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)
