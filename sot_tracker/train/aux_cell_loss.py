"""An auxiliary loss for networks without a score map (HiT): is a search cell the target's or not?

HiT's corner head gives one box, from the mean of each map. For random weights, the middle of the patch is a good result
whatever the template is, and with little data the training does not get away from it. Networks with a score map have a
label for every cell. Here such labels are used for the ends of the first two stages, through one linear map each that
is dropped after training, and for the product of search tokens and global vector that re-weights the head's input
(HiT's fact sheet, section 6).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets.family import CellTaps
from sot_tracker.train.features import outputs
from sot_tracker.train.labels import inside_cells
from sot_tracker.train.losses import label_corners

SHARPNESS = 12.0
"""Factor of the cosine between token and global vector, which gives logits."""
POSITIVE = 4.0
"""Weight of a cell inside the box; about one cell in ten is."""


class WithCellLogits(nn.Module):
    """A network, or a `Student` with it, plus the linear maps for its stages. It is called like the network.

    around: returns the maps of `net`, which is part of it. taps: the modules of `net` whose outputs are its cells.
    """

    def __init__(self, around: nn.Module, net: nn.Module, taps: CellTaps) -> None:
        super().__init__()
        self.around = around
        self.cells = [side * side for _, _, side in taps.stages]
        self.stages = nn.ModuleList(nn.Linear(width, 1) for _, width, _ in taps.stages)
        self.level = nn.Parameter(torch.tensor(-2.0))
        self._tapped = [net.get_submodule(path) for path in (*(path for path, _, _ in taps.stages), taps.compared)]

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Any]:
        """The maps, and as "inside" a list of logits (B, n) over the cells of square grids."""
        with outputs(*self._tapped) as seen:
            maps: dict[str, Any] = self.around(z, x)
        *stages, (tokens, query) = seen
        logits = [
            linear(tokens[:, :cells]).squeeze(2)
            for linear, tokens, cells in zip(self.stages, stages, self.cells, strict=True)
        ]
        alike = F.cosine_similarity(tokens.float(), query.float()[:, None], dim=2)
        return {**maps, "inside": [*logits, SHARPNESS * alike + self.level]}


def loss(inside: list[Tensor], boxes: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of the cells, summed over the logits of `WithCellLogits`. boxes: x, y, w, h fractions (B, 4).

    Of a box that sticks out of the patch the part inside counts: HCAT's rule, no cell at all, would deny the target.
    """
    corners = label_corners(boxes)
    low, high = corners[:, :2], corners[:, 2:]
    shown = torch.cat((low, high - low), 1)
    weight = torch.tensor(POSITIVE, device=boxes.device)
    parts = []
    for logits in inside:
        label = inside_cells(shown, present, round(logits.shape[1] ** 0.5)).float()
        parts.append(F.binary_cross_entropy_with_logits(logits.float(), label, pos_weight=weight))
    return torch.stack(parts).sum()
