"""Initial weights of FERMT with which it finds similar patches before any training, for small data sets.

With random weights, a vision transformer needs thousands of pairs to learn to compare at all. With these weights,
tokens attend to similar tokens from the first step:

* patch embedding: the principal components of the training pictures' patches, nearly whitened;
* queries and keys of a block: one random rotation of that content for both;
* template positions also hold a mark, "target" or "surroundings", and where the search region reads the template alone
  (pattern A5) values carry that mark and nothing else. A search token ends with the share of its attention that the
  target won from its surroundings.

Everything is trained from there as usual.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from sot_tracker.nets.family import PrincipalFilters

SHARPNESS = 2.0
"""Gain of queries and keys: a token's logit with its like is SHARPNESS^2 sqrt(C / heads), 16 in FERMT."""
POSITIONS = 0.2
MARKS = 0.5
"""Sizes of positions and marks beside content of size 1."""
CARRY = 0.06
"""How much of a mark a head writes into a search token."""
NOISE = 0.01


@torch.no_grad()
def start(net: Any, principal: PrincipalFilters, generator: torch.Generator) -> None:
    """Set the weights of a fresh `Fermt` in place."""
    config, backbone = net.config, net.backbone
    filters, bias = principal(config.patch, config.dim - 2)
    basis = rotation(config.dim, generator)
    content, marks = basis[:, :-2], basis[:, -2:]
    _fill(backbone.patch_embed["proj"], content @ filters, content @ bias)
    backbone.pos_embed_x.mul_(POSITIONS)
    inside = inside_target(config.template_size // config.patch)
    mark = torch.where(inside[:, None], marks[:, 0], marks[:, 1]) * math.sqrt(config.dim)
    backbone.pos_embed_z.mul_(POSITIONS).add_(MARKS * mark)
    if config.dual_attention:
        backbone.dau.proj_2.weight.mul_(0.1)  # pictures pass nearly unchanged
    for block in backbone.layers():
        _attend_to_similar(block, content, marks, generator)


def _attend_to_similar(block: Any, content: Tensor, marks: Tensor, generator: torch.Generator) -> None:
    dim, kept = content.shape
    compare = torch.zeros(dim, dim)
    compare[:kept] = SHARPNESS * rotation(kept, generator) @ content.T
    values, out = torch.zeros(dim, dim), torch.zeros(dim, dim)
    if block.pattern.search == "t":
        for first in range(0, dim, dim // block.heads):
            values[first : first + 2] = marks.T
            out[:, first : first + 2] = CARRY * marks
    qkv = torch.cat([compare, compare, values])
    for layer, weight in ((block.attn["qkv"], qkv), (block.attn["proj"], out)):
        _fill(layer, weight + NOISE * torch.randn(weight.shape, generator=generator))


def _fill(layer: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    layer.get_parameter("weight").copy_(weight.view_as(layer.get_parameter("weight")))
    if bias is not None:
        layer.get_parameter("bias").copy_(bias)


def inside_target(grid: int) -> Tensor:
    """Which cells of a template of twice the target's size lie on the target: (grid * grid,), row-major."""
    centres = (torch.arange(grid) + 0.5) / grid - 0.5
    near = centres.abs() < 0.25
    return (near[:, None] & near[None]).flatten()


def rotation(dim: int, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix (dim, dim)."""
    q: Tensor = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0]
    return q
