"""Around two faults of oneDNN: backward passes of depth-wise convolutions that are slow or crash on a CPU.

Its gradient for the input of a 3x3 depth-wise convolution of stride 2 takes 8 to 60 times as long as the same
sums done as a stride-1 convolution of the outer gradient, spread over the finer grid: a quarter of SMAT's step.
The gradients of a dilated one (FERMT's) in bfloat16 and channels_last end in a segmentation fault or NaN (torch 2.13).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class _Strided(torch.autograd.Function):
    """3x3, stride 2, padding 1, one filter per channel, no bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, None, 2, 1, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        spread = torch.zeros_like(x)
        spread[..., ::2, ::2] = grad
        grad_x = F.conv2d(spread, weight.flip(2, 3), None, 1, 1, 1, x.shape[1])
        only_weight = (False, True, False)
        _, grad_w, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, (2, 2), (1, 1), (1, 1), False, (0, 0), x.shape[1], only_weight
        )
        return grad_x, grad_w


class StridedDepthwise(nn.Conv2d):
    """A `Conv2d` of that shape; `prepare` turns such layers into it."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        out: Tensor = _Strided.apply(x, weight)  # type: ignore[no-untyped-call]
        return out


class DilatedDepthwise(nn.Conv2d):
    """A `Conv2d` that computes in float32 while it is trained on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


def prepare(net: nn.Module) -> None:
    """Replace the depth-wise layers that need it; parameters and their names stay the same."""
    for module in net.modules():
        if type(module) is not nn.Conv2d or module.groups != module.in_channels:
            continue
        shape = (module.kernel_size, module.stride, module.padding)
        if shape == ((3, 3), (2, 2), (1, 1)) and module.bias is None:
            module.__class__ = StridedDepthwise
        elif module.dilation != (1, 1):
            module.__class__ = DilatedDepthwise
