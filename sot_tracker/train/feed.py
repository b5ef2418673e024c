"""Pictures into networks: a fresh network of the recipe's sizes, batches on the device, a teacher."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sot_tracker import nets
from sot_tracker.catalog import NetworkSpec, network_spec
from sot_tracker.errors import UserError
from sot_tracker.train import distill, features, weights
from sot_tracker.train.batches import Batch
from sot_tracker.train.recipe import Recipe


def build_net(model: str, recipe: Recipe) -> nn.Module:
    """A fresh network of the recipe's sizes; seeded, so that every run of a recipe starts alike."""
    known = {item.name for item in dataclasses.fields(nets.family_of(model).variants[model])}
    asked = {"dropout": recipe.dropout, "drop_path": recipe.drop_path}
    changes = {name: value for name, value in asked.items() if value is not None and name in known}
    torch.manual_seed(recipe.seed)
    return nets.build(model, template_size=recipe.template_size, search_size=recipe.search_size, **changes)


class Feed:
    """Batches on the device: moved there, augmented there if it is an accelerator, normalised, run under autocast.

    precision: "fp32" or "bf16". layout: memory format of the patches.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        precision: str,
        device: torch.device,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self.precision, self.device, self.layout = precision, device, layout
        self.mean, self.std = (torch.tensor(v, device=device)[:, None, None] for v in spec.normalization)

    def moved(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Template and search patches, (B, 3, S, S) in 0..1."""
        return self._floats(batch["template"]), self._floats(batch["search"])

    def _floats(self, patches: Tensor) -> Tensor:
        floats = patches.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
        return floats.contiguous(memory_format=self.layout)

    def run(self, net: nn.Module, z: Tensor, x: Tensor) -> dict[str, Any]:
        z, x = ((patches - self.mean) / self.std for patches in (z, x))
        with self._arithmetic():
            maps: dict[str, Any] = net(z, x)
        return maps

    def features(self, net: nn.Module, patches: Tensor) -> Tensor:
        """The features of a network that normalises patches in 0..1 itself."""
        with self._arithmetic():
            found: Tensor = net(patches)
        return found

    def _arithmetic(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def __call__(self, net: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Maps, boxes and flags of a batch, without augmentation."""
        return self.run(net, *self.moved(batch)), batch["boxes"].to(self.device), batch["present"].to(self.device)


class Teacher:
    """A trained network of the same picture sizes: its maps as soft targets, and what its head reads.

    width: channels of the latter.
    """

    def __init__(self, name: str, path: Path, recipe: Recipe, device: torch.device) -> None:
        self.net, family = build_net(name, recipe), nets.family_of(name)
        loaded = weights.initialise(self.net, path, family)
        if loaded.left or loaded.misshapen:
            missing = (loaded.left or loaded.misshapen)[0]
            raise UserError(f"teacher '{path}' does not fill a {name}: {missing} is missing")
        self._tap = family.head_features
        self.net.to(device).eval().requires_grad_(False)
        self.feed = Feed(network_spec(name), recipe.precision, device)
        self.width = features.width(self.net, (recipe.template_size, recipe.search_size), self._tap)

    @torch.no_grad()
    def __call__(self, z: Tensor, x: Tensor) -> tuple[distill.Soft, Tensor]:
        """Patches (B, 3, S, S) in 0..1 -> its view of them, and its features (B, width, g, g)."""
        with features.tapped(self.net, self._tap) as seen:
            maps = self.feed.run(self.net, z, x)
        return distill.read(maps), seen[0]
