"""HiT: exploring lightweight hierarchical vision transformers for efficient visual tracking (Kang et al., ICCV 2023).

A LeViT over the tokens of both images (paper, section 3.2) with dual-image position encoding (3.3), a bridge that joins
its three stages (3.4) and a corner head (3.5). Section numbers in the comments are those of the fact sheet. Shapes are
for a template of 128 and a search region of 256 pixels: 256 + 64, 64 + 16, 16 + 4 tokens in the stages, search first.

Confidence: the network has none; `sot_tracker.decode.decode_corner` derives one from its two maps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets import timm_names
from sot_tracker.nets.drop_path import DropPath
from sot_tracker.nets.family import CellTaps, Family, Tap
from sot_tracker.nets.pair_bias import PairBias

STRIDE = 16


@dataclass(frozen=True, slots=True)
class HitConfig:
    """Three stages; sizes are multiples of 64 (template) and 64 (search), so that every grid can be halved twice."""

    dims: tuple[int, int, int]
    depths: tuple[int, int, int]
    heads: tuple[int, int, int]
    key: int  # size per head of queries and keys; values are 2 (attention) and 4 times (shrink) as wide
    drop_path: float = 0.0
    template_size: int = 128
    search_size: int = 256
    hidden: int = 256  # width of the head's input
    head: tuple[int, ...] = (256, 128, 64, 32)

    @property
    def grids(self) -> tuple[int, int]:
        """Sides of the search and the template grid in the first stage."""
        return self.search_size // STRIDE, self.template_size // STRIDE


class ConvBN(nn.Module):
    """3x3 convolution of stride 2 without bias, and batch norm."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.c = nn.Conv2d(cin, cout, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.c(x))
        return out


class LinearBN(nn.Module):
    """Linear layer without bias, and batch norm over all tokens of the batch; `gamma` is the norm's first scale."""

    def __init__(self, cin: int, cout: int, gamma: float = 1.0) -> None:
        super().__init__()
        self.c = nn.Linear(cin, cout, bias=False)
        self.bn = nn.BatchNorm1d(cout)
        nn.init.constant_(self.bn.weight, gamma)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, cin) -> (B, N, cout)."""
        if torch.compiler.is_compiling() and not self.training:
            # In an exported graph the norm is written as part of the weights: runtimes compute that once, at loading,
            # but leave a norm alone that comes after a reshaped product.
            norm: Any = self.bn
            scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
            return F.linear(x, self.c.weight * scale[:, None], norm.bias - norm.running_mean * scale)
        y = self.c(x)
        out: Tensor = self.bn(y.flatten(0, 1)).view_as(y)
        return out


class Attention(PairBias):
    """All tokens attend to all tokens of both images."""

    def __init__(self, dim: int, heads: int, key: int, grids: tuple[int, int]) -> None:
        super().__init__(heads, grids, stride=1)
        self.heads, self.key = heads, key
        self.qkv = LinearBN(dim, heads * 4 * key)
        self.proj = nn.Sequential(nn.Hardswish(), LinearBN(heads * 2 * key, dim, gamma=0.0))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, N, C) -> q, k (B, heads, N, D) and v (B, heads, N, 2D)."""
        q, k, v = torch.split(split_heads(self.qkv(x), self.heads), [self.key, self.key, 2 * self.key], dim=3)
        return q, k, v

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x)
        out: Tensor = self.proj(join_heads(mix(logits(q, k) + self.bias(), v)))
        return out


class Shrink(PairBias):
    """Attention of every second token of each grid to all tokens: half the grid, more channels, no residual."""

    def __init__(self, dim: int, cout: int, key: int, grids: tuple[int, int]) -> None:
        heads = dim // key
        super().__init__(heads, grids, stride=2)
        self.heads, self.key, self.grids = heads, key, grids
        self.kv = LinearBN(dim, heads * 5 * key)
        self.q = nn.Sequential(Subsample(grids), LinearBN(dim, heads * key))
        self.proj = nn.Sequential(nn.Hardswish(), LinearBN(heads * 4 * key, cout))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, dim) -> (B, N / 4, cout)."""
        k, v = torch.split(split_heads(self.kv(x), self.heads), [self.key, 4 * self.key], dim=3)
        q = split_heads(self.q(x), self.heads)
        out: Tensor = self.proj(join_heads(mix(logits(q, k) + self.bias(), v)))
        return out


class Subsample(nn.Module):
    """Rows and columns 0, 2, 4, ... of the search and of the template grid."""

    def __init__(self, grids: tuple[int, int]) -> None:
        super().__init__()
        self.grids = grids

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(x, [g * g for g in self.grids], dim=1)
        maps = [part.reshape(part.shape[0], g, g, -1) for part, g in zip(parts, self.grids, strict=True)]
        kept = [part[:, ::2, ::2].flatten(1, 2) for part in maps]
        return torch.cat(kept, 1)


class Residual(nn.Module):
    """The tokens plus what `m` makes of them."""

    def __init__(self, m: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.m = m
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.drop_path(self.m(x))
        return out


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * d) -> (B, heads, N, d); the channels are grouped by head, q, k and v inside a head (section 3)."""
    b, n, _ = x.shape
    return x.reshape(b, n, heads, -1).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def logits(q: Tensor, k: Tensor) -> Tensor:
    out: Tensor = (q * q.shape[3] ** -0.5) @ k.transpose(2, 3)
    return out


def mix(scores: Tensor, v: Tensor) -> Tensor:
    out: Tensor = scores.softmax(dim=3) @ v
    return out


class LeViT(nn.Module):
    """Stem and the flat list of blocks; `after` holds the index behind the last block of each stage."""

    def __init__(self, config: HitConfig) -> None:
        super().__init__()
        widths = (3, *(config.dims[0] // d for d in (8, 4, 2, 1)))
        layers: list[nn.Module] = []
        for cin, cout in itertools.pairwise(widths):
            layers += [ConvBN(cin, cout), nn.Hardswish()]
        self.patch_embed = nn.Sequential(*layers[:-1])
        blocks: list[nn.Module] = []
        self.after: list[int] = []
        grids = config.grids
        for stage, (dim, depth, heads) in enumerate(zip(config.dims, config.depths, config.heads, strict=True)):
            for _ in range(depth):
                blocks += [
                    Residual(Attention(dim, heads, config.key, grids), config.drop_path),
                    _mlp(dim, config.drop_path),
                ]
            self.after.append(len(blocks))
            if stage < 2:
                cout = config.dims[stage + 1]
                blocks += [Shrink(dim, cout, config.key, grids), _mlp(cout, config.drop_path)]
                grids = (grids[0] // 2, grids[1] // 2)
        self.blocks = nn.ModuleList(blocks)

    def embed(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, (S / 16)^2, C1), row-major."""
        out: Tensor = self.patch_embed(image).flatten(2).transpose(1, 2)
        return out

    def rest(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens that have passed block 0 -> tokens after each stage: (B, 320, C1), (B, 80, C2), (B, 20, C3)."""
        stages: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(x) if i > 0 else x
            if i + 1 in self.after:
                stages.append(x)
        first, second, third = stages
        return first, second, third


class Bridge(nn.Module):
    """The search parts of the stages in one map, and the global vector, both `hidden` wide (section 5).

    dims: channels of the stages, each of half the grid of the one before. grid: side of the first one's search grid.
    """

    def __init__(self, dims: Sequence[int], grid: int, hidden: int) -> None:
        super().__init__()
        self.grid = grid
        self.layers = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(cin, cout, 2, stride=2), nn.BatchNorm2d(cout))
            for cin, cout in itertools.pairwise(reversed(dims))
        )
        self.proj1 = nn.Linear(dims[0], hidden)
        self.proj2 = nn.Linear(dims[-1], hidden)

    def forward(self, *stages: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens after each stage -> E (B, grid^2, hidden) and G (B, hidden)."""
        *finer, joined = (_search_map(tokens, self.grid >> depth) for depth, tokens in enumerate(stages))
        for number, (layer, shortcut) in enumerate(zip(self.layers, reversed(finer), strict=True)):
            joined = layer(torch.relu(joined) if number else joined) + shortcut
        query = self.proj2(stages[-1].mean(1))  # template tokens count in the mean
        return self.proj1(joined.flatten(2).transpose(1, 2)), query


class CornerHead(nn.Module):
    """Two stacks of 3x3 convolution, batch norm, ReLU, ended by a 1x1 convolution; raw maps (section 6)."""

    def __init__(self, hidden: int, head: Sequence[int]) -> None:
        super().__init__()
        widths = (hidden, *head)
        self.depth = len(widths)
        for side in ("tl", "br"):
            for k, (cin, cout) in enumerate(itertools.pairwise(widths), start=1):
                layer = nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.ReLU())
                self.add_module(f"conv{k}_{side}", layer)
            self.add_module(f"conv{self.depth}_{side}", nn.Conv2d(widths[-1], 1, 1))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(B, hidden, g, g) -> `tl`, `br` (B, g, g), float32."""
        return {side: self._stack(side, features).squeeze(1).float() for side in ("tl", "br")}

    def _stack(self, side: str, x: Tensor) -> Tensor:
        first, *others = (self.get_submodule(f"conv{k}_{side}") for k in range(1, self.depth + 1))
        kind = x.device.type
        half = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) is torch.float16
        with torch.autocast(kind, enabled=False) if half else nullcontext():
            x = first(x)  # up to 230 000 before its norm, three times what fp16 can hold
        for layer in others:
            x = layer(x)
        return x


def corner_maps(bridge: Bridge, head: CornerHead, *stages: Tensor) -> dict[str, Tensor]:
    """Tokens after each stage -> the maps: the search tokens weighted by their product with the global vector."""
    tokens, query = bridge(*stages)
    with torch.autocast(tokens.device.type, enabled=False):  # unscaled products can leave the range of fp16
        tokens, query = tokens.float(), query.float()
        weighted = tokens * (tokens @ query[:, :, None])
    maps: dict[str, Tensor] = head(_search_map(weighted, bridge.grid))
    return maps


class Hit(nn.Module):
    """See the module's docstring and docs/architecture.md for `template`, `search` and `forward`.

    Batch norm sees the tokens of both images together while training: train with `forward`, and use `template` and
    `search` in eval mode, where they give the same result.
    """

    def __init__(self, config: HitConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = nn.ModuleDict({"body": LeViT(config)})
        self.box_head = CornerHead(config.hidden, config.head)
        self.bottleneck = Bridge(config.dims, config.grids[0], config.hidden)

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) normalised -> template tokens (B, 64, C1), their q, k, v in block 0 and the logits among
        them with bias (B, heads, 64, 64): all that depends on the template alone (section 11)."""
        body, attention = self._start()
        tokens = body.embed(z)
        q, k, v = attention.project(tokens)
        own = attention.bias()[:, -tokens.shape[1] :, -tokens.shape[1] :]
        return tokens, q, k, v, logits(q, k) + own

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        """What `template` gave and (B, 3, 256, 256) normalised -> the maps; same result as `forward`, less work."""
        body, attention = self._start()
        z_tokens, zq, zk, zv, zz = cached
        x_tokens = body.embed(x)
        q, k, v = attention.project(x_tokens)
        n, bias = x_tokens.shape[1], attention.bias()
        v = torch.cat([v, zv], 2)
        x_rows = mix(logits(q, torch.cat([k, zk], 2)) + bias[:, :n], v)
        z_rows = mix(torch.cat([logits(zq, k) + bias[:, n:, :n], zz], 3), v)
        tokens = torch.cat([x_tokens, z_tokens], 1)
        tokens = tokens + attention.proj(join_heads(torch.cat([x_rows, z_rows], 2)))
        return corner_maps(self.bottleneck, self.box_head, *body.rest(tokens))

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The published, uncached network on both images; docs/architecture.md lists the maps."""
        body, _ = self._start()
        tokens = torch.cat([body.embed(x), body.embed(z)], 1)
        return corner_maps(self.bottleneck, self.box_head, *body.rest(body.blocks[0](tokens)))

    def _start(self) -> tuple[LeViT, Attention]:
        body: Any = self.backbone["body"]
        return body, body.blocks[0].m


def _mlp(dim: int, drop_path: float) -> Residual:
    return Residual(nn.Sequential(LinearBN(dim, 2 * dim), nn.Hardswish(), LinearBN(2 * dim, dim, gamma=0.0)), drop_path)


def _search_map(tokens: Tensor, side: int) -> Tensor:
    """The search part of a stage's tokens, (B, N, C) -> (B, C, side, side)."""
    return tokens[:, : side * side].transpose(1, 2).reshape(tokens.shape[0], -1, side, side)


def _cell_taps(net: Hit) -> CellTaps:
    """The ends of the first two stages, and what the head re-weights (section 6)."""
    body, grid = net.backbone["body"], net.config.grids[0]
    stages = tuple(
        (f"backbone.body.blocks.{end - 1}", dim, grid >> depth)
        for depth, (end, dim) in enumerate(zip(body.after[:2], net.config.dims, strict=False))
    )
    return CellTaps(stages, "bottleneck")


def _resize(net: Hit, name: str, value: Tensor, _shape: torch.Size) -> Tensor | None:
    if not name.endswith("attention_biases"):
        return None
    layer = net.get_submodule(name.rpartition(".")[0])
    assert isinstance(layer, PairBias)
    return layer.resized(value)


FAMILY = Family(
    variants={
        "hit_base": HitConfig((384, 512, 768), (4, 4, 4), (6, 9, 12), key=32, drop_path=0.1),
        "hit_small": HitConfig((128, 256, 384), (4, 4, 4), (4, 8, 12), key=16),
        "hit_tiny": HitConfig((128, 256, 384), (2, 3, 4), (4, 6, 8), key=16),
    },
    build=Hit,
    backbone_features=Tap("bottleneck"),
    head_features=Tap("bottleneck"),
    paper={
        "steps": 702_000,
        "rate": 5e-4,
        "backbone_rate": 1.0,
        "drop_path": 0.1,
        "sampling": {"size_jitter": 0.5, "shift_jitter": 3.5},
    },
    scratch={"optimizer": "muon"},
    fast_parameters=("attention_biases",),
    pretrained=lambda config: timm_names.levit(config.depths),
    resize=_resize,
    cell_taps=_cell_taps,
)
