"""The centre head that FERMT, SMAT and MVT share: score, offset and size maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EPSILON = 1e-4
"""Scores and sizes are clamped to EPSILON .. 1 - EPSILON (section on the head of the three fact sheets)."""

BRANCHES = {"ctr": 1, "offset": 2, "size": 2}


def bounded(logits: Tensor) -> Tensor:
    """Sigmoid and clamp, in float32 also under autocast: bfloat16 cannot tell 1 - 1e-4 from 1."""
    return torch.sigmoid(logits.float()).clamp(EPSILON, 1 - EPSILON)


class CenterHead(nn.Module):
    """Three independent stacks of 3x3 convolution, batch norm, ReLU, ended by a 1x1 convolution.

    widths: output channels of the 3x3 layers. Names: `conv<k>_<branch>.0` convolution, `.1` norm, k from 1.
    """

    def __init__(self, cin: int, widths: Sequence[int]) -> None:
        super().__init__()
        for branch, cout in BRANCHES.items():
            for k, (a, b) in enumerate(zip((cin, *widths), widths, strict=False), start=1):
                layer = nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
                self.add_module(f"conv{k}_{branch}", layer)
            self.add_module(f"conv{len(widths) + 1}_{branch}", nn.Conv2d(widths[-1], cout, 1))
        self.depth = len(widths) + 1

    def stack(self, branch: str, features: Tensor) -> Tensor:
        """The raw output of one of "ctr", "offset", "size"."""
        for k in range(1, self.depth + 1):
            features = self.get_submodule(f"conv{k}_{branch}")(features)
        return features

    def maps(self, score_features: Tensor, box_features: Tensor) -> dict[str, Tensor]:
        """(B, cin, g, g) twice -> {"score" (B, 1, g, g), "size" (B, 2, g, g), "offset" (B, 2, g, g)}, float32."""
        return {
            "score": bounded(self.stack("ctr", score_features)),
            "size": bounded(self.stack("size", box_features)),
            "offset": self.stack("offset", box_features).float(),
        }

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """One feature map for all three stacks (FERMT, MVT)."""
        return self.maps(features, features)


def expect_background(net: nn.Module) -> None:
    """Start the centre heads of a network at a score of 0.1, as CornerNet does: from 0.5 the first hundreds of steps go
    into unlearning it.
    """
    for head in net.modules():
        if isinstance(head, CenterHead):
            nn.init.constant_(head.get_parameter(f"conv{head.depth}_ctr.bias"), -2.19)
