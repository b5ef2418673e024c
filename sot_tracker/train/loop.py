"""The one training loop, for every network, on one CPU, one GPU, or many under torchrun."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from sot_tracker.catalog import network_spec
from sot_tracker.errors import UserError
from sot_tracker.nets.hit import Hit
from sot_tracker.train import (
    augment_device,
    aux_cell_loss,
    bn_recalibration,
    depthwise,
    distill,
    features,
    state,
    validate,
)
from sot_tracker.train.augment import Photometry
from sot_tracker.train.batches import Batch, Batches, loader
from sot_tracker.train.cache import Cache
from sot_tracker.train.feed import Feed, Teacher, build_net
from sot_tracker.train.labels import inside_cells
from sot_tracker.train.losses import loss_for
from sot_tracker.train.optimizers import optimizers_for
from sot_tracker.train.recipe import Recipe
from sot_tracker.train.report import Report
from sot_tracker.train.sampling import PairSampler, Sampling

VALIDATION = Sampling(negative=0.2, joint_flip=0.0, flip=0.0)
VALIDATION_SEED = 1


@dataclass(frozen=True)
class Job:
    """One training run. out: folder of checkpoint.pt, model.safetensors, curves and pictures.

    train_tracks, val_tracks: indices into cache.tracks. start: prepares a fresh network (`--init`), or None.
    teacher: name and weights of a network to learn from besides the labels. teach: what of it, "maps" and "features".
    features: learn ImageNet features too.
    stop_after: seconds after which to save and stop, 0 for never. *_every: steps.
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
    features: bool = False
    device: str = "cpu"
    workers: int = 1
    stop_after: float = 0.0
    log_every: int = 20
    save_every: int = 200
    val_every: int = 500
    val_pairs: int = 256  # also as many training pairs for the norms' statistics


@dataclass(frozen=True)
class World:
    """This process among those that torchrun started."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @classmethod
    def from_environment(cls) -> World:
        return cls(*(int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))))


def expect_background(net: nn.Module) -> None:
    """Start centre heads at a score of 0.1, as CornerNet does: from 0.5 the first hundreds of steps go into
    unlearning it.
    """
    for name, parameter in net.named_parameters():
        if re.search(r"conv\d_ctr\.bias$", name):
            nn.init.constant_(parameter, -2.19)


class Trainer:
    """Network, average, optimiser and step of a job; `run` trains until the recipe's last step or until told to
    stop.
    """

    def __init__(self, job: Job, world: World, device: torch.device) -> None:
        self.job, self.world, self.device = job, world, device
        self.on_device = device.type != "cpu"
        self.spec = network_spec(job.model)
        self.net = build_net(job.model, job.recipe)
        self.checkpoint = job.out / "checkpoint.pt"
        saved = state.load(self.checkpoint) if self.checkpoint.exists() else None
        if saved is None:
            expect_background(self.net)
            if job.start is not None:
                job.start(self.net)
        self.pupil: nn.Module = self.net
        self.teacher = Teacher(*job.teacher, job.recipe, device) if job.teacher else None
        lessons = self._lessons()
        if lessons:
            self.pupil = features.Pupil(self.net, (job.recipe.template_size, job.recipe.search_size), lessons)
        if job.recipe.guide > 0 and isinstance(self.net, Hit):
            self.pupil = aux_cell_loss.Guided(self.pupil, self.net)
        self.pupil.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.4 x faster on CPUs
        depthwise.prepare(self.net)
        self.ema = state.Ema(self.net, job.recipe.ema)
        self.optimizers = optimizers_for(self.pupil, job.recipe)
        self.step = 0 if saved is None else self._restore(saved)
        self.feed = Feed(self.spec, job.recipe.precision, device)
        self.imagenet = features.EfficientNetLite().to(device) if job.features else None
        self.loss = loss_for(job.model, self.spec.decoding, job.recipe.regress)
        self.replica = DistributedDataParallel(self.pupil) if world.size > 1 else self.pupil

    def _lessons(self) -> dict[str, tuple[features.Taps, int]]:
        """Which features of the network are taught, and how many channels the lesson has."""
        lessons = {}
        if self.job.features:
            lessons["features"] = (features.SEEN, features.EfficientNetLite.WIDTH)
        if self.teacher is not None and "features" in self.job.teach:
            lessons["teacher"] = (features.FUSED, self.teacher.width)
        return lessons

    def _taught(self, maps: dict[str, Any], batch: Batch, z: Tensor, x: Tensor) -> dict[str, Tensor]:
        """The losses of what is taught besides the boxes, by name."""
        told: dict[str, Tensor] = {}
        if "inside" in maps:
            labels = (batch[name].to(self.device) for name in ("boxes", "present"))
            told["guide"] = self.job.recipe.guide * aux_cell_loss.loss(maps["inside"], *labels)
        if self.imagenet is not None:
            seen = [self.feed.lesson(self.imagenet, patches) for patches in (z, x)]
            told["features"] = features.loss(maps["features"], seen)
        if self.teacher is not None:
            soft, fused = self.teacher(z, x)
            if "maps" in self.job.teach:
                told["distill"] = distill.loss(maps, soft)
            if "features" in self.job.teach:
                inside = inside_cells(batch["boxes"], batch["present"], fused.shape[-1]).to(self.device)
                told["teacher"] = features.loss(maps["teacher"], [fused], inside)
        return told

    def _restore(self, saved: dict[str, Any]) -> int:
        if "optimizers" not in saved:
            raise UserError(
                f"'{self.checkpoint}' is of an earlier version, which cannot be resumed: "
                "give another --out, and it as --init"
            )
        self.pupil.load_state_dict(saved["net"])
        self.ema.net.load_state_dict(saved["ema"])
        self.optimizers.load_state_dict(saved["optimizers"])
        return int(saved["step"])

    def save(self) -> None:
        """All that a resume needs; rank 0 alone writes."""
        if self.world.rank:
            return
        content = {
            "step": self.step,
            "model": self.job.model,
            "recipe": self.job.recipe.to_dict(),
            "net": self.pupil.state_dict(),
            "ema": self.ema.net.state_dict(),
            "optimizers": self.optimizers.state_dict(),
        }
        state.save(self.checkpoint, content)

    def update(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; returns the losses."""
        recipe = self.job.recipe
        torch.manual_seed(recipe.seed + 1_000_003 * (self.step + 1) + self.world.rank)  # dropout repeats after a resume
        for group in self.optimizers.param_groups:
            group["lr"] = recipe.rate * group["factor"] * recipe.rate_at(self.step)
        self.replica.train()
        if recipe.frozen_norms:
            bn_recalibration.freeze(self.pupil)
        z, x = self.feed.moved(batch)
        if self.on_device:
            z, x = augment_device.apply(z, x, recipe.sampling.photometry, torch.initial_seed())
        maps = self.feed.run(self.replica, z, x)
        losses = self.loss(maps, batch["boxes"].to(self.device), batch["present"].to(self.device))
        for name, value in self._taught(maps, batch, z, x).items():
            losses[name] = value
            losses["total"] = losses["total"] + value
        self.optimizers.zero_grad()
        losses["total"].backward()  # type: ignore[no-untyped-call]
        if recipe.clip > 0:
            nn.utils.clip_grad_norm_(self.pupil.parameters(), recipe.clip)
        self.optimizers.step()
        self.ema.update(self.net, self.step)
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def run(self, stop: Callable[[], bool] = lambda: False) -> dict[str, float]:
        """Train; returns the last validation figures. `stop` is asked after every step."""
        job, recipe = self.job, self.job.recipe
        report = Report(job.out, self.step, enabled=self.world.rank == 0)
        how = recipe.sampling
        if self.on_device:  # the processor then only crops and pastes
            how = dataclasses.replace(how, photometry=Photometry(grey=0.0, brightness=0.0))
        pairs = PairSampler(job.cache, job.train_tracks, how, recipe.template_size, recipe.search_size, recipe.seed)
        made = Batches(pairs, recipe.batch, self.world.rank, self.world.size)
        stream = loader(made, self.step, recipe.steps, job.workers, pin=self.device.type == "cuda")
        began, figures = time.monotonic(), {}
        bar = tqdm(total=recipe.steps, initial=self.step, unit="step", disable=self.world.rank > 0, mininterval=5)
        while self.step < recipe.steps:
            asked = time.perf_counter()
            batch = next(stream)
            got = time.perf_counter()
            losses = self.update(batch)
            report.step(losses, recipe.batch * self.world.size, got - asked, time.perf_counter() - asked)
            bar.update()
            ended = stop() or 0 < job.stop_after < time.monotonic() - began
            last = self.step == recipe.steps or self._agreed(ended)
            if last or self.step % job.log_every == 0:
                report.flush(self.step, self.optimizers.param_groups[0]["lr"])
            if last or self.step % job.save_every == 0:
                self.save()  # first: who sent a signal may not wait for the validation
            if last or self.step % job.val_every == 0:
                figures = self.publish(report)
                bar.set_postfix({k: f"{v:.3f}" for k, v in figures.items()})
            if last:
                break
        bar.close()
        report.close()
        return figures

    def _agreed(self, ended: bool) -> bool:
        """Whether any process was told to stop; all must end in the same step."""
        if self.world.size == 1:
            return ended
        flag = torch.tensor(int(ended), device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    def publish(self, report: Report) -> dict[str, float]:
        """Write model.safetensors, the averaged weights with population statistics; rank 0 alone.

        Returns its figures on the held-back pairs, of which a picture is drawn.
        """
        job, recipe = self.job, self.job.recipe
        if self.world.rank:
            return {}
        net = self.ema.net
        if not recipe.frozen_norms:
            seen = self._pairs(job.train_tracks, recipe.sampling, bn_recalibration.SEED)
            net = bn_recalibration.calibrated(net, seen, self.feed)
        state.export_weights(job.out / "model.safetensors", net)
        if not len(job.val_tracks):
            return {}
        batches = list(self._pairs(job.val_tracks, VALIDATION, VALIDATION_SEED))
        figures = validate.validate(net, batches, self.feed)
        report.validation(self.step, figures)
        validate.picture(net, batches[0], self.feed, job.out / "pictures" / f"{self.step:07d}.png")
        return figures

    def _pairs(self, tracks: np.ndarray, how: Sampling, seed: int) -> Iterator[Batch]:
        """`val_pairs` pairs of these tracks, in batches large enough for statistics."""
        recipe, size = self.job.recipe, min(32, self.job.val_pairs)
        drawn = PairSampler(self.job.cache, tracks, how, recipe.template_size, recipe.search_size, seed)
        return (Batches(drawn, size)[i] for i in range(max(1, self.job.val_pairs // size)))
