"""The training loop for all networks, on one CPU, one GPU, or several under torchrun."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from sot_tracker.catalog import network_spec
from sot_tracker.errors import UserError
from sot_tracker.nets import family_of
from sot_tracker.nets.heads import expect_background
from sot_tracker.train import augment_device, bn_recalibration, onednn_workarounds, precision, state, validate
from sot_tracker.train.augment import Photometry
from sot_tracker.train.auxiliary import AuxiliaryLosses
from sot_tracker.train.batches import Batch, Batches, loader
from sot_tracker.train.cache import Cache
from sot_tracker.train.feed import Feed, build_net
from sot_tracker.train.losses import loss_for
from sot_tracker.train.optimizers import optimizers_for
from sot_tracker.train.recipe import Recipe
from sot_tracker.train.report import Report
from sot_tracker.train.sampling import PairSampler, Sampling

VALIDATION = Sampling(negative=0.2, joint_flip=0.0, flip=0.0)
VALIDATION_SEED = 1


@dataclass(frozen=True)
class Job:
    """A training run. out: folder for checkpoint.pt, model.safetensors, curves and pictures.

    train_tracks, val_tracks: indices into cache.tracks. start: initialises a new network (`--init`, `--start`), or
    None.
    teacher, teach, released, features: see `AuxiliaryLosses`, which calls the last one `imagenet`.
    stop_after: seconds after which to save and stop, 0 for never. *_every: intervals in steps.
    """

    model: str
    recipe: Recipe
    out: Path
    cache: Cache
    train_tracks: np.ndarray
    val_tracks: np.ndarray
    start: Callable[[nn.Module], None] | None = None
    teacher: tuple[str, Path] | None = None
    teach: tuple[str, ...] = ("maps",)
    released: tuple[Path, ...] = ()
    features: bool = False
    device: str = "cpu"
    workers: int = 1
    stop_after: float = 0.0
    log_every: int = 20
    save_every: int = 200
    val_every: int = 500
    val_pairs: int = 256  # and as many training pairs for the statistics of batch norms


@dataclass(frozen=True)
class World:
    """The rank of this process among those that torchrun started, their number, and its rank on this machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @classmethod
    def from_environment(cls) -> World:
        return cls(*(int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))))


def freeze(net: nn.Module, model: str, blocks: int) -> None:
    """Do not train the first `blocks` blocks of the backbone. Raises UserError if the network has fewer."""
    if not blocks:
        return
    first = family_of(model).first_blocks
    parts = [] if first is None else first(net)
    if not 0 < blocks <= len(parts):
        offered = f"choose 1 to {len(parts)} for {model}" if parts else f"{model} offers none"
        raise UserError(f"--freeze-blocks {blocks} is not possible: {offered}")
    for part in parts[:blocks]:
        part.requires_grad_(False)


class Trainer:
    """Network, moving average, optimiser and step of a job. `run` trains until the recipe's last step or a stop."""

    def __init__(self, job: Job, world: World, device: torch.device) -> None:
        recipe = dataclasses.replace(job.recipe, precision=precision.resolve(job.recipe.precision, device))
        self.job = job = dataclasses.replace(job, recipe=recipe)
        self.world, self.device = world, device
        self.on_device = device.type != "cpu"
        self.spec, family = network_spec(job.model), family_of(job.model)
        self.net = build_net(job.model, recipe)
        self.checkpoint = job.out / "checkpoint.pt"
        saved = state.load(self.checkpoint) if self.checkpoint.exists() else None
        if saved is None:
            expect_background(self.net)
            if job.start is not None:
                job.start(self.net)
        layout = family.cuda_layout if self.on_device else torch.channels_last  # on CPUs 1.4 times as fast
        self.feed = Feed(self.spec, recipe.precision, device, layout)
        self.auxiliary = AuxiliaryLosses(
            job.model, recipe, self.feed, job.teacher, job.teach, job.features, job.released
        )
        freeze(self.net, job.model, recipe.freeze_blocks)
        self.trained = self.auxiliary.around(self.net)
        self.trained.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        if not self.on_device:
            onednn_workarounds.prepare(self.net)
        self.ema = state.average_of(self.net, recipe.ema)
        self.optimizers = optimizers_for(self.trained, recipe, family.fast_parameters)
        self.step = 0 if saved is None else self._restore(saved)
        self.saved_recipe: dict[str, Any] = {} if saved is None else saved.get("recipe", {})  # of the step before
        self.loss = loss_for(self.spec.maps, recipe.regress, family.positive_above)
        self.replica = DistributedDataParallel(self.trained) if world.size > 1 else self.trained

    def _restore(self, saved: dict[str, Any]) -> int:
        if not saved.keys() >= {"step", "net", "ema", "optimizers"}:
            raise UserError(
                f"'{self.checkpoint}' is of an earlier version, which cannot be resumed: "
                "give another --out, and it as --init"
            )
        if saved.get("model", self.job.model) != self.job.model:  # variants of one network have tensors of equal shapes
            raise UserError(
                f"'{self.checkpoint}' is a training of {saved['model']}, not of {self.job.model}: give another --out"
            )
        try:
            self.trained.load_state_dict(saved["net"])
            self.ema.module.load_state_dict(saved["ema"])
        except RuntimeError:
            raise UserError(
                f"'{self.checkpoint}' is of another network or other losses: give the options that it was made with, "
                "or another --out"
            ) from None
        self.optimizers.load_state_dict(saved["optimizers"])
        self.ema.n_averaged.fill_(saved["step"])
        return int(saved["step"])

    def save(self) -> None:
        """Write the checkpoint for resuming. Only rank 0 writes."""
        if self.world.rank:
            return
        content = {
            "step": self.step,
            "model": self.job.model,
            "recipe": self.job.recipe.to_dict(),
            "net": self.trained.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizers": self.optimizers.state_dict(),
        }
        state.save(self.checkpoint, content)

    def update(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; returns the losses."""
        recipe = self.job.recipe
        torch.manual_seed(
            recipe.seed + 1_000_003 * (self.step + 1) + self.world.rank
        )  # so that dropout is the same after a resume
        for group in self.optimizers.param_groups:
            group["lr"] = recipe.rate * group["factor"] * recipe.rate_at(self.step)
        self.replica.train()
        if recipe.frozen_norms:
            bn_recalibration.freeze(self.trained)
        z, x = self.feed.moved(batch)
        if self.on_device:
            z, x = augment_device.apply(z, x, recipe.sampling.photometry, torch.initial_seed())
        maps = self.feed.run(self.replica, z, x)
        losses = self.loss(maps, batch["boxes"].to(self.device), batch["present"].to(self.device))
        for name, value in self.auxiliary.losses(maps, batch, z, x):
            losses[name] = value
            losses["total"] = losses["total"] + value
        self.optimizers.zero_grad()
        losses["total"].backward()  # type: ignore[no-untyped-call]
        if recipe.clip > 0:
            nn.utils.clip_grad_norm_(self.trained.parameters(), recipe.clip)
        self.optimizers.step()
        self.ema.update_parameters(self.net)
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def run(self, stop: Callable[[], bool] = lambda: False) -> dict[str, float]:
        """Train. Returns the last validation figures. stop: called after every step; True ends the run."""
        job, recipe = self.job, self.job.recipe
        report = Report(job.out, self.step, enabled=self.world.rank == 0)
        how = recipe.sampling
        if self.on_device:  # light and optics are then done on the device
            how = dataclasses.replace(how, photometry=Photometry(grey=0.0, brightness=0.0))
        pairs = PairSampler(
            job.cache, job.train_tracks, how, self.spec, recipe.template_size, recipe.search_size, recipe.seed
        )
        made = Batches(pairs, recipe.batch, self.world.rank, self.world.size)
        total, hidden = recipe.steps, self.world.rank > 0
        with (
            closing(report),
            closing(loader(made, self.step, total, job.workers, pin=self.device.type == "cuda")) as stream,
            tqdm(total=total, initial=self.step, unit="step", disable=hidden, mininterval=5) as bar,
        ):
            return self._steps(stream, report, bar, stop)

    def _steps(self, stream: Iterator[Batch], report: Report, bar: Any, stop: Callable[[], bool]) -> dict[str, float]:
        """The steps of `run`. Raises UserError for a loss that is not finite."""
        job, recipe = self.job, self.job.recipe
        began, figures = time.monotonic(), {}
        while self.step < recipe.steps:
            begin = time.perf_counter()
            batch = next(stream)
            received = time.perf_counter()
            losses = self.update(batch)
            if not math.isfinite(losses["total"]):
                raise UserError(
                    f"the loss of step {self.step} is not a finite number: continue from '{self.checkpoint}', or start "
                    "again in another --out, with --precision fp32 or a lower --rate"
                )
            report.step(losses, recipe.batch * self.world.size, received - begin, time.perf_counter() - begin)
            bar.update()
            ended = stop() or 0 < job.stop_after < time.monotonic() - began
            last = self.step == recipe.steps or self._agreed(ended)
            if last or self.step % job.log_every == 0:
                report.flush(self.step, self.optimizers.param_groups[0]["lr"])
            if last or self.step % job.save_every == 0:
                self.save()  # before the validation, since the sender of a signal may not wait for that
            if last or self.step % job.val_every == 0:
                figures = self.publish(report)
                bar.set_postfix({k: f"{v:.3f}" for k, v in figures.items()})
            if last:
                break
        return figures

    def _agreed(self, ended: bool) -> bool:
        """Whether any process has to stop; all must end in the same step."""
        if self.world.size == 1:
            return ended
        flag = torch.tensor(int(ended), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def publish(self, report: Report) -> dict[str, float]:
        """Write model.safetensors: the averaged weights, with new batch-norm statistics. Only rank 0 writes.

        Returns the validation figures on held-back pairs, and draws some of these pairs.
        """
        job, recipe = self.job, self.job.recipe
        if self.world.rank:
            return {}
        net = self.ema.module
        if not recipe.frozen_norms:
            seen = self._pairs(job.train_tracks, recipe.sampling, bn_recalibration.SEED)
            net = bn_recalibration.calibrated(net, seen, self.feed)
        sources = (track["source"] for track in job.cache.tracks)
        origin = state.origin(recipe, sources, self.step)
        state.export_weights(job.out / "model.safetensors", net, job.model, origin)
        if not len(job.val_tracks):
            return {}
        batches = list(self._pairs(job.val_tracks, VALIDATION, VALIDATION_SEED))
        figures = validate.validate(net, batches, self.feed)
        report.validation(self.step, figures)
        validate.picture(net, batches[0], self.feed, job.out / "pictures" / f"{self.step:07d}.png")
        return figures

    def _pairs(self, tracks: np.ndarray, how: Sampling, seed: int) -> Iterator[Batch]:
        """`val_pairs` pairs of these tracks, in batches that are large enough for batch-norm statistics."""
        recipe, size = self.job.recipe, min(32, self.job.val_pairs)
        drawn = PairSampler(self.job.cache, tracks, how, self.spec, recipe.template_size, recipe.search_size, seed)
        return (Batches(drawn, size)[i] for i in range(max(1, self.job.val_pairs // size)))
