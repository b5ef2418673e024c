"""FERMT: feature extraction and relation modelling for light-weight trackers (Zheng et al., ECCV 2024).

A ViT-tiny whose blocks each follow one of the attention patterns A1 to A5 (paper, section 3.2), after a Dual Attention
Unit on the image itself (3.3) and before a centre head. Section numbers in the comments are those of the fact sheet.
Shapes are for a template of 128 and a search region of 256 pixels: n = 64 and m = 256 tokens of C = 192 channels.

Confidence: `score` before any window; 1e-4 .. 1 - 1e-4, trained to be 1 on the target's centre and 0 elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets import fermt_similarity, fermt_strips, resize, timm_names
from sot_tracker.nets.blocks import attention
from sot_tracker.nets.drop_path import DropPath
from sot_tracker.nets.family import Family, Tap
from sot_tracker.nets.heads import CenterHead

Heads = tuple[Any, Any, Any]
"""q, k, v of one stream: tensors (B, tokens, heads, C / heads), None where nobody needs one."""


@dataclass(frozen=True, slots=True)
class FermtConfig:
    """patterns: one of A1 .. A5 per block; their number is the depth."""

    template_size: int = 128
    search_size: int = 256
    patch: int = 16
    dim: int = 192
    heads: int = 12  # of dimension 16, as MAE-tiny; DeiT-tiny's 3 would load without an error
    mlp: int = 768
    patterns: tuple[str, ...] = ("A2",) * 6 + ("A5",) * 6
    dual_attention: bool = True
    drop_path: float = 0.1  # of the last block, growing from 0 at the first
    head: tuple[int, ...] = (256, 128, 64, 32)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Whose keys and values the queries of each stream see (section 4); None passes the queries through (A4)."""

    template: str | None
    search: str


PATTERNS = {
    "A1": Pattern(template="t", search="s"),
    "A2": Pattern(template="t", search="ts"),
    "A3": Pattern(template="ts", search="ts"),
    "A4": Pattern(template=None, search="t"),
    "A5": Pattern(template="s", search="t"),
}


class SpatialGatingUnit(nn.Module):
    """Spatial attention by large depth-wise convolutions, channel attention by squeeze and excite (section 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 3, 5, padding=2, groups=3)
        self.conv_spatial = nn.Conv2d(3, 3, 5, padding=6, dilation=3, groups=3)
        self.conv1 = nn.Conv2d(3, 3, 1)
        self.fc = nn.Sequential(nn.Linear(3, 1, bias=False), nn.ReLU(), nn.Linear(1, 3, bias=False), nn.Sigmoid())

    def forward(self, u: Tensor) -> Tensor:
        spatial = self.conv1(self.conv_spatial(self.conv0(u)))  # neither squashed nor softmaxed
        channel = self.fc(u.mean((2, 3)))[:, :, None, None]
        out: Tensor = channel * spatial * u
        return out


class DualAttentionUnit(nn.Module):
    """Images to images, (B, 3, S, S), with a shortcut around the whole (section 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.proj_1 = nn.Conv2d(3, 3, 1)
        self.spatial_gating_unit = SpatialGatingUnit()
        self.proj_2 = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = image + self.proj_2(self.spatial_gating_unit(F.gelu(self.proj_1(image))))
        return out


class Block(nn.Module):
    """Pre-norm transformer block; what attends to what is decided by its pattern."""

    def __init__(self, config: FermtConfig, pattern: str, drop_path: float) -> None:
        super().__init__()
        c = config.dim
        self.heads = config.heads
        self.pattern = PATTERNS[pattern]
        self.norm1 = nn.LayerNorm(c, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(c, 3 * c), "proj": nn.Linear(c, c)})
        self.norm2 = nn.LayerNorm(c, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(c, config.mlp), "fc2": nn.Linear(config.mlp, c)})
        self.drop_path = DropPath(drop_path)

    def qkv(self, x: Tensor, wanted: str = "qkv") -> Heads:
        """Tokens (B, N, C) -> queries, keys and values; None for what is not in `wanted` ("qkv", "kv" or "q")."""
        b, n, _ = x.shape
        x, layer = self.norm1(x), self.attn["qkv"]
        thirds = dict(zip("qkv", zip(layer.weight.chunk(3), layer.bias.chunk(3), strict=True), strict=True))
        # Each by itself: runtimes read the heads where they lie in such a product, but copy the parts of a common one.
        made = {name: F.linear(x, *thirds[name]).reshape(b, n, self.heads, -1) for name in wanted}
        return made.get("q"), made.get("k"), made.get("v")

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Tokens (B, N, C) and what their queries found (B, heads, N, C / heads) -> tokens after the block."""
        x = x + self.drop_path(self.attn["proj"](attended.transpose(1, 2).flatten(2)))
        out: Tensor = x + self.drop_path(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x)))))
        return out

    def forward(self, tokens: Tensor, n: int) -> Tensor:
        """All tokens (B, n + m, C), the n of the template first, as the paper draws it: nothing cached or left out."""
        t, s = zip(*(torch.split(part, [n, part.shape[1] - n], dim=1) for part in self.qkv(tokens)), strict=True)
        attended = torch.cat([attend(self.pattern.template, t, t, s), attend(self.pattern.search, s, t, s)], 2)
        return self.finish(tokens, attended)


def attend(seen: str | None, own: Heads, template: Heads, search: Heads) -> Tensor:
    """One softmax of a stream's own N queries over the keys of the streams named in `seen`; (B, heads, N, d)."""
    query: Tensor = own[0].transpose(1, 2)
    if seen is None:
        return query
    streams = [{"t": template, "s": search}[name] for name in seen]
    key, value = (torch.cat([s[i] for s in streams], 1) if len(streams) > 1 else streams[0][i] for i in (1, 2))
    return attention(query, key.transpose(1, 2), value.transpose(1, 2))


class Backbone(nn.Module):
    """Tokens of both images and the blocks they go through."""

    def __init__(self, config: FermtConfig) -> None:
        super().__init__()
        c, depth = config.dim, len(config.patterns)
        self.patch = config.patch
        # cls_token and pos_embed are in every checkpoint and in no computation: pos_embed_z and _x were made from it.
        # Nobody learns them: under torchrun a parameter without a gradient is an error.
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c), requires_grad=False)
        positions = torch.cat([torch.zeros(1, 1, c), sine_positions(14, c)], 1)
        self.pos_embed = nn.Parameter(positions, requires_grad=False)
        self.pos_embed_z = nn.Parameter(torch.empty(1, (config.template_size // config.patch) ** 2, c))
        self.pos_embed_x = nn.Parameter(torch.empty(1, (config.search_size // config.patch) ** 2, c))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, c, config.patch, config.patch)})
        rates = [config.drop_path * i / max(1, depth - 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(config, p, rate) for p, rate in zip(config.patterns, rates, strict=True))
        self.norm = nn.LayerNorm(c, eps=1e-6)
        self.dau = DualAttentionUnit() if config.dual_attention else nn.Identity()
        self.apply(_initialize)
        self.reset_positions()

    def reset_positions(self) -> None:
        """`pos_embed_z` and `pos_embed_x` from `pos_embed`, bicubic: for a freshly loaded pre-trained ViT (3)."""
        grid = self.pos_embed.detach()[:, 1:].transpose(1, 2)
        side = math.isqrt(grid.shape[2])
        for target in (self.pos_embed_z, self.pos_embed_x):
            g = math.isqrt(target.shape[1])
            resized = F.interpolate(grid.reshape(1, -1, side, side), (g, g), mode="bicubic", align_corners=False)
            target.data.copy_(resized.flatten(2).transpose(1, 2))

    def layers(self) -> list[Block]:
        """`blocks`, with their type."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def embed(self, image: Tensor, positions: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, (S / 16)^2, C), row-major."""
        project, exported = self.patch_embed["proj"], torch.compiler.is_compiling() and not self.training
        if exported and isinstance(self.dau, DualAttentionUnit) and self.patch == fermt_strips.WIDTH:
            tokens = fermt_strips.embed(self.dau, project, image)
        else:
            tokens = project(self.dau(image))
        return tokens.flatten(2).transpose(1, 2) + positions


class Fermt(nn.Module):
    """See the module's docstring and docs/architecture.md for `template`, `search` and `forward`."""

    def __init__(self, config: FermtConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.box_head = CenterHead(config.dim, config.head)
        for parameter in self.box_head.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        patterns = [PATTERNS[name] for name in config.patterns]
        # Up to this block the template rows have not met the search rows, so that they can be kept.
        self.alone = next((i for i, p in enumerate(patterns) if "s" in (p.template or "")), len(patterns))
        # After the block that reads the template last, its rows are of no use to anyone.
        self.last = max((i for i, p in enumerate(patterns) if "t" in p.search), default=-1)

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) normalised -> all that depends on the template alone (section 8).

        K and V (B, n, heads, C / heads) of each block that reads the template while its rows have not yet seen the
        search region; then, of the first block in which they do, Q, K, V and the rows (B, n, C) that enter it.
        """
        rows = self.backbone.embed(z, self.backbone.pos_embed_z)
        kept: list[Tensor] = []
        for i, block in enumerate(self.backbone.layers()[: self.last + 1]):
            t = block.qkv(rows)
            if i == self.alone:
                return (*kept, *t, rows)
            if "t" in block.pattern.search:
                kept += t[1:]
            if i < self.last:
                rows = block.finish(rows, attend(block.pattern.template, t, t, t))
        return tuple(kept)

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        """What `template` gave and (B, 3, 256, 256) normalised -> the maps; same result as `forward`, less work."""
        kept = iter(cached)
        s_rows = self.backbone.embed(x, self.backbone.pos_embed_x)
        t: Heads
        for i, block in enumerate(self.backbone.layers()):
            t_moves = self.alone <= i < self.last
            if i < self.alone or i > self.last:
                t = (None, next(kept), next(kept)) if "t" in block.pattern.search else (None, None, None)
            elif i == self.alone:
                t, t_rows = (next(kept), next(kept), next(kept)), next(kept)
            else:
                t = block.qkv(t_rows, "qkv" if t_moves else "kv")
            s = block.qkv(s_rows, "qkv" if t_moves or "s" in block.pattern.search else "q")
            if t_moves:
                t_rows = block.finish(t_rows, attend(block.pattern.template, t, t, s))
            s_rows = block.finish(s_rows, attend(block.pattern.search, s, t, s))
        return self._maps(s_rows)

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The published, uncached network on both images; docs/architecture.md lists the maps."""
        tokens = torch.cat(
            [self.backbone.embed(z, self.backbone.pos_embed_z), self.backbone.embed(x, self.backbone.pos_embed_x)], 1
        )
        n = self.backbone.pos_embed_z.shape[1]
        for block in self.backbone.blocks:
            tokens = block(tokens, n)
        return self._maps(tokens[:, n:])

    def _maps(self, rows: Tensor) -> dict[str, Tensor]:
        g = math.isqrt(rows.shape[1])
        maps: dict[str, Tensor] = self.box_head(
            self.backbone.norm(rows).transpose(1, 2).reshape(rows.shape[0], -1, g, g)
        )
        return maps


def sine_positions(side: int, dim: int) -> Tensor:
    """The fixed table that MAE starts from, (1, side * side, dim): half the channels for x, half for y."""
    rate = 10000 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * rate
    wave = torch.cat([angle.sin(), angle.cos()], 1).float()  # (side, dim / 2)
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.cat([wave[columns.flatten()], wave[rows.flatten()]], 1)[None]


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _reset_positions(net: Fermt, loaded: Collection[str]) -> None:
    """A pre-trained ViT has one table of positions; both of ours are made from it."""
    if "backbone.pos_embed" in loaded and "backbone.pos_embed_z" not in loaded:
        net.backbone.reset_positions()


def _resize(_net: Fermt, name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    return resize.positions(value, shape) if "pos_embed" in name else None


FAMILY = Family(
    variants={"fermt": FermtConfig(), "fermt_nodau": FermtConfig(dual_attention=False)},
    build=Fermt,
    backbone_features=Tap("box_head", inputs=True),
    head_features=Tap("box_head", inputs=True),
    paper={"steps": 140_400, "drop_path": 0.1},
    scratch={"rate": 5e-4, "optimizer": "muon"},
    positive_above=1 - 1e-6,  # the label's centre alone
    pretrained=lambda _config: timm_names.VIT,
    resize=_resize,
    after_loading=_reset_positions,
    similarity_start=fermt_similarity.start,
)
