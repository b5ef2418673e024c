"""HCAT: Hierarchical Cross-Attention Transformer (Chen et al., ECCV 2022 workshops).

ResNet-18 without its last stage; the template's 64 tokens are condensed into S learned ones (paper, section 3.2),
which N hierarchical layers and a decoder cross with the search tokens (section 3.3); two small perceptrons read
every search token. Section numbers in the comments are those of the fact sheet. In the published names digit 1 is
the template branch and digit 2 the search branch.

Confidence: softmax of `logits`, foreground entry, before the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets import timm_names
from sot_tracker.nets.blocks import attention
from sot_tracker.nets.family import Family, Tap


class Widths(Protocol):
    """What the attention layers read of a configuration, HCAT's or that of a network that shares them."""

    @property
    def dim(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def ffn(self) -> int: ...
    @property
    def dropout(self) -> float: ...


@dataclass(frozen=True, slots=True)
class HcatConfig:
    layers: int = 2  # N
    sparse_tokens: int = 16  # S
    template_size: int = 128
    search_size: int = 256
    dim: int = 256
    heads: int = 8
    ffn: int = 2048
    dropout: float = 0.1


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the shape changes (section 2)."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        projected = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))
        self.downsample = projected if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + self.downsample(x))


class ResNet18(nn.Module):
    """Through layer3, stride 16: (B, 3, 256, 256) -> (B, 256, 16, 16) (section 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        out: Tensor = self.layer3(self.layer2(self.layer1(x)))
        return out


def sine_table(side: int, dim: int) -> Tensor:
    """Position of every cell of a side x side grid, (1, side * side, dim); vertical half first (section 3)."""
    cells = torch.arange(1, side + 1, dtype=torch.float32)
    angle = cells / (torch.tensor(float(side)) + 1e-6) * (2 * math.pi)
    pair = torch.arange(dim // 2, dtype=torch.float32).div(2, rounding_mode="floor")
    phase = angle[:, None] / 10000 ** (4 * pair / dim)
    code = torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), 2).flatten(1)  # (side, dim / 2), interleaved
    rows, columns = code[:, None].expand(-1, side, -1), code[None].expand(side, -1, -1)
    return torch.cat((rows, columns), 2).reshape(1, side * side, dim)


class Attention(nn.Module):
    """Multi-head attention with torch's parameter names, its three projections callable one by one."""

    def __init__(self, config: Widths) -> None:
        super().__init__()
        dim = config.dim
        self.heads, self.dropout = config.heads, config.dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.zeros_(self.out_proj.bias)

    def project(self, part: int, tokens: Tensor) -> Tensor:
        """Part 0 query, 1 key, 2 value: (B, n, C) -> (B, heads, n, C / heads)."""
        weight, bias = self.in_proj_weight.chunk(3)[part], self.in_proj_bias.chunk(3)[part]
        b, n, _ = tokens.shape
        return F.linear(tokens, weight, bias).reshape(b, n, self.heads, -1).transpose(1, 2)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Projected tensors -> (B, n, C)."""
        mixed = attention(query, key, value, self.dropout if self.training else 0.0)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return self.attend(self.project(0, query), self.project(1, key), self.project(2, value))


class Sparsification(nn.Module):
    """S learned queries gather the template's tokens (paper, section 3.2; fact sheet, section 4)."""

    def __init__(self, config: HcatConfig) -> None:
        super().__init__()
        self.multihead_attn = Attention(config)
        self.norm = nn.LayerNorm(config.dim)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, queries: Tensor, template: Tensor, position: Tensor) -> Tensor:
        gathered = self.multihead_attn(queries, template + position, template)
        # The published network adds the attention to itself, not to the queries (section 9).
        out: Tensor = self.norm(gathered + self.drop(gathered))
        return out


class HcaLayer(nn.Module):
    """Hierarchical cross-attention: the search branch first, the sparse branch sees its result (section 4)."""

    def __init__(self, config: HcatConfig) -> None:
        super().__init__()
        dim, wide = config.dim, config.ffn
        self.multihead_attn1, self.multihead_attn2 = Attention(config), Attention(config)
        self.linear11, self.linear12 = nn.Linear(dim, wide), nn.Linear(wide, dim)
        self.linear21, self.linear22 = nn.Linear(dim, wide), nn.Linear(wide, dim)
        self.norm12, self.norm13 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm22, self.norm23 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.drop = nn.Dropout(config.dropout)

    def project(self, sparse: Tensor, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What this layer reads of the sparse tokens (B, S, C): key and value for the search, query of their own."""
        placed, outer = sparse + queries, self.multihead_attn2
        return outer.project(1, placed), outer.project(2, sparse), self.multihead_attn1.project(0, placed)

    def forward(
        self, sparse: Tensor, projected: tuple[Tensor, ...], search: Tensor, position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sparse (B, S, C), its projections, search (B, n, C) and its positions -> (sparse, search)."""
        key, value, query = projected
        inner, outer, drop = self.multihead_attn1, self.multihead_attn2, self.drop
        seen = outer.attend(outer.project(0, search + position), key, value)
        search = self.norm22(search + drop(seen))
        search = self.norm23(search + drop(self.linear22(drop(torch.relu(self.linear21(search))))))
        seen = inner.attend(query, inner.project(1, search + position), inner.project(2, search))
        sparse = self.norm12(sparse + drop(seen))
        sparse = self.norm13(sparse + drop(self.linear12(drop(torch.relu(self.linear11(sparse))))))
        return sparse, search


class CfaLayer(nn.Module):
    """The decoder's one cross-attention, search over sparse tokens (section 4)."""

    def __init__(self, config: Widths) -> None:
        super().__init__()
        self.multihead_attn = Attention(config)
        self.linear1, self.linear2 = nn.Linear(config.dim, config.ffn), nn.Linear(config.ffn, config.dim)
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, search: Tensor, position: Tensor, sparse: Tensor, queries: Tensor) -> Tensor:
        drop = self.drop
        search = self.norm1(search + drop(self.multihead_attn(search + position, sparse + queries, sparse)))
        out: Tensor = self.norm2(search + drop(self.linear2(drop(torch.relu(self.linear1(search))))))
        return out


class Encoder(nn.Module):
    def __init__(self, config: HcatConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(HcaLayer(config) for _ in range(config.layers))
        self.query_layer = Sparsification(config)


class Decoder(nn.Module):
    def __init__(self, config: Widths) -> None:
        super().__init__()
        self.layers = nn.ModuleList([CfaLayer(config)])
        self.norm = nn.LayerNorm(config.dim)


class Perceptron(nn.Module):
    """Three linear layers, ReLU between (section 5)."""

    def __init__(self, dim: int, cout: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, cout)))

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        out: Tensor = last(torch.relu(second(torch.relu(first(x)))))
        return out


class Hcat(nn.Module):
    """See the module's docstring; inputs are RGB with ImageNet normalisation."""

    def __init__(self, config: HcatConfig) -> None:
        super().__init__()
        self.config = config
        self.featurefusion_network = nn.ModuleDict({"encoder": Encoder(config), "decoder": Decoder(config)})
        self.class_embed = Perceptron(config.dim, 2)
        self.bbox_embed = Perceptron(config.dim, 4)
        self.query_embed = nn.Embedding(config.sparse_tokens, config.dim)  # N(0, 1)
        self.input_proj = nn.Conv2d(256, config.dim, 1)
        # The published file keeps the backbone under "backbone.0.body".
        self.backbone = nn.Sequential(nn.ModuleDict({"body": ResNet18()}))
        for name, side in (("position_z", config.template_size // 16), ("position_x", config.search_size // 16)):
            self.register_buffer(name, sine_table(side, config.dim), persistent=False)
        initialise(self)

    def tokens(self, image: Tensor) -> Tensor:
        """(B, 3, 256, 256) -> (B, 256, C), row-major."""
        out: Tensor = self.input_proj(self.backbone[0]["body"](image)).flatten(2).transpose(1, 2)
        return out

    def template(self, z: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, 128, 128) -> sparse tokens (B, S, C) and the first layer's three projections of them."""
        encoder, tokens = self.featurefusion_network["encoder"], self.tokens(z)  # (B, 64, C)
        queries = self.query_embed.weight.expand(len(tokens), -1, -1)
        sparse = encoder.query_layer(queries, tokens, self.position_z)
        return (sparse, *encoder.layers[0].project(sparse, queries))

    def search(self, cached: tuple[Tensor, ...], x: Tensor) -> dict[str, Tensor]:
        """(B, 3, 256, 256) -> "logits" (B, 256, 2), foreground first; "boxes" (B, 256, 4), cx, cy, w, h in 0..1."""
        fusion, queries = self.featurefusion_network, self.query_embed.weight
        tokens, (sparse, *projected) = self.tokens(x), cached
        first, *others = fusion["encoder"].layers
        sparse, tokens = first(sparse, projected, tokens, self.position_x)
        for layer in others:
            sparse, tokens = layer(sparse, layer.project(sparse, queries), tokens, self.position_x)
        fused = fusion["decoder"].layers[0](tokens, self.position_x, sparse, queries)
        fused = fusion["decoder"].norm(fused)
        boxes = torch.sigmoid(self.bbox_embed(fused).float())
        return {"logits": self.class_embed(fused).float(), "boxes": boxes}

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        return self.search(self.template(z), x)


def initialise(net: Hcat) -> None:
    """Section 8: Xavier for the fusion network's matrices, torch's own elsewhere; He for the backbone (ResNet)."""
    for weight in net.featurefusion_network.parameters():
        if weight.dim() > 1:
            nn.init.xavier_uniform_(weight)
    for module in net.backbone.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


FAMILY = Family(
    variants={"hcat": HcatConfig(), "hcat_n1": HcatConfig(layers=1)},
    build=Hcat,
    backbone_features=Tap("backbone.0.body"),
    head_features=Tap("featurefusion_network.decoder.norm"),
    paper={
        "steps": 234_250,
        "rate": 1e-4,
        "clip": 0.0,
        "sampling": {"max_gap": 100, "causal": False, "joint_flip": 0.0, "flip": 0.0},
    },
    scratch={"rate": 5e-4},
    pretrained=lambda _config: timm_names.RESNET,
)
