"""What a run must not lose: weights, their moving average, the optimiser, the step. Files are replaced whole or not at
all.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from sot_tracker.errors import UserError

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
    """Write beside, then rename: a reader never sees half a file."""
    partial = path.with_suffix(".part")
    torch.save(content, partial)
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, tensors on the CPU; nothing in it is executed. Raises UserError if it cannot be read."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no checkpoint '{path}'") from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"'{path}' is no checkpoint of ours or is damaged ({str(error).splitlines()[0]})") from None
    return content


def export_weights(path: Path, net: nn.Module) -> None:
    """The float32 state dict as safetensors, atomically."""
    tensors: dict[str, Tensor] = {}
    for name, value in net.state_dict().items():
        tensors[name] = (value.float() if value.is_floating_point() else value).contiguous().clone()
    partial = path.with_suffix(".part")
    save_file(tensors, partial)
    partial.replace(path)
