"""Distillation from another network: its maps of the same pair are soft targets.

One box per pair is little information for a transformer that starts from random weights. A trained tracker gives a
score and a box for every cell. Teacher and student may have different heads: the teacher's maps are converted to a
score and a box per cell, and these to targets for the student's own maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from sot_tracker.decode_torch import center_boxes, to_corners
from sot_tracker.errors import UserError


@dataclass(frozen=True, slots=True)
class Soft:
    """A teacher's maps: score (B, g * g) in 0..1 and corner boxes (B, g * g, 4), fractions of the search patch."""

    score: Tensor
    boxes: Tensor

    @property
    def best(self) -> Tensor:
        """The box at the best score, (B, 4)."""
        return self.boxes[torch.arange(len(self.score), device=self.score.device), self.score.argmax(1)]


def read(maps: dict[str, Tensor]) -> Soft:
    """Convert a teacher's maps. Raises UserError for corner maps, which have no score per cell."""
    if "score" in maps:
        return Soft(maps["score"].float().flatten(1), to_corners(center_boxes(maps)))
    if "logits" in maps:
        return Soft(maps["logits"].float().softmax(2)[..., 0], to_corners(maps["boxes"].float()))
    raise UserError(
        "a HiT network cannot be the teacher, since it has no score per cell: take a SMAT, MVT, FERMT or HCAT"
    )


def loss(maps: dict[str, Tensor], teacher: Soft) -> Tensor:
    """The loss of the student's maps against the teacher's, a scalar about as large as the papers' losses."""
    weight = teacher.score / teacher.score.sum(1, keepdim=True).clamp(min=1e-6)
    if "tl" in maps:
        return _corners(maps, teacher)
    if "score" in maps:
        score, boxes = maps["score"].float().flatten(1), to_corners(center_boxes(maps))
    else:
        student = read(maps)
        score, boxes = student.score.clamp(1e-6, 1 - 1e-6), student.boxes
    sure = F.binary_cross_entropy(score, teacher.score, reduction="none").sum(1).mean()
    return 0.1 * sure + 5.0 * ((boxes - teacher.boxes).abs().mean(2) * weight).sum(1).mean()


def _corners(maps: dict[str, Tensor], teacher: Soft) -> Tensor:
    """Cross-entropy of both corner maps with the teacher's corners, each distributed bilinearly over four cells.

    Pairs are weighted by the teacher's highest score, since without a target there are no corners to learn.
    """
    certain, corners = teacher.score.amax(1), teacher.best
    total = torch.zeros((), device=corners.device)
    for name, at in (("tl", corners[:, :2]), ("br", corners[:, 2:])):
        logits = maps[name].float()
        target = spread(at, logits.shape[-1])
        entropy = -(target.flatten(1) * logits.flatten(1).log_softmax(1)).sum(1)
        total = total + (certain * entropy).sum() / certain.sum().clamp(min=1e-6)
    return total


def spread(points: Tensor, grid: int) -> Tensor:
    """Points (B, 2) as x, y fractions -> (B, grid, grid) that sums to 1, with its expectation at the point.

    Cell k stands for k / grid, as HiT decodes it; points past the last cell stay on it.
    """
    at = (points * grid).clamp(0, grid - 1)
    cells = torch.arange(grid, device=points.device)
    tent = (1 - (at[:, :, None] - cells).abs()).clamp(min=0)  # (B, 2, grid)
    return tent[:, 1, :, None] * tent[:, 0, None, :]
