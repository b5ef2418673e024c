"""TransT_H: TransT (Chen et al., CVPR 2021) with the hierarchical cross-attention of HCAT (Chen et al., ECCV 2022
workshops, section 4.3 and table 7).

ResNet-50 without its last stage and with a stride of 8, four fusion layers of self-attention in both branches and
hierarchical cross-attention between them, a decoder, two perceptrons that read every search token. Written from the two
papers; no code of TransT was read, and no published file is known to fit its parameter names. Shapes are for a template
of 128 and a search region of 256 pixels: 256 and 1024 tokens of C = 256 channels.

Confidence: softmax of `logits`, foreground entry, before the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sot_tracker.nets import timm_names
from sot_tracker.nets.family import Family, Tap
from sot_tracker.nets.hcat import Attention, CfaLayer, Decoder, Perceptron, sine_table

STRIDE = 8


@dataclass(frozen=True, slots=True)
class TransTConfig:
    """hierarchical: the template's cross-attention reads what the search's has made in the same layer; otherwise both
    read what entered the layer, as in TransT.
    """

    layers: int = 4
    hierarchical: bool = True
    template_size: int = 128
    search_size: int = 256
    dim: int = 256
    heads: int = 8
    ffn: int = 2048
    dropout: float = 0.1


class Bottleneck(nn.Module):
    """ResNet's 1x1, 3x3, 1x1 convolutions with a shortcut, projected where the shape changes."""

    def __init__(self, cin: int, width: int, stride: int = 1, dilation: int = 1, projected: bool = False) -> None:
        super().__init__()
        cout = 4 * width
        self.conv1 = nn.Conv2d(cin, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        shortcut = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))
        self.downsample = shortcut if projected else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        return torch.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def _stage(cin: int, width: int, blocks: int, stride: int, dilation: int = 1) -> nn.Sequential:
    first = Bottleneck(cin, width, stride, dilation, projected=True)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, dilation=dilation) for _ in range(blocks - 1)))


class ResNet50(nn.Module):
    """Through layer3, which keeps stride 8 and is dilated by 2: (B, 3, 256, 256) -> (B, 1024, 32, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(64, 64, 3, 1)
        self.layer2 = _stage(256, 128, 4, 2)
        self.layer3 = _stage(512, 256, 6, 1, dilation=2)

    def forward(self, image: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        out: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return out


class SelfAttention(nn.Module):
    """TransT's ego-context augment: self-attention with positions, shortcut and norm; no feed-forward part."""

    def __init__(self, config: TransTConfig) -> None:
        super().__init__()
        self.multihead_attn = Attention(config)
        self.norm = nn.LayerNorm(config.dim)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        placed = tokens + position
        out: Tensor = self.norm(tokens + self.drop(self.multihead_attn(placed, placed, tokens)))
        return out


class FusionLayer(nn.Module):
    """Self-attention in both branches, then cross-attention with feed-forward part in both, search first."""

    def __init__(self, config: TransTConfig) -> None:
        super().__init__()
        self.hierarchical = config.hierarchical
        self.self_template, self.self_search = SelfAttention(config), SelfAttention(config)
        self.cross_template, self.cross_search = CfaLayer(config), CfaLayer(config)

    def forward(self, template: Tensor, z_position: Tensor, search: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Template tokens (B, n, C) that have been through `self_template`, and search tokens (B, m, C) -> both."""
        search = self.self_search(search, position)
        found = self.cross_search(search, position, template, z_position)
        read = found if self.hierarchical else search
        return self.cross_template(template, z_position, read, position), found


class TransT(nn.Module):
    """See the module's docstring; inputs are RGB with ImageNet normalisation."""

    def __init__(self, config: TransTConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = nn.Sequential(nn.ModuleDict({"body": ResNet50()}))
        self.input_proj = nn.Conv2d(1024, config.dim, 1)
        self.layers = nn.ModuleList(FusionLayer(config) for _ in range(config.layers))
        self.decoder = Decoder(config)
        self.class_embed = Perceptron(config.dim, 2)
        self.bbox_embed = Perceptron(config.dim, 4)
        for name, size in (("position_z", config.template_size), ("position_x", config.search_size)):
            self.register_buffer(name, sine_table(size // STRIDE, config.dim), persistent=False)
        initialise(self)

    def tokens(self, image: Tensor) -> Tensor:
        """(B, 3, 256, 256) -> (B, 1024, C), row-major."""
        out: Tensor = self.input_proj(self.backbone[0]["body"](image)).flatten(2).transpose(1, 2)
        return out

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) -> the template's tokens (B, 256, C) after the first layer's self-attention."""
        return (self.layers[0].self_template(self.tokens(z), self.position_z),)

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        """(B, 3, 256, 256) -> "logits" (B, 1024, 2), foreground first; "boxes" (B, 1024, 4), cx, cy, w, h in 0..1."""
        (template,), search = cached, self.tokens(x)
        for i, layer in enumerate(self.layers):
            template = layer.self_template(template, self.position_z) if i else template
            template, search = layer(template, self.position_z, search, self.position_x)
        fused = self.decoder.norm(self.decoder.layers[0](search, self.position_x, template, self.position_z))
        boxes = torch.sigmoid(self.bbox_embed(fused).float())
        return {"logits": self.class_embed(fused).float(), "boxes": boxes}

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self.search(self.template(z), x)


def initialise(net: TransT) -> None:
    """As HCAT: Xavier for the fusion's matrices, torch's own for the heads, He for the backbone (ResNet)."""
    for weight in (*net.layers.parameters(), *net.decoder.parameters()):
        if weight.dim() > 1:
            nn.init.xavier_uniform_(weight)
    for module in net.backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


FAMILY = Family(
    variants={"transt_h": TransTConfig()},
    build=TransT,
    backbone_features=Tap("backbone.0.body", stride=STRIDE),
    head_features=Tap("decoder.norm", stride=STRIDE),
    scratch={"rate": 5e-4},
    pretrained=lambda _config: timm_names.RESNET,
)
