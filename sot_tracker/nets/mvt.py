"""MVT: Mobile Vision Transformer tracker (Gopal and Amer, BMVC 2023).

MobileViT-S cut after its fourth stage; its two transformer stages mix the tokens of search and template region
(paper, section 3.1), a pixel-wise correlation joins them, a centre head reads the result. Section numbers in the
comments are those of the fact sheet. Shapes are for a template of 128 and a search region of 256 pixels.

Confidence: `score` before any window; 1e-4 .. 1 - 1e-4, trained to be 1 on the target's centre and 0 elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sot_tracker.nets import timm_names
from sot_tracker.nets.blocks import (
    ConvBlock,
    Fusor,
    InvertedResidual,
    Neck,
    StageConfig,
    attention,
    fold2x2,
    resize_fusor,
    unfold2x2,
)
from sot_tracker.nets.family import Family, Tap
from sot_tracker.nets.heads import CenterHead


@dataclass(frozen=True, slots=True)
class MvtConfig:
    stage3: StageConfig
    stage4: StageConfig
    template_size: int = 128
    search_size: int = 256
    expansion: int = 4
    stem: tuple[int, int, int] = (16, 32, 64)  # conv_1, layer_1, layer_2
    heads: int = 4
    dropout: float = 0.1
    fused: int = 256
    head: tuple[int, ...] = (256, 128, 64, 32)


class Attention(nn.Module):
    """Multi-head self-attention; query, key and value are the three thirds of `qkv_proj`'s rows."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, qkv: Tensor) -> Tensor:
        """Projected tokens (B, N, 3d) -> (B, N, d)."""
        b, n, width = qkv.shape
        q, k, v = qkv.reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, N, d / heads)
        mixed = attention(q, k, v, self.dropout if self.training else 0.0)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(b, n, width // 3))
        return out


class Encoder(nn.Module):
    """Pre-norm transformer encoder (1.3). The numbers of the sub-modules are those of the published file."""

    def __init__(self, stage: StageConfig, heads: int, dropout: float) -> None:
        super().__init__()
        d, wide = stage.dim, stage.ffn
        self.pre_norm_mha = nn.Sequential(nn.LayerNorm(d), Attention(d, heads, dropout), nn.Dropout(dropout))
        self.pre_norm_ffn = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, wide), nn.ReLU(), nn.Identity(), nn.Linear(wide, d), nn.Dropout(dropout)
        )

    def project(self, tokens: Tensor) -> Tensor:
        """What attention reads of each token, (B, N, d) -> (B, N, 3d): norm and projection act token by token."""
        norm, mixer, _ = self.pre_norm_mha
        out: Tensor = mixer.qkv_proj(norm(tokens))
        return out

    def forward(self, tokens: Tensor, qkv: Tensor) -> Tensor:
        """Tokens (B, N, d) and their projection (B, N, 3d) -> (B, N, d)."""
        _, mixer, dropout = self.pre_norm_mha
        tokens = tokens + dropout(mixer(qkv))
        out: Tensor = tokens + self.pre_norm_ffn(tokens)
        return out


class MixedBlock(nn.Module):
    """MobileViT block whose attention runs over the tokens of both regions (1.3).

    The four positions inside the 2x2 patches never see each other: they are folded into the batch.
    """

    def __init__(self, stage: StageConfig, heads: int, dropout: float) -> None:
        super().__init__()
        c, d = stage.channels, stage.dim
        self.local_rep = nn.Sequential(
            OrderedDict(conv_3x3=ConvBlock(c, c, 3), conv_1x1=ConvBlock(c, d, 1, norm=False, act=False))
        )
        encoders = (Encoder(stage, heads, dropout) for _ in range(stage.layers))
        self.global_rep = nn.Sequential(*encoders, nn.LayerNorm(d))
        self.conv_proj = ConvBlock(d, c, 1)
        self.fusion = ConvBlock(2 * c, c, 3)

    def prepare(self, region: Tensor) -> tuple[Tensor, Tensor]:
        """One region's own part, (B, C, H, W) -> tokens (4B, N, d) and the first encoder's (4B, N, 3d)."""
        tokens = unfold2x2(self.local_rep(region)).permute(0, 2, 3, 1).flatten(0, 1)
        return tokens, self.global_rep[0].project(tokens)

    def restore(self, tokens: Tensor, region: Tensor) -> Tensor:
        """Tokens (4B, N, d) back onto the map, beside the block's input (B, C, H, W) -> (B, C, H, W)."""
        b, _, h, w = region.shape
        folded = fold2x2(tokens.reshape(b, 4, h * w // 4, -1).permute(0, 3, 1, 2), h, w)
        out: Tensor = self.fusion(torch.cat((region, self.conv_proj(folded)), 1))
        return out

    def mix(self, x: Tensor, z: Tensor, z_tokens: Tensor, z_qkv: Tensor) -> tuple[Tensor, Tensor]:
        """Search region x, template region z and what `prepare` made of z -> both regions, mixed."""
        x_tokens, x_qkv = self.prepare(x)
        first, *others, norm = self.global_rep
        tokens = first(torch.cat((x_tokens, z_tokens), 1), torch.cat((x_qkv, z_qkv), 1))  # (4B, 256 + 64, d)
        for encoder in others:
            tokens = encoder(tokens, encoder.project(tokens))
        x_tokens, z_tokens = norm(tokens).split((x_tokens.shape[1], z_tokens.shape[1]), 1)
        return self.restore(x_tokens, x), self.restore(z_tokens, z)


class Backbone(nn.Module):
    """MobileViT-S through layer_4 (1.2)."""

    def __init__(self, config: MvtConfig) -> None:
        super().__init__()
        (c0, c1, c2), e, s3, s4 = config.stem, config.expansion, config.stage3, config.stage4
        self.conv_1 = ConvBlock(3, c0, 3, stride=2)
        self.layer_1 = nn.Sequential(InvertedResidual(c0, c1, 1, e))
        self.layer_2 = nn.Sequential(
            InvertedResidual(c1, c2, 2, e), InvertedResidual(c2, c2, 1, e), InvertedResidual(c2, c2, 1, e)
        )
        self.layer_3 = nn.Sequential(
            InvertedResidual(c2, s3.channels, 2, e), MixedBlock(s3, config.heads, config.dropout)
        )
        self.layer_4 = nn.Sequential(
            InvertedResidual(s3.channels, s4.channels, 2, e), MixedBlock(s4, config.heads, config.dropout)
        )

    def local(self, image: Tensor) -> Tensor:
        """The part of the network before the regions are mixed: (B, 3, 256, 256) -> (B, 96, 32, 32)."""
        out: Tensor = self.layer_3[0](self.layer_2(self.layer_1(self.conv_1(image))))
        return out


class Mvt(nn.Module):
    """See the module's docstring; inputs are RGB / 255."""

    def __init__(self, config: MvtConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.neck = Neck(config.stage4.channels)
        self.feature_fusor = Fusor((config.template_size // 16) ** 2, config.fused)
        self.box_head = CenterHead(config.fused, config.head)
        initialise(self)

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) -> map (B, 96, 16, 16), tokens (4B, 64, 144) and their projection (4B, 64, 432)."""
        region = self.backbone.local(z)
        return (region, *self.backbone.layer_3[1].prepare(region))

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        """(B, 3, 256, 256) -> "score" (B, 1, 16, 16), "size" and "offset" (B, 2, 16, 16)."""
        reduce, mixed = self.backbone.layer_4
        x, z = self.backbone.layer_3[1].mix(self.backbone.local(x), *cached)  # 96 x 32 x 32, 96 x 16 x 16
        x, z = reduce(x), reduce(z)
        x, z = mixed.mix(x, z, *mixed.prepare(z))  # 128 x 16 x 16, 128 x 8 x 8
        z, x = self.neck(z, x)
        maps: dict[str, Tensor] = self.box_head(self.feature_fusor(z, x))
        return maps

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self.search(self.template(z), x)


def initialise(net: Mvt) -> None:
    """Section 6: Xavier for the head and the transformer; He for the backbone's convolutions, as in MobileNetV2."""
    for module in net.backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for weight in net.box_head.parameters():
        if weight.dim() > 1:
            nn.init.xavier_uniform_(weight)


FAMILY = Family(
    variants={
        "mvt": MvtConfig(
            stage3=StageConfig(channels=96, dim=144, ffn=288, layers=2),
            stage4=StageConfig(channels=128, dim=192, ffn=384, layers=4),
        )
    },
    build=Mvt,
    backbone_features=Tap("neck", inputs=True),
    head_features=Tap("box_head", inputs=True),
    paper={"steps": 46_800, "schedule": "cosine"},
    pretrained=lambda config: timm_names.mobilevit((config.stage3.layers, config.stage4.layers), version=1),
    resize=resize_fusor,
)
