"""The papers' losses. Boxes are fractions of the search patch; every loss works in float32.

`regress` says at which cells of a centre map the box is judged:
    "peak": at the argmax of the predicted score, as published. From scratch this learns slowly: while the score is
        noise, the box is judged at random cells.
    "label": at the cells of the label's Gaussian, weighted by it; every pair teaches the box from the first step on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from sot_tracker.decode_torch import center_boxes, corner_boxes
from sot_tracker.decode_torch import to_corners as decoded_corners
from sot_tracker.train.labels import heatmaps, inside_cells

Losses = dict[str, Tensor]
"""Name -> scalar loss; "total" is their sum, which is minimised."""

Loss = Callable[[dict[str, Tensor], Tensor, Tensor], Losses]
"""From maps, boxes as x, y, w, h fractions (B, 4) and presence (B,) to losses."""

GIOU, L1, CLASS = 2.0, 5.0, 8.334
BACKGROUND = 1 / 16
"""HCAT: class weight of the background."""


def to_corners(xywh: Tensor) -> Tensor:
    return torch.cat((xywh[..., :2], xywh[..., :2] + xywh[..., 2:]), -1)


def label_corners(xywh: Tensor) -> Tensor:
    """x1, y1, x2, y2 clamped to 0..1, as all published losses take them."""
    return to_corners(xywh).clamp(0, 1)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU (Rezatofighi et al. 2019) of corner boxes (..., 4), -1..1. Crossed corners count as empty."""
    size_a, size_b = (a[..., 2:] - a[..., :2]).clamp(min=0), (b[..., 2:] - b[..., :2]).clamp(min=0)
    shared = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = size_a.prod(-1) + size_b.prod(-1) - shared
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    return shared / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


def focal(score: Tensor, label: Tensor, positive_above: float) -> Tensor:
    """CornerNet's focal loss, averaged over the positives of the batch (facts, section 6).

    positive_above: labels above it are positives; 0.1 in SMAT and MVT, just below 1 in FERMT (label 1 only).
    """
    score = score.float().clamp(1e-12, 1 - 1e-6).reshape(label.shape)
    positive = (label > positive_above).float()
    hit = torch.log(score) * (1 - score) ** 2 * positive
    miss = torch.log(1 - score) * score**2 * (1 - label) ** 4 * (1 - positive)
    return -(hit.sum() + miss.sum()) / positive.sum().clamp(min=1)


def cell_weights(score: Tensor, label: Tensor, regress: str) -> Tensor:
    """Weights (B, g*g), summing to 1 per pair, of the cells at which the box is judged."""
    if regress == "peak":
        return F.one_hot(score.flatten(1).argmax(1), label[0].numel()).float()
    weight = torch.where(label > 0.1, label, 0.0).flatten(1)
    return weight / weight.sum(1, keepdim=True).clamp(min=1e-6)


def center_loss(
    maps: dict[str, Tensor], boxes: Tensor, present: Tensor, regress: str = "peak", positive_above: float = 0.1
) -> Losses:
    """focal + 2 GIoU + 5 L1 (FERMT, SMAT, MVT). boxes: x, y, w, h fractions (B, 4); present: (B,)."""
    score = maps["score"].float()
    label = heatmaps(boxes, present, score.shape[-1])
    weight = cell_weights(score, label, regress) * present.float()[:, None]
    decoded, truth = decoded_corners(center_boxes(maps)), label_corners(boxes)[:, None].expand(-1, label[0].numel(), -1)
    pairs = present.float().sum().clamp(min=1)
    overlap = ((1 - giou(decoded, truth)) * weight).sum() / pairs
    distance = ((decoded - truth).abs().mean(-1) * weight).sum() / pairs
    return _total(cls=focal(score, label, positive_above), giou=GIOU * overlap, l1=L1 * distance)


def corner_loss(maps: dict[str, Tensor], boxes: Tensor, present: Tensor) -> Losses:
    """2 GIoU + 5 L1 on soft-argmax corners (HiT). For a batch that holds crossed corners GIoU counts as 0 (facts,
    section 9).
    """
    decoded, truth = corner_boxes(maps), label_corners(boxes)
    weight = present.float() / present.float().sum().clamp(min=1)
    crossed = (decoded[:, 2:] < decoded[:, :2]).any()
    overlap = torch.where(crossed, 0.0, ((1 - giou(decoded, truth)) * weight).sum())
    distance = ((decoded - truth).abs().mean(1) * weight).sum()
    return _total(giou=GIOU * overlap, l1=L1 * distance)


def token_loss(maps: dict[str, Tensor], boxes: Tensor, present: Tensor) -> Losses:
    """8.334 cross-entropy + 5 L1 + 2 GIoU over the cells inside the box (HCAT, section 8). L1 is summed over the four
    numbers.
    """
    logits, predicted = maps["logits"].float(), maps["boxes"].float()
    grid = round(logits.shape[1] ** 0.5)
    positive = inside_cells(boxes, present, grid)
    balance = torch.tensor([1.0, BACKGROUND], device=logits.device)
    classes = F.cross_entropy(logits.flatten(0, 1), (~positive).flatten().long(), balance)
    corners, truth = decoded_corners(predicted), to_corners(boxes)[:, None].expand(-1, grid * grid, -1)
    weight = positive.float() / positive.float().sum().clamp(min=1)
    middle = torch.cat((boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]), 1)[:, None]
    distance = ((predicted - middle).abs().sum(-1) * weight).sum()
    overlap = ((1 - giou(corners, truth)) * weight).sum()
    return _total(cls=CLASS * classes, giou=GIOU * overlap, l1=L1 * distance)


def _total(**parts: Tensor) -> Losses:
    return {"total": torch.stack(list(parts.values())).sum(), **parts}


def loss_for(decoding: str, regress: str, positive_above: float) -> Loss:
    """The loss of the maps of that decoding ("center", "corner" or "token").

    regress, positive_above: of centre maps, see `cell_weights` and `focal`.
    """
    losses: dict[str, Loss] = {
        "center": partial(center_loss, regress=regress, positive_above=positive_above),
        "corner": corner_loss,
        "token": token_loss,
    }
    return losses[decoding]
