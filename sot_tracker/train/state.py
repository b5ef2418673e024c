"""What a run must not lose: weights, their moving average, the optimiser, the step. Files are replaced whole or not at
all.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sot_tracker.atomic import new_file
from sot_tracker.checkpoints import save_state_dict
from sot_tracker.errors import UserError
from sot_tracker.train.recipe import Recipe

_DAMAGE = (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, LookupError, TypeError, AttributeError)
"""What torch.load raises for files that are cut or changed."""

Tensors = tuple[Tensor, ...] | list[Tensor]


def average_of(net: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of a network's weights and batch-norm statistics, in eval mode, as `.module`.

    The decay rises to its value with the number of updates, `n_averaged`, so that early averages are useful. Counters
    are copied. A resumed run sets `n_averaged`.
    """

    @torch.no_grad()
    def mix(own: Tensors, new: Tensors, updates: Tensor | int) -> None:
        count = float(updates)
        share = 1 - min(decay, (1 + count) / (10 + count))
        if own[0].is_floating_point():
            torch._foreach_lerp_(own, new, share)
        else:
            torch._foreach_copy_(own, new)

    average = AveragedModel(net, multi_avg_fn=mix, use_buffers=True)
    average.module.eval().requires_grad_(False)
    return average


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all. Raises UserError if it cannot be written, as on a full disk."""
    with new_file(path) as beside, beside.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # raised in place of the file's own error
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, tensors on the CPU; nothing in it is executed. Raises UserError if it cannot be read."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no checkpoint '{path}'") from None
    except OSError as error:
        raise UserError(f"checkpoint '{path}' cannot be read: {error.strerror}") from None
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        known = "" if "weights_only" in reason else f" ({reason})"  # torch's advice would run code from the file
        raise UserError(f"'{path}' is not a checkpoint of ours or is damaged{known}") from None
    if not isinstance(content, dict):
        raise UserError(f"'{path}' is not a checkpoint of ours: it holds a {type(content).__name__}")
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
