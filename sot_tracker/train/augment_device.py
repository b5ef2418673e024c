"""`augment` for whole batches on an accelerator: there the processor's cores are the scarce thing.

Patches are (B, 3, S, S) floats in 0..1. The effects and their ranges are those of `augment`; the draws differ.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from sot_tracker.train.augment import Photometry

LUMA = (0.299, 0.587, 0.114)
TAPS = 13
"""Side of the blur kernels in pixels."""


def apply(template: Tensor, search: Tensor, how: Photometry, seed: int) -> tuple[Tensor, Tensor]:
    """Both patches of every pair with grey drawn jointly, and light and optics for each; the seed fixes all draws."""
    draw = torch.Generator(template.device).manual_seed(seed)
    batch, device = len(template), template.device
    grey = torch.rand(batch, 1, 1, 1, generator=draw, device=device) < how.grey
    out = []
    for patches in (template, search):
        luma = torch.tensor(LUMA, device=device)[:, None, None]
        patches = torch.where(grey, (patches * luma).sum(1, keepdim=True), patches)
        out.append(optics(light(patches, how, draw), how, draw))
    return out[0], out[1]


def _uniform(shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
    """Uniform in -1..1."""
    return 2 * torch.rand(shape, generator=draw, device=draw.device) - 1


def light(patches: Tensor, how: Photometry, draw: torch.Generator) -> Tensor:
    """Brightness, tint and gamma."""
    batch = len(patches)
    gain = 1 + how.brightness * _uniform((batch, 1, 1, 1), draw) + how.color * _uniform((batch, 3, 1, 1), draw)
    gamma = torch.exp(how.gamma * _uniform((batch, 1, 1, 1), draw))
    return (patches.clamp(0, 1) ** gamma * gain).clamp(0, 1)


def optics(patches: Tensor, how: Photometry, draw: torch.Generator) -> Tensor:
    """Defocus, motion blur, low resolution and noise."""
    batch, _, size, _ = patches.shape
    wanted = torch.rand(4, batch, generator=draw, device=draw.device)
    scale = size / 256
    kernels = _kernels(wanted[0] < how.blur, wanted[1] < how.motion, scale, draw)
    stacked = F.pad(patches.reshape(1, 3 * batch, size, size), (TAPS // 2,) * 4, mode="reflect")
    patches = F.conv2d(stacked, kernels.repeat_interleave(3, 0)[:, None], groups=3 * batch).reshape_as(patches)
    factor = 0.55 + 0.25 * float(_uniform((1,), draw))
    small = F.interpolate(patches, scale_factor=factor, mode="bilinear", antialias=True)
    coarse = F.interpolate(small, (size, size), mode="bilinear")
    patches = torch.where((wanted[2] < how.low_resolution)[:, None, None, None], coarse, patches)
    amount = (8 + 6 * _uniform((batch, 1, 1, 1), draw)) / 255 * (wanted[3] < how.noise)[:, None, None, None]
    grain = torch.randn(patches.shape, generator=draw, device=draw.device)
    return (patches + amount * grain).clamp(0, 1)


def _kernels(blur: Tensor, motion: Tensor, scale: float, draw: torch.Generator) -> Tensor:
    """One kernel per pair, (B, TAPS, TAPS): a point, a Gaussian, a line, or a Gaussian line."""
    batch = len(blur)
    at = torch.arange(TAPS, device=draw.device) - TAPS // 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    angle = torch.pi * _uniform((batch,), draw)
    reach = torch.where(motion, (4.75 + 3.25 * _uniform((batch,), draw)) * scale, 0.0)
    sigma = torch.where(blur, (1.25 + 0.75 * _uniform((batch,), draw)) * scale, 0.0)
    along = angle.cos()[:, None, None] * x + angle.sin()[:, None, None] * y
    across = angle.cos()[:, None, None] * y - angle.sin()[:, None, None] * x
    past = (along.abs() - reach[:, None, None]).clamp(min=0)
    width = sigma.clamp(min=0.3)[:, None, None]
    kernel = torch.exp(-(past**2 + across**2) / (2 * width**2))
    return kernel / kernel.sum((1, 2), keepdim=True)
