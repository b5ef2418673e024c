"""How weights are stored in a model folder: float32, rounded to half, or as whole numbers of 8 bits with scales.

Arithmetic is float32 either way. Storage only decides how large the file is and how far weights are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sot_tracker.errors import UserError
from sot_tracker.manifest import STORAGES
from sot_tracker.weights_file import SCALE_SUFFIX

_MAX_HALF = 65504.0
_LARGEST_INT8 = 127
_MAX_HALF_MATRIX = 1 << 16
"""Up to so many numbers a matrix stays in half in int8 storage too. These are a tenth of the bytes, but the networks'
early layers and attention among them make most of the difference: measured on HiT-Tiny, boxes overlapped those of fp16
by 0.993 with them in int8 and by 0.998 without, on HCAT the worst twentieth by 0.983 and 0.990."""


def packed(state: Mapping[str, Tensor], storage: str) -> dict[str, Tensor]:
    """The state dict as it is stored, on the CPU, without integers (counters, index tables), which the network knows.

    fp16: matrices and kernels become half unless a value is out of its range. Vectors (biases, norms, running
    statistics) are few and would lose most: they stay in float32.
    int8: of these matrices, the large weights become int8 with a scale per output channel (`SCALE_SUFFIX`).

    Raises UserError for another storage.
    """
    if storage not in STORAGES:
        raise UserError(f"storage '{storage}' is unknown: choose one of {', '.join(STORAGES)}")
    stored: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        own = tensor.detach().cpu().float().contiguous().clone()
        if storage == "int8" and _is_large_matrix(name, own):
            stored[name], stored[name + SCALE_SUFFIX] = _quantised(own)
        else:
            stored[name] = own.half() if storage != "fp32" and _fits_half(own) else own
    return stored


def unpacked(path: Path, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of what `packed` gave: int8 multiplied by its scales, everything else as it is.

    Raises UserError, naming `path`, where the scales are missing or do not fit.
    """
    state = dict(stored)
    for name, tensor in stored.items():
        if tensor.dtype != torch.int8:
            continue
        scale = state.pop(name + SCALE_SUFFIX, None)
        expected = (len(tensor), *[1] * (tensor.dim() - 1)) if tensor.dim() else ()
        if scale is None or tuple(scale.shape) != expected or scale.dtype != torch.float32:
            raise UserError(f"{path} holds {name!a} in int8 without fitting scales: export the model again")
        state[name] = tensor.float() * scale
    return state


def _quantised(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers in -127..127, and a scale per first index that makes them the tensor again."""
    largest = tensor.abs().flatten(1).max(1).values.clamp_min(torch.finfo(torch.float32).tiny * _LARGEST_INT8)
    scale = (largest / _LARGEST_INT8).reshape(-1, *[1] * (tensor.dim() - 1))
    return (tensor / scale).round().clamp(-_LARGEST_INT8, _LARGEST_INT8).to(torch.int8), scale


def _is_large_matrix(name: str, tensor: Tensor) -> bool:
    """Weights of layers only: tables (positions, attention biases) have no output channels."""
    return name.endswith("weight") and tensor.dim() > 1 and tensor.numel() > _MAX_HALF_MATRIX


def _fits_half(tensor: Tensor) -> bool:
    return tensor.dim() > 1 and bool(tensor.abs().max() <= _MAX_HALF)
