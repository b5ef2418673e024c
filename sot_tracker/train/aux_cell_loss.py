"""Where the target is, told to HiT cell by cell.

Its corner head answers with one box, the mean of a map: from random weights the middle of the patch is a good answer
without a look at the template, and on small data no step leads away from it. The networks with a score map are told
about every cell; here the same is asked of the ends of the first two stages, through one linear map each that is
thrown away, and of the product of search tokens and global vector that re-weights the head's input (fact sheet,
section 6).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets.hit import Hit
from sot_tracker.train.features import outputs
from sot_tracker.train.labels import inside_cells
from sot_tracker.train.losses import label_corners

SHARPNESS = 12.0
"""Of the cosine between token and global vector; their own product has no scale."""
POSITIVE = 4.0
"""Weight of a cell inside the box: about one in ten is."""


class Guided(nn.Module):
    """A HiT, or a pupil around it, and the linear maps of its stages; called like what it is around.

    pupil: returns the maps of `net`, which is part of it.
    """

    def __init__(self, pupil: nn.Module, net: Hit) -> None:
        super().__init__()
        self.pupil = pupil
        self.grid = net.config.grids[0]
        self.stages = nn.ModuleList(nn.Linear(width, 1) for width in net.config.dims[:2])
        self.level = nn.Parameter(torch.tensor(-2.0))
        body: Any = net.backbone["body"]
        self._taps = [*(body.blocks[end - 1] for end in body.after[:2]), net.bottleneck]

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Any]:
        """The maps, and as "inside" a list of logits (B, n) over the cells of square grids."""
        with outputs(*self._taps) as seen:
            maps: dict[str, Any] = self.pupil(z, x)
        first, second, (tokens, query) = seen
        logits = [
            stage(tokens[:, : (self.grid >> depth) ** 2]).squeeze(2)
            for depth, (stage, tokens) in enumerate(zip(self.stages, (first, second), strict=True))
        ]
        alike = F.cosine_similarity(tokens.float(), query.float()[:, None], dim=2)
        return {**maps, "inside": [*logits, SHARPNESS * alike + self.level]}


def loss(inside: list[Tensor], boxes: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of the cells, summed over the logits of `Guided`. boxes: x, y, w, h fractions (B, 4).

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
