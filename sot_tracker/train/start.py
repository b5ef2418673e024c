"""How a run starts: on which device, in which process group, from which weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from sot_tracker.errors import UserError
from sot_tracker.train.loop import World


@contextmanager
def world_and_device(name: str) -> Iterator[tuple[World, torch.device]]:
    """This process's place under torchrun and its device. Raises UserError if there is no such device."""
    world = World.from_environment()
    if name == "cuda" and torch.cuda.device_count() <= world.local:
        raise UserError(f"device 'cuda' number {world.local} is not there: choose --device cpu")
    device = torch.device(name, world.local) if name == "cuda" else torch.device("cpu")
    if world.size > 1:
        dist.init_process_group("nccl" if name == "cuda" else "gloo")
    try:
        yield world, device
    finally:
        if world.size > 1:
            dist.destroy_process_group()
