"""HiT with PVT-Small in place of LeViT (HiT's paper, table 7; PVT: Wang et al., ICCV 2021).

The paper only says "the other parts are consistent with HiT-Base". Here, the tokens of both images pass PVT's four
stages together; keys and values are reduced separately for each image, and every token attends to those of both.
Each image has a table of positions per stage, which is PVT's way of telling positions. The bridge joins the stages of
stride 16 and 32, so that the corner head has HiT-Base's grid. Shapes are for a template of 128 and a search region of
256 pixels: 4096 + 1024, 1024 + 256, 256 + 64, 64 + 16 tokens in the stages, search first.

Confidence: as HiT's, derived from its two maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets import resize
from sot_tracker.nets.blocks import attention
from sot_tracker.nets.drop_path import DropPath
from sot_tracker.nets.family import CellTaps, Family, Tap
from sot_tracker.nets.hit import Bridge, CornerHead, corner_maps

Grids = tuple[int, int]
"""Sides of the search and the template grid."""


@dataclass(frozen=True, slots=True)
class HitPvtConfig:
    """Four stages. reductions: sides of the squares of which one key is made. Sizes are multiples of 32."""

    dims: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    mlp: tuple[int, ...] = (8, 8, 4, 4)
    reductions: tuple[int, ...] = (8, 4, 2, 1)
    patches: tuple[int, ...] = (4, 2, 2, 2)
    drop_path: float = 0.1
    template_size: int = 128
    search_size: int = 256
    hidden: int = 256
    head: tuple[int, ...] = (256, 128, 64, 32)


def to_maps(tokens: Tensor, grids: Grids) -> list[Tensor]:
    """Tokens of both images (B, N, C) -> their maps (B, C, g, g), search first."""
    parts = torch.split(tokens, [g * g for g in grids], dim=1)
    return [part.transpose(1, 2).reshape(len(part), -1, g, g) for part, g in zip(parts, grids, strict=True)]


def to_tokens(maps: list[Tensor]) -> Tensor:
    return torch.cat([m.flatten(2).transpose(1, 2) for m in maps], 1)


class ReducedAttention(nn.Module):
    """All tokens attend to the keys of both images, each image's made of squares of `reduction` tokens a side."""

    def __init__(self, dim: int, heads: int, reduction: int, grids: Grids) -> None:
        super().__init__()
        self.heads, self.grids = heads, grids
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.sr = nn.Conv2d(dim, dim, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(dim) if reduction > 1 else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        b, n, dim = tokens.shape
        reduced = tokens if self.sr is None else to_tokens([self.sr(m) for m in to_maps(tokens, self.grids)])
        q = self.q(tokens).reshape(b, n, self.heads, -1).transpose(1, 2)
        k, v = self.kv(self.norm(reduced)).reshape(b, -1, 2, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Pre-norm transformer block, (B, N, C) -> (B, N, C)."""

    def __init__(self, dim: int, heads: int, mlp: int, reduction: int, grids: Grids, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = ReducedAttention(dim, heads, reduction, grids)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, mlp * dim), "fc2": nn.Linear(mlp * dim, dim)})
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        out: Tensor = tokens + self.drop_path(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(tokens)))))
        return out


class Stage(nn.Module):
    """Patches of each image's map, their positions, and the blocks that the tokens of both go through."""

    def __init__(self, config: HitPvtConfig, number: int, cin: int, grids: Grids, rates: list[float]) -> None:
        super().__init__()
        dim, patch = config.dims[number], config.patches[number]
        self.proj, self.norm = nn.Conv2d(cin, dim, patch, patch), nn.LayerNorm(dim)
        self.pos_embed_x, self.pos_embed_z = (nn.Parameter(torch.zeros(1, g * g, dim)) for g in grids)
        shape = dim, config.heads[number], config.mlp[number], config.reductions[number], grids
        self.blocks = nn.ModuleList(Block(*shape, rate) for rate in rates)

    def embed(self, image: Tensor, positions: Tensor) -> Tensor:
        """One image's map -> its tokens (B, n, C)."""
        out: Tensor = self.norm(self.proj(image).flatten(2).transpose(1, 2)) + positions
        return out

    def mix(self, x_tokens: Tensor, z_tokens: Tensor) -> Tensor:
        """The tokens of search and template -> those of both, (B, N, C)."""
        tokens = torch.cat((x_tokens, z_tokens), 1)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class HitPvt(nn.Module):
    """See the module's docstring and docs/architecture.md for `template`, `search` and `forward`."""

    def __init__(self, config: HitPvtConfig) -> None:
        super().__init__()
        self.config = config
        rates = torch.linspace(0, config.drop_path, sum(config.depths)).tolist()
        grids, cin, stages = (config.search_size, config.template_size), 3, []
        self.grids: list[Grids] = []
        for number, (patch, depth) in enumerate(zip(config.patches, config.depths, strict=True)):
            grids = (grids[0] // patch, grids[1] // patch)
            stages.append(Stage(config, number, cin, grids, rates[:depth]))
            rates, cin = rates[depth:], config.dims[number]
            self.grids.append(grids)
        self.backbone = nn.ModuleList(stages)
        self.bottleneck = Bridge(config.dims[2:], self.grids[2][0], config.hidden)
        self.box_head = CornerHead(config.hidden, config.head)
        self.backbone.apply(_initialize)

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) normalised -> its tokens (B, 1024, C1), all that depends on the template alone."""
        first: Any = self.backbone[0]
        return (first.embed(z, first.pos_embed_z),)

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        """What `template` gave and (B, 3, 256, 256) normalised -> "tl", "br" (B, 16, 16)."""
        first, *others = self.backbone
        tokens = first.mix(first.embed(x, first.pos_embed_x), *cached)
        ends = []
        for stage, grids in zip(others, self.grids[:-1], strict=True):
            x_map, z_map = to_maps(tokens, grids)
            tokens = stage.mix(stage.embed(x_map, stage.pos_embed_x), stage.embed(z_map, stage.pos_embed_z))
            ends.append(tokens)
        return corner_maps(self.bottleneck, self.box_head, *ends[1:])

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self.search(self.template(z), x)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, Stage):
        for positions in (module.pos_embed_x, module.pos_embed_z):
            nn.init.trunc_normal_(positions, std=0.02)


def _cell_taps(net: HitPvt) -> CellTaps:
    """The ends of the stages that the bridge joins."""
    stages = tuple(
        (f"backbone.{i}.blocks.{net.config.depths[i] - 1}", net.config.dims[i], net.grids[i][0]) for i in (2, 3)
    )
    return CellTaps(stages, "bottleneck")


def _resize(_net: HitPvt, name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    return resize.positions(value, shape) if "pos_embed" in name else None


FAMILY = Family(
    variants={"hit_pvt": HitPvtConfig()},
    build=HitPvt,
    backbone_features=Tap("bottleneck"),
    head_features=Tap("bottleneck"),
    scratch={"optimizer": "muon"},
    resize=_resize,
    cell_taps=_cell_taps,
)
