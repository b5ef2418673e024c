"""Recipes: all settings of a training run in a frozen dataclass, with presets of the papers and of this project."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sot_tracker.errors import UserError
from sot_tracker.nets import family_of
from sot_tracker.train.augment import Photometry
from sot_tracker.train.sampling import Sampling

SCHEDULES = ("constant", "cosine", "step", "tail")
REGRESS = ("peak", "label")
OPTIMIZERS = ("adamw", "muon")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run except the data.

    steps: total number of optimiser steps. batch: pairs per step and process. warmup: steps of linear warm-up.
    decay_at: share of the steps after which schedule "step" divides the rate by 10, and "tail" decays it to 0 by a
        cosine. "tail" suits a run whose length is not known at the start: it can be resumed with other `steps`.
    backbone_rate: factor of the rate for parameters with "backbone" in their name.
    position_rate: further factor for the network's fast parameters, HiT's position biases. They are added to logits and
        must grow to several units before tokens of template and search patch differ. From zero, with AdamW's steps of
        about one rate each, this would take thousands of steps.
    optimizer: "muon" (see `optimizers`) needs far fewer pairs if most weights are matrices.
    cell_loss: weight of the auxiliary loss per cell (`aux_cell_loss`), for networks without a score map.
    clip: largest gradient norm, 0 for no clipping. ema: decay of the weights' moving average.
    frozen_norms: batch norms keep their initial statistics.
    freeze_blocks: number of the backbone's first blocks that are not trained (`Family.first_blocks`).
    regress: see `losses`.
    precision: "fp32", "bf16", or "auto" for bf16 if the hardware supports it (`precision`).
    dropout, drop_path: None keeps the network's own default.
    """

    steps: int
    batch: int = 32
    optimizer: str = "adamw"
    rate: float = 4e-4
    backbone_rate: float = 0.1
    position_rate: float = 1.0
    cell_loss: float = 0.0
    schedule: str = "step"
    decay_at: float = 0.8
    warmup: int = 0
    weight_decay: float = 1e-4
    clip: float = 0.1
    ema: float = 0.9998
    frozen_norms: bool = False
    freeze_blocks: int = 0
    regress: str = "peak"
    precision: str = "fp32"
    template_size: int = 128
    search_size: int = 256
    dropout: float | None = None
    drop_path: float | None = None
    seed: int = 42
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        for name, allowed in (
            ("schedule", SCHEDULES),
            ("regress", REGRESS),
            ("precision", PRECISIONS),
            ("optimizer", OPTIMIZERS),
        ):
            if getattr(self, name) not in allowed:
                raise UserError(f"{name}='{getattr(self, name)}' is not possible: choose one of {', '.join(allowed)}")
        for name in ("steps", "batch", "rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name}={getattr(self, name)} is not possible: give a positive number")
        at_least_0 = ((name, 0, math.inf) for name in ("warmup", "backbone_rate", "freeze_blocks", "seed"))
        for name, low, high in (*at_least_0, ("decay_at", 0, 1), ("ema", 0, 1)):
            if not low <= getattr(self, name) < high:
                wanted = f"{low} or more" if math.isinf(high) else f"{low} up to, but not, {high}"
                raise UserError(f"{name}={getattr(self, name):g} is not possible: give {wanted}")
        for name in ("template_size", "search_size"):
            if getattr(self, name) <= 0 or getattr(self, name) % 16:
                raise UserError(f"{name}={getattr(self, name)} is not possible: give a multiple of 16")

    def rate_at(self, step: int) -> float:
        """Factor of the learning rate in step 0 .. steps - 1."""
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        done = step / self.steps
        if self.schedule == "cosine":
            return warm * 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "tail":
            falling = (done - self.decay_at) / (1 - self.decay_at) if done > self.decay_at else 0.0
            return warm * 0.5 * (1 + math.cos(math.pi * falling))
        return warm * (0.1 if self.schedule == "step" and done >= self.decay_at else 1.0)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        sampling = dict(values["sampling"])
        sampling["photometry"] = Photometry(**sampling["photometry"])
        return cls(**{**values, "sampling": Sampling(**sampling)})


SCRATCH_SAMPLING = Sampling(
    max_gap=100,
    causal=False,
    paste=0.4,
    region=0.15,
    negative=0.1,
    distractors=3,
    occlusion=0.15,
    bend=0.08,
    turn=0.2,
    stretch=0.14,
    flip=0.1,
    photometry=Photometry(
        grey=0.12, brightness=0.25, color=0.12, gamma=0.3, blur=0.12, motion=0.15, noise=0.2, low_resolution=0.1
    ),
)


def paper(model: str) -> Recipe:
    """The published schedule of a network (fact sheets, training sections), as optimiser steps.

    Raises UserError for an unknown name, and if no schedule was published for the network.
    """
    changes = family_of(model).paper
    if changes is None:
        raise UserError(f"no recipe was published for '{model}': choose --preset scratch, or imagenet for lite")
    return _changed(Recipe(steps=1, batch=128), changes)


def scratch(model: str) -> Recipe:
    """For random weights and a small data set: a higher rate everywhere, box losses at the label's cells, strong
    augmentation, and changes by the network's family (docs/training_runs.md has their effects).

    Raises UserError for an unknown name.
    """
    common = Recipe(
        steps=20_000,
        batch=32,
        rate=1e-3,
        backbone_rate=1.0,
        position_rate=100.0,
        cell_loss=1.0,
        schedule="cosine",
        warmup=200,
        weight_decay=0.01,
        clip=1.0,
        ema=0.998,
        regress="label",
        precision="auto",
        dropout=0.0,
        drop_path=0.0,
        sampling=SCRATCH_SAMPLING,
    )
    return _changed(common, family_of(model).scratch)


def _changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    sampling = dataclasses.replace(recipe.sampling, **changes.get("sampling", {}))
    return dataclasses.replace(recipe, **{**changes, "sampling": sampling})


IMAGENET_SAMPLING = dataclasses.replace(
    SCRATCH_SAMPLING, max_gap=120, paste=0.42, region=0.04, negative=0.22, crowd=0.3, distractors=4
)


def imagenet(model: str) -> Recipe:
    """For ImageNet weights (`--start imagenet`, lite): as `scratch`, but with Muon, a tenth of the rate for the
    backbone, more crowds and more search patches without the target.
    """
    return dataclasses.replace(
        scratch(model), rate=8e-4, optimizer="muon", backbone_rate=0.1, clip=2.0, sampling=IMAGENET_SAMPLING
    )


PRESETS = {"paper": paper, "scratch": scratch, "imagenet": imagenet}
