"""SMAT: separable self and mixed attention transformers for tracking (Gopal and Amer, WACV 2024).

MobileViTv2-1.0 cut after its fourth stage; its two transformer stages mix the tokens of search and template region
by separable attention (paper, section 3.1), a pixel-wise correlation joins them, and a head with separable
self-attention reads the result (section 3.2). Section numbers in the comments are those of the fact sheet. Shapes
are for a template of 128 and a search region of 256 pixels.

Confidence: `score` before any window; 1e-4 .. 1 - 1e-4, trained to be 1 on the target's centre and 0 elsewhere.
"""

from __future__ import annotations

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
    fold2x2,
    resize_fusor,
    unfold2x2,
)
from sot_tracker.nets.family import Family, Tap
from sot_tracker.nets.heads import CenterHead
from sot_tracker.nets.mvt import Encoder


@dataclass(frozen=True, slots=True)
class SmatConfig:
    stage3: StageConfig
    stage4: StageConfig
    template_size: int = 128
    search_size: int = 256
    expansion: int = 2
    stem: tuple[int, int, int] = (32, 64, 128)  # conv_1, layer_1, layer_2
    fused: int = 128
    head_ffn: int = 256
    cls_layers: int = 2
    reg_layers: int = 4
    head: tuple[int, ...] = (128, 64, 32)
    fusion: str = "mixed"  # one of BLOCKS
    heads: int = 4  # of "standard" fusion alone, as the dropout
    dropout: float = 0.1


class PooledNorm(nn.GroupNorm):
    """One mean and one variance over all channels and all tokens of a sample, in float32 also under autocast.

    The sum runs over up to 163,840 values of both regions together (1.3), too many for half precision.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(1, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens.float())


def pointwise(cin: int, cout: int, act: bool = False) -> ConvBlock:
    """A linear map of every token, with bias and no norm."""
    return ConvBlock(cin, cout, 1, norm=False, act=act, bias=True)


class SeparableAttention(nn.Module):
    """Every token gives one score; the scores pool all keys into one context vector, which gates the values (1.3).

    Cost is linear in the number of tokens (paper, equation 2). The softmax runs within each patch position.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv_proj = pointwise(dim, 1 + 2 * dim)
        self.out_proj = pointwise(dim, dim)

    def attend(self, own: Tensor, read: Tensor) -> Tensor:
        """What `qkv_proj` made of the tokens and of those whose context they get, (B, 1 + 2d, P, N) -> (B, d, P, N)."""
        d = own.shape[1] // 2
        query, key, _ = torch.split(read, [1, d, d], 1)
        share = query.float().softmax(-1)  # (B, 1, P, N)
        context = (share * key).sum(-1, keepdim=True)  # (B, d, P, 1)
        value = own[:, -d:]
        out: Tensor = self.out_proj(torch.relu(value) * context.to(value.dtype))
        return out

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, d, P, N) -> (B, d, P, N)."""
        own = self.qkv_proj(tokens)
        return self.attend(own, own)


class SeparableLayer(nn.Module):
    """Pre-norm layer (1.3). The numbers of the sub-modules are those of the published file."""

    def __init__(self, dim: int, ffn: int) -> None:
        super().__init__()
        self.pre_norm_attn = nn.Sequential(PooledNorm(dim), SeparableAttention(dim))
        self.pre_norm_ffn = nn.Sequential(
            PooledNorm(dim), pointwise(dim, ffn, act=True), nn.Identity(), pointwise(ffn, dim)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.pre_norm_attn(tokens)
        out: Tensor = tokens + self.pre_norm_ffn(tokens)
        return out


class CrossLayer(SeparableLayer):
    """The same weights in both directions: each region's values are gated by the other region's context."""

    def cross(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of search and template, (B, d, P, N) each -> both."""
        norm, attention = self.pre_norm_attn
        own_x, own_z = attention.qkv_proj(norm(x)), attention.qkv_proj(norm(z))
        x, z = x + attention.attend(own_x, own_z), z + attention.attend(own_z, own_x)
        return x + self.pre_norm_ffn(x), z + self.pre_norm_ffn(z)


def separable_stack(dim: int, ffn: int, layers: int) -> nn.Sequential:
    """The layers and their last norm, (B, d, P, N) -> (B, d, P, N)."""
    return nn.Sequential(*(SeparableLayer(dim, ffn) for _ in range(layers)), PooledNorm(dim))


class MixedBlock(nn.Module):
    """MobileViTv2 block whose attention and norms run over the tokens of both regions (1.3); no shortcut.

    Variant D of the paper's figure 4, which is SMAT. The other variants differ in `fuse`.
    """

    def __init__(self, config: SmatConfig, stage: StageConfig) -> None:
        super().__init__()
        c, d = stage.channels, stage.dim
        self.local_rep = nn.Sequential(ConvBlock(c, c, 3, groups=c), ConvBlock(c, d, 1, norm=False, act=False))
        self.global_rep = self.layers(config, stage)
        self.conv_proj = ConvBlock(d, c, 1, act=False)

    def layers(self, _config: SmatConfig, stage: StageConfig) -> nn.Sequential:
        return separable_stack(stage.dim, stage.ffn, stage.layers)

    def prepare(self, region: Tensor) -> Tensor:
        """One region's own part, (B, C, H, W) -> tokens (B, d, 4, HW / 4)."""
        return unfold2x2(self.local_rep(region))

    def fuse(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of search and template, (B, d, 4, 256) and (B, d, 4, 64) -> both."""
        tokens: Tensor = self.global_rep(torch.cat((x, z), 3))
        x, z = torch.split(tokens, [x.shape[3], z.shape[3]], 3)
        return x, z

    def restore(self, tokens: Tensor) -> Tensor:
        """Tokens (B, d, 4, N) of a square region -> its map (B, C, H, W)."""
        side = 2 * round(tokens.shape[3] ** 0.5)
        out: Tensor = self.conv_proj(fold2x2(tokens, side, side))
        return out

    def mix(self, x: Tensor, z_tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Search region (B, C, H, W) and the template's tokens -> both regions, mixed."""
        x_tokens, z_tokens = self.fuse(self.prepare(x), z_tokens)
        return self.restore(x_tokens), self.restore(z_tokens)


class SeparateBlock(MixedBlock):
    """Variant A: self-attention alone, with the same weights for both regions, which do not see each other."""

    def alone(self, region: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self.restore(self.global_rep(self.prepare(region)))


class CrossBlock(MixedBlock):
    """Variant B: cross-attention alone."""

    def layers(self, _config: SmatConfig, stage: StageConfig) -> nn.Sequential:
        return nn.Sequential(*(CrossLayer(stage.dim, stage.ffn) for _ in range(stage.layers)), PooledNorm(stage.dim))

    def fuse(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        *layers, norm = self.global_rep
        for layer in layers:
            x, z = layer.cross(x, z)
        return norm(x), norm(z)


class CascadedBlock(CrossBlock):
    """Variant C: after each layer of self-attention one of cross-attention."""

    def layers(self, _config: SmatConfig, stage: StageConfig) -> nn.Sequential:
        pairs = ((SeparableLayer(stage.dim, stage.ffn), CrossLayer(stage.dim, stage.ffn)) for _ in range(stage.layers))
        return nn.Sequential(*(layer for pair in pairs for layer in pair), PooledNorm(stage.dim))

    def fuse(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        *layers, norm = self.global_rep
        for layer in layers:
            x, z = layer.cross(x, z) if isinstance(layer, CrossLayer) else (layer(x), layer(z))
        return norm(x), norm(z)


class StandardBlock(MixedBlock):
    """Mixed attention by MobileViT's transformer layers (table 4): every token's softmax over all tokens of its
    position inside the 2x2 patches.
    """

    def layers(self, config: SmatConfig, stage: StageConfig) -> nn.Sequential:
        encoders = (Encoder(stage, config.heads, config.dropout) for _ in range(stage.layers))
        return nn.Sequential(*encoders, nn.LayerNorm(stage.dim))

    def fuse(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        tokens = torch.cat((x, z), 3)
        b, d, positions, count = tokens.shape
        tokens = tokens.permute(0, 2, 3, 1).flatten(0, 1)  # (4B, N, d)
        *encoders, norm = self.global_rep
        for encoder in encoders:
            tokens = encoder(tokens, encoder.project(tokens))
        tokens = norm(tokens).reshape(b, positions, count, d).permute(0, 3, 1, 2)
        x, z = torch.split(tokens, [x.shape[3], z.shape[3]], 3)
        return x, z


BLOCKS = {
    "mixed": MixedBlock,
    "separate": SeparateBlock,
    "cross": CrossBlock,
    "cascaded": CascadedBlock,
    "standard": StandardBlock,
}
"""How the regions meet in the backbone: variants D, A, B and C of figure 4, and table 4's standard attention."""


class Backbone(nn.Module):
    """MobileViTv2-1.0 through layer_4 (1.2)."""

    def __init__(self, config: SmatConfig) -> None:
        super().__init__()
        (c0, c1, c2), e, s3, s4 = config.stem, config.expansion, config.stage3, config.stage4
        block = BLOCKS[config.fusion]
        self.conv_1 = ConvBlock(3, c0, 3, stride=2)
        self.layer_1 = nn.Sequential(InvertedResidual(c0, c1, 1, e))
        self.layer_2 = nn.Sequential(InvertedResidual(c1, c2, 2, e), InvertedResidual(c2, c2, 1, e))
        self.layer_3 = nn.Sequential(InvertedResidual(c2, s3.channels, 2, e), block(config, s3))
        self.layer_4 = nn.Sequential(InvertedResidual(s3.channels, s4.channels, 2, e), block(config, s4))

    def local(self, image: Tensor) -> Tensor:
        """The part of the network before the regions are mixed: (B, 3, 256, 256) -> (B, 256, 32, 32)."""
        out: Tensor = self.layer_3[0](self.layer_2(self.layer_1(self.conv_1(image))))
        return out


class SeparableHead(CenterHead):
    """Separable self-attention before the three stacks; offset and size share a trunk (1.5; paper, section 3.2)."""

    def __init__(self, config: SmatConfig) -> None:
        dim = config.fused
        super().__init__(dim, config.head)
        self.pre_ssat_cls, self.pre_ssat_reg = ConvBlock(dim, dim, 3), ConvBlock(dim, dim, 3)
        self.global_rep_cls = separable_stack(dim, config.head_ffn, config.cls_layers)
        self.global_rep_reg = separable_stack(dim, config.head_ffn, config.reg_layers)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        cls, reg = self.pre_ssat_cls(features), self.pre_ssat_reg(features)  # (B, 128, 16, 16)
        # Here a "patch" is one cell: (B, 128, 1, 256).
        score = self.global_rep_cls(cls.flatten(2).unsqueeze(2)).reshape(cls.shape)
        box = self.global_rep_reg(reg.flatten(2).unsqueeze(2)).reshape(reg.shape)
        return self.maps(score, box)


class Smat(nn.Module):
    """See the module's docstring; inputs are RGB / 255."""

    def __init__(self, config: SmatConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.neck = Neck(config.stage4.channels)
        self.feature_fusor = Fusor((config.template_size // 16) ** 2, config.fused)
        self.box_head = SeparableHead(config)
        initialise(self)

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) -> the tokens of layer_3.1, (B, 128, 4, 64)."""
        return (self.backbone.layer_3[1].prepare(self.backbone.local(z)),)

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        """(B, 3, 256, 256) -> "score" (B, 1, 16, 16), "size" and "offset" (B, 2, 16, 16)."""
        reduce, mixed = self.backbone.layer_4
        x, z = self.backbone.layer_3[1].mix(self.backbone.local(x), *cached)  # 256 x 32 x 32, 256 x 16 x 16
        x, z = mixed.mix(reduce(x), mixed.prepare(reduce(z)))  # 384 x 16 x 16, 384 x 8 x 8
        z, x = self.neck(z, x)
        maps: dict[str, Tensor] = self.box_head(self.feature_fusor(z, x))
        return maps

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self.search(self.template(z), x)


class SeparateSmat(Smat):
    """SMAT whose regions are only combined in the correlation, so that the template is computed once per target."""

    def region(self, image: Tensor) -> Tensor:
        """(B, 3, 256, 256) -> (B, 384, 16, 16)."""
        first, (reduce, second) = self.backbone.layer_3[1], self.backbone.layer_4
        out: Tensor = second.alone(reduce(first.alone(self.backbone.local(image))))
        return out

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) -> (B, 384, 8, 8), before its norm."""
        return (self.region(z),)

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        z, x = self.neck(*cached, self.region(x))
        maps: dict[str, Tensor] = self.box_head(self.feature_fusor(z, x))
        return maps


def initialise(net: Smat) -> None:
    """Section 6: torch's own for neck and head; the backbone starts from ImageNet weights, here He as its paper."""
    for module in net.backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def build(config: SmatConfig) -> Smat:
    return SeparateSmat(config) if config.fusion == "separate" else Smat(config)


def _variant(fusion: str) -> SmatConfig:
    return SmatConfig(
        stage3=StageConfig(channels=256, dim=128, ffn=256, layers=2),
        stage4=StageConfig(channels=384, dim=192, ffn=384, layers=4),
        fusion=fusion,
    )


FAMILY = Family(
    variants={
        "smat": _variant("mixed"),
        "smat_a": _variant("separate"),
        "smat_b": _variant("cross"),
        "smat_c": _variant("cascaded"),
        "smat_standard": _variant("standard"),
    },
    build=build,
    backbone_features=Tap("neck", inputs=True),
    head_features=Tap("box_head", inputs=True),
    paper={"steps": 140_400},
    pretrained=lambda config: timm_names.mobilevit((config.stage3.layers, config.stage4.layers), version=2),
    resize=resize_fusor,
)
