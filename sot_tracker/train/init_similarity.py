"""A FERMT that finds by likeness before it has learnt anything: a start for small data sets.

From random weights a vision transformer spends thousands of pairs on learning to compare at all. Here like
attends to like from the first step:

* patch embedding: the principal components of the training pictures' patches, nearly whitened;
* queries and keys of a block: one random rotation of that content for both;
* template positions also hold a mark, "target" or "surroundings", and where the search region reads the template alone
  (pattern A5) values carry that mark and nothing else. A search token ends with the share of its attention that the
  target won from its surroundings.

Everything is learnt from there as usual.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from sot_tracker.errors import UserError
from sot_tracker.nets.fermt import Block, DualAttentionUnit, Fermt
from sot_tracker.train.cache import Cache

PATCHES = 40_000
WHITENING = 0.4
"""Exponent of the variances; 0.5 whitens, and lifts noise as much as shapes."""
SHARPNESS = 2.0
"""Gain of queries and keys: a token's logit with its like is SHARPNESS^2 sqrt(C / heads), 16 in FERMT."""
POSITIONS = 0.2
MARKS = 0.5
"""Of the positions' and marks' size beside content of size 1."""
CARRY = 0.06
"""How much of a mark a head writes into a search token."""
NOISE = 0.01

Normalization = tuple[tuple[float, float, float], tuple[float, float, float]]


def start(net: nn.Module, cache: Cache, tracks: np.ndarray, normalization: Normalization, seed: int) -> None:
    """Set a fresh network's weights in place. tracks: indices into cache.tracks whose pictures may be looked at.

    Raises UserError for a network that is no FERMT.
    """
    if not isinstance(net, Fermt):
        raise UserError("--start matching is for FERMT networks: choose --start random")
    config, backbone = net.config, net.backbone
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    filters, bias = principal_filters(patches(cache, tracks, config.patch, normalization, rng), config.dim - 2)
    basis = rotation(config.dim, generator)
    content, marks = basis[:, :-2], basis[:, -2:]
    with torch.no_grad():
        _fill(backbone.patch_embed["proj"], content @ filters, content @ bias)
        backbone.pos_embed_x.mul_(POSITIONS)
        inside = inside_target(config.template_size // config.patch)
        mark = torch.where(inside[:, None], marks[:, 0], marks[:, 1]) * math.sqrt(config.dim)
        backbone.pos_embed_z.mul_(POSITIONS).add_(MARKS * mark)
        if isinstance(backbone.dau, DualAttentionUnit):
            backbone.dau.proj_2.weight.mul_(0.1)  # pictures pass nearly unchanged
        for block in backbone.layers():
            _like_to_like(block, content, marks, generator)


def _like_to_like(block: Block, content: Tensor, marks: Tensor, generator: torch.Generator) -> None:
    dim, kept = content.shape
    look = torch.zeros(dim, dim)
    look[:kept] = SHARPNESS * rotation(kept, generator) @ content.T
    values, out = torch.zeros(dim, dim), torch.zeros(dim, dim)
    if block.pattern.search == "t":
        for first in range(0, dim, dim // block.heads):
            values[first : first + 2] = marks.T
            out[:, first : first + 2] = CARRY * marks
    qkv = torch.cat([look, look, values])
    for layer, weight in ((block.attn["qkv"], qkv), (block.attn["proj"], out)):
        _fill(layer, weight + NOISE * torch.randn(weight.shape, generator=generator))


def _fill(layer: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    layer.get_parameter("weight").copy_(weight.view_as(layer.get_parameter("weight")))
    if bias is not None:
        layer.get_parameter("bias").copy_(bias)


def patches(
    cache: Cache, tracks: np.ndarray, side: int, normalization: Normalization, rng: np.random.Generator
) -> np.ndarray:
    """Random patches of the tracks' pictures, normalised: (about PATCHES, 3 * side * side), channel first."""
    entries = np.concatenate([np.arange(*cache.ranges[track]) for track in tracks])
    found = []
    for entry in rng.choice(entries, max(1, PATCHES // 16)):
        picture = cache.picture(int(entry))[..., 2::-1]
        free = np.array(picture.shape[:2]) - side
        if (free < 0).any():
            continue
        for y, x in rng.integers(free + 1, size=(16, 2)):
            found.append(picture[y : y + side, x : x + side])
    if not found:
        raise UserError(f"no picture of the training data has {side} pixels: --start matching cannot learn its patches")
    mean, std = normalization
    values = (np.stack(found) / 255 - np.array(mean)) / np.array(std)
    rows: np.ndarray = values.transpose(0, 3, 1, 2).reshape(len(found), -1)
    return rows


def principal_filters(samples: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
    """Filters (count, D) and biases (count,) whose outputs on samples (N, D) have mean 0 and size of about 1."""
    middle = samples.mean(0)
    variances, directions = np.linalg.eigh(np.cov((samples - middle).T))
    variances, directions = variances[::-1][:count], directions[:, ::-1][:, :count]
    variances = variances.clip(min=1e-6 * variances[0])
    filters = (directions * variances**-WHITENING).T
    filters /= math.sqrt((variances ** (1 - 2 * WHITENING)).mean())
    return torch.from_numpy(filters.copy()).float(), torch.from_numpy(-(filters @ middle)).float()


def inside_target(grid: int) -> Tensor:
    """Which cells of a template of twice the target's size lie on the target: (grid * grid,), row-major."""
    centres = (torch.arange(grid) + 0.5) / grid - 0.5
    near = centres.abs() < 0.25
    return (near[:, None] & near[None]).flatten()


def rotation(dim: int, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix (dim, dim)."""
    q: Tensor = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0]
    return q
