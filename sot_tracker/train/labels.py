"""What the networks' maps should be: heat maps for centre heads, inside-box cells for HCAT."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_radius(w: Tensor, h: Tensor, overlap: float = 0.7) -> Tensor:
    """Radius in cells within which a centre still gives `overlap`; w, h in cells (facts: score label).

    The published code leaves out the division by a (a slip inherited from CornerNet); kept, since the labels depend
    on it.
    """
    roots = []
    for a, b, c in (
        (1.0, w + h, w * h * (1 - overlap) / (1 + overlap)),
        (4.0, 2 * (w + h), (1 - overlap) * w * h),
        (4 * overlap, -2 * overlap * (w + h), (overlap - 1) * w * h),
    ):
        roots.append((b + torch.sqrt(b * b - 4 * a * c)) / 2)
    return torch.stack(roots).amin(0).clamp(min=0).floor()


def center_cells(boxes: Tensor, grid: int) -> Tensor:
    """Column and row (B, 2) of the cells of the boxes' centres; `grid` where a centre rounds past the last cell."""
    return torch.round(grid * (boxes[:, :2] + 0.5 * boxes[:, 2:])).long()


def heatmaps(boxes: Tensor, present: Tensor, grid: int) -> Tensor:
    """Boxes (B, 4) as x, y, w, h fractions and flags (B,) -> (B, grid, grid): a Gaussian of peak 1 on the centre's
    cell.

    All zero without a target, or where the centre rounds outside of the grid.
    """
    cells = center_cells(boxes, grid)
    radius = gaussian_radius(boxes[:, 2] * grid, boxes[:, 3] * grid)[:, None, None]
    at = torch.arange(grid, device=boxes.device)
    dx, dy = at - cells[:, :1], at - cells[:, 1:]  # (B, grid)
    dx, dy = dx[:, None, :], dy[:, :, None]
    sigma = (2 * radius + 1) / 6
    value = torch.exp(-(dx * dx + dy * dy) / (2 * sigma * sigma))
    inside = (dx.abs() <= radius) & (dy.abs() <= radius)
    drawn = present.bool() & (cells >= 0).all(1) & (cells < grid).all(1)
    return torch.where(inside & drawn[:, None, None], value, 0.0)


def inside_cells(boxes: Tensor, present: Tensor, grid: int) -> Tensor:
    """HCAT's positives (B, grid * grid) bool: ceil(g xmin) <= column < ceil(g xmax), rows alike (facts, section 8).

    An empty range takes its first cell; a negative lower bound gives none at all, as the published slice does.
    """
    low = torch.ceil(boxes[:, :2] * grid)
    high = torch.maximum(torch.ceil((boxes[:, :2] + boxes[:, 2:]) * grid), low + 1)
    at = torch.arange(grid, device=boxes.device)
    usable = present.bool() & (low >= 0).all(1)
    columns = (at >= low[:, :1]) & (at < high[:, :1])
    rows = (at >= low[:, 1:]) & (at < high[:, 1:])
    return ((rows[:, :, None] & columns[:, None, :]) & usable[:, None, None]).flatten(1)
