"""`sot-tracker train`: build the cache, then train. Running it again continues where it stopped."""

from __future__ import annotations

import argparse
import dataclasses
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sot_tracker.commands.termination import StopRequest
from sot_tracker.commands.train_options import SHARES, add_arguments
from sot_tracker.commands.writable import require_writable_folder
from sot_tracker.errors import MissingPackage, UserError

__all__ = ["add_arguments", "run"]

if TYPE_CHECKING:
    from torch import nn

    from sot_tracker.datasets.records import Cutter
    from sot_tracker.train.cache import Cache
    from sot_tracker.train.loop import Job, Trainer
    from sot_tracker.train.recipe import Recipe

ONNX = "onnx:"
"""Prefix of --teacher for the folder of a released teacher."""


def run(args: argparse.Namespace) -> int:
    try:
        import torch
    except ModuleNotFoundError:
        raise MissingPackage("torch", "training", "pip install 'sot_tracker[train]'") from None
    from sot_tracker.catalog import network_spec
    from sot_tracker.train import pack
    from sot_tracker.train.loop import Trainer
    from sot_tracker.train.recipe import PRESETS
    from sot_tracker.train.start import world_and_device

    network_spec(args.model)
    _refuse_contradictions(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = _override(PRESETS[args.preset](args.model), args)
    _rehearse(args, recipe)
    cache = _cache(args)
    if args.pack:
        pack.pack(cache, _cache_folder(args), args.pack)
        size = args.pack.stat().st_size / 1e6
        print(f"written: {args.pack}, {len(cache.index)} pictures of {len(cache.tracks)} tracks, {size:.1f} MB")
        return 0
    _make(args.out)
    job = _job(args, recipe, cache)
    with world_and_device(args.device) as (world, device):
        trainer = Trainer(job, world, device)
        before, stop = trainer.step, StopRequest(args.out / "checkpoint.pt")
        if before and world.rank == 0:
            print(f"continuing after step {before} of {recipe.steps}, from '{trainer.checkpoint}'")
            print("".join(f"{line}\n" for line in _changes(args, trainer)), end="", flush=True)
        figures = trainer.run(stop)
        if world.rank == 0:
            print(_summary(job, before, trainer.step, figures))
    return stop.status if trainer.step < recipe.steps else 0


def _changes(args: argparse.Namespace, trainer: Trainer) -> Iterator[str]:
    """Lines about what the command says of the run and its earlier part did not, or what it does not use any more."""
    if args.init is not None:
        yield f"--init {args.init} is not read: it is for a new run, in another --out"
    old, new = _flat(trainer.saved_recipe), _flat(trainer.job.recipe.to_dict())
    changed = [f"{name} {old[name]} to {new[name]}" for name in new if name in old and old[name] != new[name]]
    if changed := [text for text in changed if not text.startswith("steps ")]:
        yield f"other settings than before: {', '.join(changed)}"


def _flat(settings: Mapping[str, Any]) -> dict[str, str]:
    """The settings without nesting, as text. Of the groups within groups, all names are different."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        flat |= _flat(value) if isinstance(value, Mapping) and name != "weights" else {name: str(value)}
    return flat


def _rehearse(args: argparse.Namespace, recipe: Recipe) -> None:
    """Report mistakes before the cache is made, which can take hours."""
    from sot_tracker.train.start import rehearse

    for path in (args.split, args.exclude, args.val):
        _names(path)
    teacher, released = _teachers(args)
    if args.pack or (_cache_folder(args) / "meta.json").exists():
        return  # the training is on another machine, or reports them soon
    init = None if (args.out / "checkpoint.pt").exists() else args.init
    rehearse(args.model, recipe, args.device, init, args.start, teacher, released, _teach(args), args.features)


def _summary(job: Job, before: int, step: int, figures: dict[str, float]) -> str:
    """The last line of output: the result of the run, which began after the step `before`, and the weights file."""
    if before >= job.recipe.steps:
        return f"nothing to do: step {before} was the last of {job.recipe.steps}; give more --steps, or another --out"
    validated = " ".join(f"{name}={value:.4f}" for name, value in figures.items())
    nothing = "not validated, since no video is held back: name some with --val"
    return f"step {step} of {job.recipe.steps}, {validated or nothing}, weights '{job.out / 'model.safetensors'}'"


def _job(args: argparse.Namespace, recipe: Recipe, cache: Cache) -> Job:
    from sot_tracker.train.loop import Job

    train_tracks, val_tracks = _split(cache.tracks, args)
    teacher, released = _teachers(args)
    return Job(
        model=args.model,
        recipe=recipe,
        out=args.out,
        cache=cache,
        train_tracks=train_tracks,
        val_tracks=val_tracks,
        start=_start(args, cache, train_tracks, recipe.seed),
        teacher=teacher,
        released=released,
        teach=_teach(args),
        features=args.features,
        device=args.device,
        workers=args.workers,
        stop_after=60 * args.stop_after,
        val_every=args.val_every,
        save_every=args.save_every,
        val_pairs=args.val_pairs,
    )


def _refuse_contradictions(args: argparse.Namespace) -> None:
    for name in ("val_every", "val_pairs", "save_every"):
        if getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)} is not possible: give a positive number")
    if not 0 <= args.stop_after < math.inf:
        raise UserError(f"--stop-after {args.stop_after:g} is not possible: give minutes, or 0 for never")
    if args.start != "random" and args.init is not None:
        raise UserError(f"--start {args.start} is for fresh weights: leave --init out")
    if args.teach is not None and all(given.startswith(ONNX) for given in args.teacher):
        raise UserError(
            f"--teach {args.teach} needs a teacher that is a network of this package: give --teacher MODEL=FILE"
        )
    if args.frozen_norms and args.init is None:
        raise UserError("--frozen-norms needs --init FILE: a fresh network's norms have no statistics to keep")


def _start(args: argparse.Namespace, cache: Cache, tracks: np.ndarray, seed: int) -> Callable[[nn.Module], None] | None:
    """A function that initialises a new network; None to keep its random weights."""
    from sot_tracker.nets import family_of, lite_imagenet
    from sot_tracker.train import init_similarity
    from sot_tracker.train.weights import initialise

    if args.start == "matching":
        return partial(init_similarity.start, model=args.model, cache=cache, tracks=tracks, seed=seed)
    if args.start == "imagenet":
        return lite_imagenet.start
    return None if args.init is None else lambda net: print(initialise(net, args.init, family_of(args.model)))


def _override(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The preset with the options that were given."""
    names = (
        "steps",
        "batch",
        "rate",
        "warmup",
        "seed",
        "template_size",
        "search_size",
        "schedule",
        "regress",
        "optimizer",
        "frozen_norms",
        "precision",
        "backbone_rate",
        "freeze_blocks",
        "ema",
        "decay_at",
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    shares = {name: getattr(args, name) for name in SHARES if getattr(args, name) is not None}
    sampling = dataclasses.replace(recipe.sampling, weights=_weights(args.weights_by_source), **shares)
    return dataclasses.replace(recipe, **given, sampling=sampling)


def _weights(text: str) -> dict[str, float]:
    weights = {}
    for part in filter(None, text.split(",")):
        name, _, share = part.partition("=")
        try:
            weights[name.strip()] = float(share)
        except ValueError:
            raise UserError(f"--weights-by-source '{part}' is not NAME=NUMBER, for example coco=0.5") from None
    return weights


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"--out '{out}' is a file: give a folder") from None
    except OSError as error:
        raise UserError(f"--out '{out}' cannot be made: {error.strerror}") from None
    require_writable_folder(out)


def _teach(args: argparse.Namespace) -> tuple[str, ...]:
    return ("maps", "features") if args.teach == "both" else (args.teach or "maps",)


def _cache_folder(args: argparse.Namespace) -> Path:
    return Path(args.cache or args.out / "cache")


def _cache(args: argparse.Namespace) -> Cache:
    """Open the cache; if it is missing, build it first."""
    from sot_tracker.datasets import training
    from sot_tracker.train import cache, pack

    folder = _cache_folder(args)
    data = sorted(_described(given) for given in args.data)
    if not (folder / "meta.json").exists() and args.unpack:
        _once(folder, lambda: pack.unpack(args.unpack, folder))
    elif not (folder / "meta.json").exists():
        if not args.data:
            raise UserError(f"no cache in '{folder}' and no --data to make it from: give --data FOLDER")
        cutter = _cutter(args.matting)
        tracks = [track for given in args.data for track in training.read(*_named(given))]
        _split([{"name": track.name, "group": track.group} for track in tracks], args)  # reports names that are unknown
        _make(args.out)
        _once(folder, lambda: cache.build(tracks, folder, cutter=cutter, data=data))
    opened = cache.open_cache(folder)
    if data and opened.data and tuple(data) != opened.data and not args.unpack:
        raise UserError(
            f"the cache '{folder}' was made from {', '.join(opened.data)}, not from {', '.join(data)}: give another "
            "--cache or --out for other data, or leave --data out to train on the cache as it is"
        )
    for reason, count in opened.skipped.items():
        print(f"skipped {count} frames: {reason}")
    return opened


def _once(folder: Path, fill: Callable[[], object]) -> None:
    """Fill the cache in one process; others that need it, as those of torchrun, wait until it is complete."""
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock").acquire()
    except OSError as error:
        raise UserError(f"cannot write the cache '{folder}': {error.strerror or error}") from None
    with lock:
        if not (folder / "meta.json").exists():
            fill()


def _cutter(model: Path | None) -> Cutter:
    """The function that makes masks of objects. A network is opened once here, to report a bad file at once."""
    if model is None:
        from sot_tracker.train import masks

        return masks.grabcut
    from sot_tracker.train import matting  # needs ONNX Runtime, which training otherwise does without

    matting.open_network(model)
    return partial(matting.cut, model=model)


def _named(given: str) -> tuple[Path, str]:
    """ "NAME=DIR" or "DIR" -> the folder, and the name that its tracks get as their source ("" for the layout's
    own).
    """
    name, equals, folder = given.partition("=")
    if not (folder if equals else given).strip():
        raise UserError(f"--data '{given}' names no folder: give DIR or NAME=DIR")
    return (Path(folder), name) if equals and "/" not in name else (Path(given), "")


def _described(given: str) -> str:
    """A `--data` in the form that is stored in the cache, independent of the working folder."""
    folder, name = _named(given)
    return f"{name}={folder.resolve()}" if name else str(folder.resolve())


def _split(tracks: list[dict[str, str]], args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and held-back tracks."""
    wanted, left_out, held = (_names(path) for path in (args.split, args.exclude, args.val))
    every = {track[kind] for track in tracks for kind in ("name", "group")}
    for option, path, names in (("exclude", args.exclude, left_out), ("val", args.val, held)):
        if names and not names & every:
            raise UserError(
                f"--{option} {path}: none of its {len(names)} names is a track or group of the data; these are for "
                f"example {', '.join(sorted(every)[:3])}"
            )
    train: list[int] = []
    val: list[int] = []
    for number, track in enumerate(tracks):
        known = {track["name"], track["group"]}
        if (wanted is not None and not known & wanted) or (left_out and known & left_out):
            continue
        hold = bool(known & held) if held is not None else zlib.crc32(track["group"].encode()) % 10 == 0
        (val if hold else train).append(number)
    if not train:
        raise UserError("no track is left to train on: check --split, --exclude and --val")
    return np.array(train, np.int64), np.array(val, np.int64)


def _names(path: Path | None) -> set[str] | None:
    if path is None:
        return None
    try:
        return {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    except OSError as error:
        raise UserError(
            f"list file '{path}' cannot be read ({error.strerror}): give a text file with one name per line"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"list file '{path}' is not a UTF-8 text: give one name per line") from None


def _teachers(args: argparse.Namespace) -> tuple[tuple[str, Path] | None, tuple[Path, ...]]:
    """The teacher of ours, if one is given, and the folders of released ones."""
    released = tuple(Path(given.removeprefix(ONNX)) for given in args.teacher if given.startswith(ONNX))
    own = [given for given in args.teacher if not given.startswith(ONNX)]
    if len(own) > 1:
        raise UserError(f"--teacher {own[0]} and {own[1]}: give only one MODEL=FILE; only onnx:DIR can be repeated")
    if not own:
        return None, released
    name, equals, path = own[0].partition("=")
    if not equals:
        raise UserError(
            f"--teacher '{own[0]}' is not MODEL=FILE, for example mvt=out/model.safetensors, nor onnx:DIR, a folder "
            "with backbone.onnx and head.onnx"
        )
    return (name, Path(path)), released
