"""Tensors whose shape follows the pictures' sizes, from one size to another, for `Family.resize`."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def cells(value: Tensor, shape: torch.Size) -> Tensor | None:
    """Weights whose axes count the template's cells, row-major; None where an axis that changes counts something else.

    A finer grid repeats each cell's weights for its parts and shares what was one input among them, so that the resized
    layer does the same as before with a picture twice as large.
    """
    if value.dim() != len(shape):
        return None
    for axis, (old, new) in enumerate(zip(value.shape, shape, strict=True)):
        if old == new:
            continue
        side, wanted = round(old**0.5), round(new**0.5)
        if side * side != old or wanted * wanted != new:
            return None
        rows = torch.arange(wanted) * side // wanted
        value = value.index_select(axis, (rows[:, None] * side + rows[None, :]).flatten())
        if axis == 1:
            value = value * (old / new)
    return value


def positions(value: Tensor, shape: torch.Size) -> Tensor | None:
    """Position embeddings (1, n, d) of a square grid, bicubic; None for other grids or widths.

    A leading class token is dropped where only its absence makes a square.
    """
    if value.dim() != 3 or value.shape[2] != shape[2]:
        return None
    side, wanted = round(value.shape[1] ** 0.5), round(shape[1] ** 0.5)
    if side * side == value.shape[1] - 1:
        value = value[:, 1:]
    elif side * side != value.shape[1]:
        return None
    if wanted * wanted != shape[1]:
        return None
    grid = value.transpose(1, 2).reshape(1, -1, side, side).float()
    return F.interpolate(grid, (wanted, wanted), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)
