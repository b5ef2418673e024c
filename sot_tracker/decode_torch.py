"""`decode.py` for batches of tensors, for training and validation. A test checks that both give equal results.

Boxes are fractions of the search crop's side. Unlike in `decode.py`, there is no check for maps that are not finite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sot_tracker.decode import CORNER_REACH, TOKEN_WINDOW_WEIGHT, WEAK_WINDOW, hann_closed, hann_open

Maps = dict[str, Tensor]
"""The same as `decode.Maps`, with a batch axis in front."""


@dataclass(frozen=True)
class Decoded:
    """`decode.Decoded` of a batch: boxes (B, 4) as cx, cy, w, h; score, index and response (B,)."""

    boxes: Tensor
    score: Tensor
    index: Tensor
    response: Tensor

    @property
    def corners(self) -> Tensor:
        """(B, 4) x1, y1, x2, y2."""
        return to_corners(self.boxes)


def decode(maps: Maps, decoding: str, windowed: bool = True) -> Decoded:
    """Boxes and scores of a batch. decoding: a key of `DECODERS`.

    windowed: apply the window before the peak is chosen, as the trackers do.
    """
    return DECODERS[decoding](maps, windowed)


def to_corners(boxes: Tensor) -> Tensor:
    """(..., 4) cx, cy, w, h -> x1, y1, x2, y2."""
    center, half = boxes[..., :2], 0.5 * boxes[..., 2:]
    return torch.cat((center - half, center + half), -1)


def center_boxes(maps: Maps) -> Tensor:
    """(B, g*g, 4): the box of every cell, cx, cy, w, h; centre = (cell + offset) / g, size from its map."""
    size, offset = maps["size"].float().flatten(2), maps["offset"].float().flatten(2)
    grid = maps["score"].shape[-1]
    cell = torch.arange(grid * grid, device=size.device)
    at = torch.stack((cell % grid, cell.div(grid, rounding_mode="floor")))
    return torch.cat(((at + offset) / grid, size), 1).transpose(1, 2)


def corner_boxes(maps: Maps) -> Tensor:
    """(B, 4): expected corners under the softmax of both maps, x1, y1, x2, y2; cell k stands for k / g."""
    return torch.cat([_mean(_probability(maps[name])) / maps[name].shape[-1] for name in ("tl", "br")], 1)


def decode_center(maps: Maps, windowed: bool = True, window: float = 1.0) -> Decoded:
    """See `decode.decode_center`."""
    score = maps["score"].float().flatten(1)
    weight = 1 - window + window * _window(hann_open, maps["score"].shape[-1], score)
    return _at_peak(center_boxes(maps), score, weight * score if windowed else score)


def decode_token(maps: Maps, windowed: bool = True) -> Decoded:
    """See `decode.decode_token`."""
    logits = maps["logits"].float()
    score = 0.5 + 0.5 * torch.tanh(0.5 * (logits[..., 0] - logits[..., 1]))  # rounds as in decode.py
    weight = TOKEN_WINDOW_WEIGHT if windowed else 0.0
    window = _window(hann_closed, round(score.shape[1] ** 0.5), score)
    return _at_peak(maps["boxes"].float(), score, (1 - weight) * score + weight * window)


def decode_corner(maps: Maps, windowed: bool = True) -> Decoded:
    """See `decode.decode_corner`; there is no window."""
    first, second = _Corner(maps["tl"]), _Corner(maps["br"])
    box, local = torch.cat((first.mean, second.mean), 1), torch.cat((first.local_mean, second.local_mean), 1)
    agreement = iou(box, local)
    mass = (first.mass * second.mass).sqrt()
    compactness = (first.compactness * second.compactness).sqrt()
    score = (mass * compactness * agreement).clamp(0, 1) ** (1 / 3)
    size = box[:, 2:] - box[:, :2]
    return Decoded(torch.cat((box[:, :2] + 0.5 * size, size), 1), score, first.peak, score)


DECODERS: dict[str, Callable[[Maps, bool], Decoded]] = {
    "center": decode_center,
    "center_weak": partial(decode_center, window=WEAK_WINDOW),
    "corner": decode_corner,
    "token": decode_token,
}


def iou(a: Tensor, b: Tensor) -> Tensor:
    """(...) intersection over union of corner boxes (..., 4), 0..1; crossed corners count as empty."""
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    area_a, area_b = ((each[..., 2:] - each[..., :2]).clamp(min=0).prod(-1) for each in (a, b))
    return shared / (area_a + area_b - shared).clamp(min=1e-12)


def _window(make: Callable[[int], object], grid: int, like: Tensor) -> Tensor:
    return torch.tensor(make(grid), dtype=like.dtype, device=like.device).flatten()


def _at_peak(boxes: Tensor, score: Tensor, response: Tensor) -> Decoded:
    """The box and score at the highest response. boxes: (B, N, 4); score and response: (B, N)."""
    index = response.argmax(1)
    rows = torch.arange(len(index), device=index.device)
    return Decoded(boxes[rows, index], score[rows, index], index, response[rows, index])


class _Corner:
    """Statistics of one corner map (B, g, g), see `decode._Corner`; coordinates (B, 2) x, y in fractions."""

    def __init__(self, logits: Tensor) -> None:
        grid = logits.shape[-1]
        probability = _probability(logits)
        self.peak = probability.flatten(1).argmax(1)
        at = torch.arange(grid, device=logits.device)
        row, col = self.peak.div(grid, rounding_mode="floor"), self.peak % grid
        near_rows, near_cols = ((at - peak[:, None]).abs() <= CORNER_REACH for peak in (row, col))
        near = probability * (near_rows[:, :, None] & near_cols[:, None, :])
        mean = _mean(probability)
        self.mass = near.sum((1, 2))
        self.mean, self.local_mean = mean / grid, _mean(near) / grid
        self.compactness = 1 / (1 + _variance(probability, mean) / 4)


def _probability(logits: Tensor) -> Tensor:
    """(B, g, g) softmax over all cells of a map."""
    grid = logits.shape[-1]
    return logits.float().flatten(1).softmax(1).reshape(-1, grid, grid)


def _mean(weights: Tensor) -> Tensor:
    """(B, 2) mean column and row in cells. weights: (B, g, g)."""
    at = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    total = weights.sum((1, 2))
    return torch.stack(((weights.sum(1) * at).sum(1) / total, (weights.sum(2) * at).sum(1) / total), 1)


def _variance(weights: Tensor, mean: Tensor) -> Tensor:
    """(B,) variance summed over both axes, in cells; weights sum to 1."""
    at = torch.arange(weights.shape[-1], device=weights.device, dtype=weights.dtype)
    across, down = ((at - mean[:, axis, None]) ** 2 for axis in (0, 1))
    return (weights.sum(1) * across).sum(1) + (weights.sum(2) * down).sum(1)
