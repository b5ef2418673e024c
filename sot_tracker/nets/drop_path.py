"""Stochastic depth, which FERMT and HiT-Base train with."""

from __future__ import annotations

from torch import Tensor, nn


class DropPath(nn.Module):
    """While training, drops a residual branch for whole samples with probability `rate` and scales up the others."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        if self.rate == 0 or not self.training:
            return branch
        keep = branch.new_empty(branch.shape[0], *[1] * (branch.dim() - 1)).bernoulli_(1 - self.rate)
        return branch * keep / (1 - self.rate)
