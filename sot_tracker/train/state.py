"""What a run must not lose: weights, their moving average, the optimiser, the step. Files are replaced whole or not
at all.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sot_tracker.atomic import new_file
from sot_tracker.checkpoints import save_state_dict
from sot_tracker.errors import UserError
from sot_tracker.train.recipe import Recipe


class Ema:
    """Exponential moving average of weights and batch-norm statistics; the decay warms up so that early averages
    are useful.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.net = copy.deepcopy(net).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        own, new = self.net.state_dict(), net.state_dict()
        floats = [name for name, value in own.items() if value.is_floating_point()]
        torch._foreach_lerp_([own[n] for n in floats], [new[n] for n in floats], 1 - decay)
        for name in own.keys() - set(floats):
            own[name].copy_(new[name])


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all. Raises UserError if it cannot be written, as on a full disk."""
    with new_file(path) as beside, beside.open("wb") as file:
        torch.save(content, file)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, tensors on the CPU; nothing in it is executed. Raises UserError if it cannot be read."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no checkpoint '{path}'") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"'{path}' is no checkpoint of ours or is damaged ({str(error).splitlines()[0]})") from None
    return content


def export_weights(path: Path, net: nn.Module, model: str, origin: Mapping[str, str]) -> None:
    """The float32 state dict as safetensors, whole or not at all, with its model and `origin` in the metadata."""
    tensors: dict[str, Tensor] = {}
    for name, value in net.state_dict().items():
        tensors[name] = (value.float() if value.is_floating_point() else value).contiguous().clone()
    save_state_dict(path, model, tensors, origin)


def origin(recipe: Recipe, sources: Iterable[str], step: int) -> dict[str, str]:
    """What trained weights remember of their training: the recipe, the names of the data and the steps done."""
    return {
        "recipe": json.dumps(dataclasses.asdict(recipe)),
        "data": ", ".join(sorted(set(sources))),
        "steps": str(step),
    }
