"""Attention, and the blocks that SMAT and MVT share: convolutions, the 2x2 unfolding, the correlation neck.

Those two come from one code base (fact sheets of SMAT and MVT, sections 1.1 to 1.4). Every activation is ReLU.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets import resize


@dataclass(frozen=True, slots=True)
class StageConfig:
    """A mixed stage: channels of the map, channels of the tokens, feed-forward width, number of layers."""

    channels: int
    dim: int
    ffn: int
    layers: int


def attention(query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0) -> Tensor:
    """Softmax attention of (B, heads, n, d) over m keys and values (B, heads, m, d), scaled by d^-0.5.

    With gradients on a CPU it is written out: torch's fused kernel is slower there (a training step of FERMT in
    bfloat16 by a third, torch 2.13). So it is in an exported graph: runtimes fuse it, but not what the exporter makes
    of the fused operator (keys reshaped and transposed twice, half of the scale on each side).
    """
    written_out = torch.is_grad_enabled() or torch.compiler.is_compiling()
    if not (written_out and query.device.type == "cpu"):
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    weights = ((query * query.shape[3] ** -0.5) @ key.transpose(2, 3)).softmax(3)
    return F.dropout(weights, dropout, training=dropout > 0) @ value


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU (`cbr` of the fact sheets); norm and activation can be left out."""

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        act: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(cin, cout, kernel, stride, (kernel - 1) // 2, groups=groups, bias=bias)
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
        if norm:
            layers["norm"] = nn.BatchNorm2d(cout)
        if act:
            layers["act"] = nn.ReLU()
        self.block = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depth-wise 3x3, project; the input is added where the shapes allow."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = cin * expansion
        self.block = nn.Sequential(
            OrderedDict(
                exp_1x1=ConvBlock(cin, wide, 1),
                conv_3x3=ConvBlock(wide, wide, 3, stride, groups=wide),
                red_1x1=ConvBlock(wide, cout, 1, act=False),
            )
        )
        self.shortcut = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return x + out if self.shortcut else out


def unfold2x2(x: Tensor) -> Tensor:
    """(B, d, H, W) -> (B, d, 4, N), N = HW/4: p = 2 * row + column inside a 2x2 patch, patches row-major."""
    b, d, h, w = x.shape
    return x.reshape(b, d, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, d, 4, h * w // 4)


def fold2x2(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `unfold2x2`: (B, d, 4, N) -> (B, d, height, width)."""
    b, d = tokens.shape[:2]
    grid = tokens.reshape(b, d, 2, 2, height // 2, width // 2).permute(0, 1, 4, 2, 5, 3)
    return grid.reshape(b, d, height, width)


class ChannelAttention(nn.Module):
    """Squeeze and excite over the k correlation channels (SMAT and MVT, section 1.4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels, 1)
        self.fc2 = nn.Conv2d(channels, channels, 1)

    def forward(self, corr: Tensor) -> Tensor:
        gate = self.fc2(torch.relu(self.fc1(corr.mean((2, 3), keepdim=True))))
        return corr * torch.sigmoid(gate)


class PixelwiseCorrelation(nn.Module):
    """One channel per template cell, unscaled, then channel attention (section 1.4)."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.CA_layer = ChannelAttention(cells)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """z (B, C, h, w), x (B, C, H, W) -> (B, hw, H, W)."""
        b, _, height, width = x.shape
        corr = z.flatten(2).transpose(1, 2) @ x.flatten(2)  # (B, hw, HW)
        out: Tensor = self.CA_layer(corr.reshape(b, -1, height, width))
        return out


class Fusor(nn.Module):
    """Correlation of the two regions, then a 1x1 convolution to the head's width (section 1.4)."""

    def __init__(self, cells: int, cout: int) -> None:
        super().__init__()
        self.pw_corr = PixelwiseCorrelation(cells)
        self.adj_layer = nn.Conv2d(cells, cout, 1)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        out: Tensor = self.adj_layer(self.pw_corr(z, x))
        return out


class Neck(nn.Module):
    """A batch norm of its own for each region (section 1.4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.BN_x = nn.BatchNorm2d(channels)
        self.BN_z = nn.BatchNorm2d(channels)

    def forward(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.BN_z(z), self.BN_x(x)


def resize_fusor(_net: nn.Module, name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    """For `Family.resize`: the correlation's channels are the template's cells."""
    return resize.cells(value, shape) if "feature_fusor" in name else None
