"""FERMT's Dual Attention Unit and patch embedding for exported graphs: the same numbers, in a form that vectorises.

A convolution over three channels leaves most of a processor's vectors empty. Here the picture is cut into strips of
`WIDTH` columns, and the columns of a strip become channels: (B, 3, H, W) -> (B, 3 * WIDTH, H, W / WIDTH), channel
WIDTH * c + column. Each kernel is spread over these channels by products with constants, which runtimes compute once,
when they load the graph.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

WIDTH = 16


def embed(unit: Any, projection: Any, image: Tensor) -> Tensor:
    """`projection(unit(image))`, (B, 3, S, S) -> (B, C, S / 16, S / 16).

    unit: a `DualAttentionUnit`. projection: a convolution of WIDTH x WIDTH pixels and that stride.
    """
    strips = _unit(unit, cut(image))
    kernel = projection.weight.transpose(2, 3).flatten(1, 2)[..., None]  # (C, 3 * 16 columns, 16 rows, 1)
    return F.conv2d(strips, kernel, projection.bias, stride=(WIDTH, 1))


def cut(image: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 3 * WIDTH, H, W / WIDTH)."""
    b, c, h, w = image.shape
    return image.reshape(b, c, h, w // WIDTH, WIDTH).permute(0, 1, 4, 2, 3).reshape(b, c * WIDTH, h, w // WIDTH)


def _unit(unit: Any, image: Tensor) -> Tensor:
    """`DualAttentionUnit.forward`, on strips."""
    gating = unit.spatial_gating_unit
    u = F.gelu(pointwise(unit.proj_1, image))
    spatial = pointwise(gating.conv1, depthwise(gating.conv_spatial, depthwise(gating.conv0, u)))
    means = u.mean((2, 3)).reshape(u.shape[0], -1, WIDTH).mean(2)
    channel = gating.fc(means).repeat_interleave(WIDTH, 1)[:, :, None, None]
    return image + pointwise(unit.proj_2, channel * spatial * u)


def pointwise(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A 1x1 convolution, on strips: every column by itself."""
    columns = torch.eye(WIDTH).to(layer.weight)[:, None]
    kernel = (layer.weight[:, None, :, :, 0] * columns).reshape(WIDTH * layer.out_channels, -1, 1, 1)
    return F.conv2d(x, kernel, _bias(layer))


def depthwise(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A 5x5 convolution, dilated or not, of each of three channels that keeps the size, on strips.

    Vertically the convolution is unchanged. Horizontally, an output column reads input columns of its own strip and of
    the two beside it.
    """
    (rows, taps), (dilation, _) = layer.kernel_size, layer.dilation
    spread = column_table(taps, dilation).to(x)  # (taps, to, from, 3 strips)
    kernel = (layer.weight.reshape(-1, taps) @ spread.flatten(1)).reshape(-1, rows, WIDTH, WIDTH, 3)
    kernel = kernel.permute(0, 2, 3, 1, 4).flatten(0, 1)  # (3 * to, from, rows, 3)
    padding = (dilation * (rows // 2), 1)
    return F.conv2d(x, kernel, _bias(layer), padding=padding, dilation=(dilation, 1), groups=layer.groups)


def column_table(taps: int, dilation: int) -> Tensor:
    """(taps, output columns, input columns, strips: left, own, right): 1 where that tap of that output column reads
    that input column. Needs dilation * (taps // 2) <= WIDTH.
    """
    table = torch.zeros(taps, WIDTH, WIDTH, 3)
    to = torch.arange(WIDTH)
    for tap in range(taps):
        read = to + dilation * (tap - taps // 2) + WIDTH  # counted from the strip to the left
        table[tap, to, read % WIDTH, read // WIDTH] = 1
    return table


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias.repeat_interleave(WIDTH)
