"""The storage of weights in a model folder: float32, float16, or 8-bit integers with scales.

Arithmetic is always float32. The storage only decides the size of the file and the rounding of the weights.
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
"""A matrix with at most this many numbers is stored in float16 also in int8 storage. Such matrices are a tenth of the
bytes, but include early layers and attention, which cause most of the error: with them in int8, boxes of HiT-Tiny
overlapped those of fp16 by 0.993, without by 0.998; for HCAT, the worst twentieth by 0.983 and 0.990."""


def packed(state: Mapping[str, Tensor], storage: str) -> dict[str, Tensor]:
    """The state dict as it is stored, on the CPU, without integers (counters, index tables; the network has them).

    fp16: matrices and kernels are converted to float16 unless a value is out of range. Vectors (biases, norms, running
    statistics) are small and would suffer most, so they stay float32.
    int8: as fp16, but large weight matrices are stored in int8 with a scale per output channel (`SCALE_SUFFIX`).

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
    """The state dict from the tensors of `packed`: int8 multiplied by its scales, everything else unchanged.

    Raises UserError, naming `path`, if scales are missing or do not fit.
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
    """The tensor as integers in -127..127, and a scale per first index by which they are multiplied."""
    largest = tensor.abs().flatten(1).max(1).values.clamp_min(torch.finfo(torch.float32).tiny * _LARGEST_INT8)
    scale = (largest / _LARGEST_INT8).reshape(-1, *[1] * (tensor.dim() - 1))
    return (tensor / scale).round().clamp(-_LARGEST_INT8, _LARGEST_INT8).to(torch.int8), scale


def _is_large_matrix(name: str, tensor: Tensor) -> bool:
    """Whether the tensor is a large weight of a layer. Tables (positions, attention biases) have no output channels."""
    return name.endswith("weight") and tensor.dim() > 1 and tensor.numel() > _MAX_HALF_MATRIX


def _fits_half(tensor: Tensor) -> bool:
    return tensor.dim() > 1 and bool(tensor.abs().max() <= _MAX_HALF)
