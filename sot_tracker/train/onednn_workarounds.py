"""Around two faults of oneDNN: backward passes of depth-wise convolutions that are slow or crash on a CPU.

Its gradient for the input of a 3x3 depth-wise convolution of stride 2 takes 8 to 60 times as long as the same
sums done as a stride-1 convolution of the outer gradient, spread over the finer grid: a quarter of SMAT's step.
Its gradient for the weights of a 5x5 one takes 3 to 4 times as long in bfloat16 as in float32: a third of lite's step.
The gradients of a dilated one (FERMT's) in bfloat16 and channels_last end in a segmentation fault or NaN (torch 2.13).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

SLOW = {(3, 2), (5, 1), (5, 2)}
"""Kernel and stride of the layers that are exchanged."""


class _Depthwise(torch.autograd.Function):
    """One filter per channel, padded by half a kernel, of stride 1 or 2; bias (C,) or None."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.biased = stride, bias is not None
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad_x = _to_input(grad, x, weight, ctx.stride) if ctx.needs_input_grad[0] else None
        grad_bias = grad.sum((0, 2, 3)) if ctx.biased else None
        return grad_x, _to_weight(grad, x, weight, ctx.stride), grad_bias, None


def _to_input(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A strided one as the sums of stride 1 of the outer gradient, spread over the finer grid."""
    spread = grad
    if stride == 2:
        spread = torch.zeros_like(x)
        spread[..., ::2, ::2] = grad
    return F.conv2d(spread, weight.flip(2, 3), None, 1, weight.shape[-1] // 2, 1, x.shape[1])


def _to_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """5x5 in float32, which is faster than bfloat16 there."""
    single = weight.shape[-1] == 5 and weight.dtype is torch.bfloat16
    exact = (t.float() if single else t for t in (grad, x, weight))
    half, only_weight = weight.shape[-1] // 2, (False, True, False)
    _, grad_w, _ = torch.ops.aten.convolution_backward(
        *exact, None, (stride, stride), (half, half), (1, 1), False, (0, 0), x.shape[1], only_weight
    )
    return grad_w.to(weight.dtype)  # type: ignore[no-any-return]


class PlainDepthwise(nn.Conv2d):
    """A `Conv2d` of that shape; `prepare` turns such layers into it."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu" or not self.weight.requires_grad:
            return super().forward(x)
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        out: Tensor = _Depthwise.apply(x, weight, bias, self.stride[0])  # type: ignore[no-untyped-call]
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
        kernel, stride = module.kernel_size[0], module.stride[0]
        if module.dilation != (1, 1):
            module.__class__ = DilatedDepthwise
        elif (kernel, stride) in SLOW and module.padding == (kernel // 2, kernel // 2):
            module.__class__ = PlainDepthwise
