"""Optimisers of a run: AdamW as published, or Muon for the matrices and AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sot_tracker.errors import UserError
from sot_tracker.train.precision import has_bfloat16
from sot_tracker.train.recipe import Recipe

MUON_FACTOR = 2.0
"""Muon's rate as a multiple of the recipe's; its steps are scaled to the size of AdamW's."""
MIN_SIDE = 16
"""A matrix with a shorter side (a head's last layer) is left to AdamW, as are depth-wise filters."""


class Optimizers:
    """AdamW, and Muon if it has work, as one. Each group's `factor` is its rate as a multiple of the recipe's.

    flat: pairs of a parameter and the matrix, in the same memory, that Muon knows it by.
    """

    def __init__(self, *parts: torch.optim.Optimizer, flat: list[tuple[nn.Parameter, nn.Parameter]]) -> None:
        self.parts, self.flat = parts, flat

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)
        for parameter, _ in self.flat:
            parameter.grad = None

    def step(self) -> None:
        for parameter, matrix in self.flat:
            matrix.grad = None if parameter.grad is None else flattened(parameter.grad, parameter)
        for part in self.parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, saved: list[dict[str, Any]]) -> None:
        """Raises UserError if another optimiser saved this."""
        if len(saved) != len(self.parts):
            raise UserError("the checkpoint was trained by another optimizer: give the same --optimizer")
        for part, state in zip(self.parts, saved, strict=True):
            part.load_state_dict(state)


def optimizers_for(net: nn.Module, recipe: Recipe, fast: tuple[str, ...] = ()) -> Optimizers:
    """Parameters with "backbone" in their name learn at `backbone_rate` of the rate, as published.

    fast: endings of the names of those that learn at `position_rate` times that (`Family.fast_parameters`).

    The network must already be where and in the memory format in which it trains. Raises UserError if this torch has
    no Muon.
    """
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    tables = {id(module.weight) for module in net.modules() if isinstance(module, nn.Embedding)}
    matrices = {n for n, p in named if recipe.optimizer == "muon" and is_matrix(n, p) and id(p) not in tables}
    rate, decay = recipe.rate, recipe.weight_decay
    rest = _groups([item for item in named if item[0] not in matrices], recipe, fast, 1.0)
    parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=rate, weight_decay=decay)]
    flat = {name: (p, nn.Parameter(flattened(p.detach(), p))) for name, p in named if name in matrices}
    if flat:
        if not hasattr(torch.optim, "Muon"):
            raise UserError(
                f"optimizer='muon' needs torch 2.9 or newer, this is {torch.__version__}: choose --optimizer adamw"
            )
        groups = _groups([(name, matrix) for name, (_, matrix) in flat.items()], recipe, fast, MUON_FACTOR)
        parts.append(_muon(named[0][1].device)(groups, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return Optimizers(*parts, flat=list(flat.values()))


def _muon(device: torch.device) -> type[torch.optim.Muon]:
    if has_bfloat16(device):
        return torch.optim.Muon
    from sot_tracker.train.muon import Float32Muon  # its base class is missing in older torch

    return Float32Muon


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon can orthogonalise a parameter: the weight of a linear layer or of a convolution of features."""
    if not name.endswith("weight") or parameter.dim() not in (2, 4) or parameter.shape[1] in (1, 3):
        return False  # of a depth-wise filter, or of pixels
    return min(len(parameter), parameter[0].numel()) >= MIN_SIDE


def flattened(values: Tensor, weight: Tensor) -> Tensor:
    """A weight's values or gradient (out, ...) as (out, -1), in the order in which the weight lies in memory.

    Without a copy where `values` lie in that order themselves.
    """
    if weight.dim() == 4 and weight.is_contiguous(memory_format=torch.channels_last):
        values = values.permute(0, 2, 3, 1)
    return values.reshape(len(values), -1)


def _groups(
    named: list[tuple[str, nn.Parameter]], recipe: Recipe, fast: tuple[str, ...], factor: float
) -> list[dict[str, Any]]:
    others = [(n, p) for n, p in named if not n.endswith(fast)]
    groups = [
        {"params": [p for n, p in others if "backbone" not in n], "factor": factor},
        {"params": [p for n, p in others if "backbone" in n], "factor": factor * recipe.backbone_rate},
        {
            "params": [p for n, p in named if n.endswith(fast)],
            "factor": factor * recipe.backbone_rate * recipe.position_rate,
        },
    ]
    return [group for group in groups if group["params"]]
