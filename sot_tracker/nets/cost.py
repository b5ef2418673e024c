"""Counts a network's parameters and multiply-accumulates (MACs), completely and in the way of its paper.

MACs are those of convolutions and matrix products, attention included, at batch 1; norms, activations and additions
are left out (fact sheets, sections on cost).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sot_tracker.catalog import NetworkSpec


def parameters(net: nn.Module) -> int:
    """Number of all trainable parameters."""
    return sum(parameter.numel() for parameter in net.parameters())


def macs(net: nn.Module, spec: NetworkSpec) -> dict[str, int]:
    """ "template" once per target, "search" once per frame, "uncached" both at once as published."""
    z, x = _inputs(spec)
    with torch.no_grad():
        cached: Any = net.template(z)
    template, search = _count(net, lambda: net.template(z)), _count(net, lambda: net.search(cached, x))
    return {"template": _total(template), "search": _total(search), "uncached": _total(_count(net, lambda: net(z, x)))}


def published_parameters(net: nn.Module) -> int:
    """Number of parameters as counted by the profiler of the FERMT and HiT papers: only those of layers.

    It leaves out tensors that belong to a larger module (position embeddings, attention biases; fact sheet of
    FERMT, section 9), and HiT's backbone has its batch norms folded into one bias each (fact sheet of HiT, section 12).
    """
    count = sum(parameters(module) for module in net.modules() if not list(module.children()))
    folded = [m for m in net.modules() if isinstance(getattr(m, "c", None), nn.Module) and hasattr(m, "bn")]
    return count - sum(module.bn.weight.numel() for module in folded)


def published_macs(net: nn.Module, spec: NetworkSpec) -> int:
    """MACs counted by the same profiler: template and search, layers only, transposed convolutions by output size."""
    z, x = _inputs(spec)
    counts = _count(net, lambda: net(z, x))
    products = counts["Global"].get(torch.ops.aten.bmm, 0)
    transposed = [name for name, module in net.named_modules() if isinstance(module, nn.ConvTranspose2d)]
    again = sum(sum(counts[f"{type(net).__name__}.{name}"].values()) * 3 for name in transposed)
    return (sum(counts["Global"].values()) - products + again) // 2


def _inputs(spec: NetworkSpec) -> tuple[torch.Tensor, torch.Tensor]:
    z, x = (torch.zeros(1, 3, side, side) for side in (spec.template_size, spec.search_size))
    return z, x


def _count(net: nn.Module, run: Callable[[], object]) -> dict[str, dict[Any, int]]:
    """Floating point operations by module ("Global" is all of them) and operator, of one run in eval mode."""
    training = net.training
    net.eval()
    try:
        # Attention as plain matrix products, since not every fused kernel is counted; with gradients, without which
        # torch's counter stumbles over a parameter that is handed to a sub-module.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            run()
    finally:
        net.train(training)
    counts: dict[str, dict[Any, int]] = counter.get_flop_counts()
    return counts


def _total(counts: dict[str, dict[Any, int]]) -> int:
    return sum(counts["Global"].values()) // 2
