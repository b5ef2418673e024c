"""In which arithmetic a run computes: bfloat16 where the hardware has instructions for it, else float32.

Where it has none, bfloat16 is emulated: on a processor with AVX2 only, a convolution's forward and backward pass takes
10 to 30 times as long as in float32.
"""

from __future__ import annotations

import logging

import torch

log = logging.getLogger(__name__)

_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")  # the last one is ARM's


def resolve(wanted: str, device: torch.device) -> str:
    """ "fp32" or "bf16" for a recipe's `precision`; with "auto" the device decides, and the log says how."""
    if wanted != "auto":
        return wanted
    native = has_bfloat16(device)
    name = "GPU" if device.type == "cuda" else "processor"
    log.info("training in %s: this %s has %s bfloat16", *(("bf16", name, "native") if native else ("fp32", name, "no")))
    return "bf16" if native else "fp32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices in bfloat16 by instructions of its own."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.backends.cpu.get_cpu_capability() == "AVX2":  # also where ATEN_CPU_CAPABILITY holds a better one down
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        return any(torch.cpu.get_capabilities().get(name, False) for name in _CAPABILITIES)
    queries = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # older torch has no public query
    return any(getattr(torch.cpu, name)() for name in queries if hasattr(torch.cpu, name))
