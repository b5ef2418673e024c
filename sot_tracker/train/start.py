"""How a run starts: on which device, in which process group, from which weights; and whether it could start at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from sot_tracker.catalog import network_spec
from sot_tracker.errors import UserError
from sot_tracker.nets import family_of, lite_imagenet
from sot_tracker.train import init_similarity
from sot_tracker.train.auxiliary import AuxiliaryLosses
from sot_tracker.train.feed import Feed, build_net
from sot_tracker.train.loop import World, freeze
from sot_tracker.train.optimizers import optimizers_for
from sot_tracker.train.recipe import Recipe
from sot_tracker.train.weights import initialise


@contextmanager
def world_and_device(name: str) -> Iterator[tuple[World, torch.device]]:
    """This process's place under torchrun and its device. Raises UserError if there is no such device."""
    world = World.from_environment()
    require_device(name, world.local)
    device = torch.device(name, world.local) if name == "cuda" else torch.device("cpu")
    if world.size > 1:
        dist.init_process_group("nccl" if name == "cuda" else "gloo")
    try:
        yield world, device
    finally:
        if world.size > 1:
            dist.destroy_process_group()


def require_device(name: str, local: int = 0) -> None:
    """Raise UserError if there is no such device. local: rank of the process on this machine."""
    if name == "cuda" and torch.cuda.device_count() <= local:
        raise UserError(f"device 'cuda' number {local} is not there: choose --device cpu")


def rehearse(
    model: str,
    recipe: Recipe,
    device: str,
    init: Path | None,
    start: str,
    teacher: tuple[str, Path] | None,
    released: tuple[Path, ...],
    teach: tuple[str, ...],
    features: bool,
) -> None:
    """Build everything that needs no pictures, and drop it: so that mistakes are reported before the cache is made,
    which can take hours.

    init: weights to start from, if any. start: "random", "matching" or "imagenet". Others: see `AuxiliaryLosses`.

    Raises UserError for a missing device, a missing or unfit file, and options that the network does not have.
    """
    require_device(device)
    family, cpu = family_of(model), torch.device("cpu")
    net = build_net(model, recipe)
    if start == "imagenet":
        lite_imagenet.start(net)
    if start == "matching":
        init_similarity.require(model)
    if init is not None:
        initialise(net, init, family)
    freeze(net, model, recipe.freeze_blocks)
    feed = Feed(network_spec(model), "fp32", cpu)
    optimizers_for(net, recipe, family.fast_parameters)
    AuxiliaryLosses(model, recipe, feed, teacher, teach, features, released)
