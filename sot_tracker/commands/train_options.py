"""The options of `sot-tracker train`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from sot_tracker.commands.numbers import whole

SHARES = {
    "paste": "cut-out objects on other scenes",
    "region": "random regions of pictures",
    "pattern": "generated patterns, for the first steps of a new HiT",
    "negative": "search patches without the target",
    "crowd": "many other objects but no look-alike (a share of the pairs with cut-out objects)",
}
"""Options of the sampling: the share of pairs with ..."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sot-tracker train`, in groups."""
    parser.epilog = "Example: sot-tracker train --model smat --data path/to/got10k --data path/to/coco --out runs/smat"
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="network to train; `sot-tracker models` lists the names"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of checkpoint, weights, curves and pictures"
    )
    parser.add_argument(
        "--preset",
        default="scratch",
        choices=("paper", "scratch", "imagenet"),
        help="recipe to start from; the options below change it",
    )
    _add_data(parser.add_argument_group("data").add_argument)
    _add_pairs(parser.add_argument_group("pairs").add_argument)
    _add_start(parser.add_argument_group("start and teachers").add_argument)
    _add_steps(parser.add_argument_group("steps and rates").add_argument)
    _add_machine(parser.add_argument_group("machine, validation, checkpoints").add_argument)


def _add_data(add: Callable[..., argparse.Action]) -> None:
    add("--data", action="append", default=[], metavar="[NAME=]DIR", help="data set folder; repeat for several")
    add(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder of pre-cropped pictures, made on the first run (default: OUT/cache)",
    )
    add(
        "--matting",
        type=Path,
        metavar="ONNX",
        help="salient-object network that cuts out the objects of stills without a mask (default: GrabCut)",
    )
    add(
        "--pack",
        type=Path,
        metavar="FILE",
        help="write the cache into this one small file, for another machine, and stop",
    )
    add("--unpack", type=Path, metavar="FILE", help="make the cache from a file of --pack instead of --data")
    add(
        "--split",
        type=Path,
        metavar="FILE",
        help="text file of tracks or groups to train on, one per line (default: all)",
    )
    add("--exclude", type=Path, metavar="FILE", help="text file of tracks or groups to leave out")
    add(
        "--val",
        type=Path,
        metavar="FILE",
        help="text file of groups to hold back (default: a tenth, by hash of the name)",
    )
    add(
        "--weights-by-source",
        default="",
        metavar="NAME=SHARE,...",
        help="shares of the sources, for example got10k=1,coco=0.5",
    )


def _add_pairs(add: Callable[..., argparse.Action]) -> None:
    for name, what in SHARES.items():
        add(f"--{name}", type=float, metavar="SHARE", help=f"share of pairs with {what}")
    for name in ("template-size", "search-size"):
        add(
            f"--{name}",
            type=int,
            metavar="PIXELS",
            help="a smaller size than published trains faster, for the first part of a run",
        )


def _add_start(add: Callable[..., argparse.Action]) -> None:
    add("--init", type=Path, help="weights to start from: a backbone file or a checkpoint of this package")
    add(
        "--start",
        default="random",
        choices=("random", "matching", "imagenet"),
        help="start without --init: matching initialises FERMT to attend to similar tokens, imagenet takes ImageNet "
        "weights for lite's backbone",
    )
    add("--freeze-blocks", type=int, metavar="N", help="freeze the first N parts of the backbone (lite)")
    add(
        "--frozen-norms",
        action="store_true",
        default=None,
        help="batch norms use the statistics of --init, for the last part of a run",
    )
    add(
        "--teacher",
        action="append",
        default=[],
        metavar="MODEL=FILE|onnx:DIR",
        help="trained network to learn from besides the labels (distillation): weights of this package, or the folder "
        "of a released NanoTrack pair in ONNX (repeatable)",
    )
    add(
        "--teach",
        choices=("maps", "features", "both"),
        help="with --teacher: learn its maps (default), the features that its head reads, or both",
    )
    add("--features", action="store_true", help="also learn the features of an ImageNet network (docs/training.md)")


def _add_steps(add: Callable[..., argparse.Action]) -> None:
    add("--steps", type=int, metavar="N", help="optimiser steps in all")
    add("--batch", type=int, metavar="N", help="pairs per step and process")
    add("--optimizer", choices=("adamw", "muon"), help="muon: for matrices; a transformer then needs far fewer pairs")
    add("--rate", type=float, metavar="X", help="learning rate")
    add("--warmup", type=int, metavar="N", help="steps in which the learning rate rises")
    add("--backbone-rate", type=float, metavar="FACTOR", help="the backbone's learning rate as a share of --rate")
    add("--schedule", choices=("constant", "cosine", "step", "tail"), help="schedule of the learning rate")
    add("--decay-at", type=float, metavar="SHARE", help="share of the steps after which step and tail lower the rate")
    add(
        "--ema",
        type=float,
        metavar="DECAY",
        help="decay per step of the moving average of the weights, which is what is saved",
    )
    add(
        "--regress",
        choices=("peak", "label"),
        help="cells at which a centre head's box loss is computed: the score's peak or the label's cells",
    )
    add("--seed", type=whole(), metavar="N", help="seed of pairs and dropout")


def _add_machine(add: Callable[..., argparse.Action]) -> None:
    add("--device", default="cpu", choices=("cpu", "cuda"), help="where to train")
    add(
        "--precision", choices=("auto", "fp32", "bf16"), help="arithmetic of the network; auto: bf16 where it is native"
    )
    add(
        "--workers",
        type=whole(),
        metavar="N",
        default=1,
        help="processes that make batches; 0 makes them in the main process",
    )
    add(
        "--threads", type=whole(0, 256), metavar="N", default=0, help="CPU threads of the network; 0 leaves it to torch"
    )
    add("--stop-after", type=float, default=0.0, metavar="MINUTES", help="save and stop after this time; 0 for never")
    add("--val-every", type=int, metavar="N", default=500, help="steps between validations and pictures of pairs")
    add(
        "--val-pairs",
        type=int,
        default=256,
        metavar="N",
        help="pairs of a validation, and as many of the training for the statistics of batch norms",
    )
    add("--save-every", type=int, metavar="N", default=200, help="steps between checkpoints")
