"""The options of `sot-tracker train`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from sot_tracker.commands.numbers import whole

SHARES = {
    "paste": "cut-out objects pasted onto other scenes",
    "region": "random regions of pictures as targets",
    "pattern": "generated patterns, for the first steps of a HiT from random weights",
    "negative": "a search patch that does not show the target",
    "crowd": "many other objects but no look-alike (counted among the --paste pairs)",
}
"""Options of the sampling: the share of pairs with ..."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sot-tracker train`, in groups."""
    parser.epilog = (
        "Options without a default here take theirs from the preset. Run the same command again to resume. "
        "docs/training.md explains the settings.\n\n"
        "Example: sot-tracker train --model smat --data path/to/got10k --data path/to/coco --out runs/smat"
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="network to train; `sot-tracker models` lists the names"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write: checkpoint, weights, curves and pictures",
    )
    parser.add_argument(
        "--preset",
        default="scratch",
        choices=("paper", "scratch", "imagenet"),
        help="all settings at once; the options below change single ones (default: scratch)",
    )
    _add_data(parser.add_argument_group("data").add_argument)
    _add_pairs(parser.add_argument_group("pairs").add_argument)
    _add_start(parser.add_argument_group("start and teachers").add_argument)
    _add_steps(parser.add_argument_group("steps and rates").add_argument)
    _add_machine(parser.add_argument_group("machine, validation, checkpoints").add_argument)


def _add_data(add: Callable[..., argparse.Action]) -> None:
    add(
        "--data",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="data set folder; NAME is for --weights-by-source; repeat for several",
    )
    add(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder of decoded and cropped pictures, made on the first run (default: OUT/cache)",
    )
    add(
        "--matting",
        type=Path,
        metavar="ONNX",
        help="salient-object network that makes masks for still pictures without one (default: GrabCut makes them)",
    )
    add(
        "--pack",
        type=Path,
        metavar="FILE",
        help="write the cache into one small file for another machine, and stop",
    )
    add(
        "--unpack",
        type=Path,
        metavar="FILE",
        help="make the cache from a file that --pack wrote, instead of from --data",
    )
    add(
        "--split",
        type=Path,
        metavar="FILE",
        help="text file of the tracks or groups to train on, one name per line; a track is one target, its group the "
        "video or still picture (default: all)",
    )
    add("--exclude", type=Path, metavar="FILE", help="text file of the tracks or groups to leave out")
    add(
        "--val",
        type=Path,
        metavar="FILE",
        help="text file of the tracks or groups to hold back for validation (default: a tenth of the groups, chosen by "
        "a hash of the name)",
    )
    add(
        "--weights-by-source",
        default="",
        metavar="NAME=SHARE,...",
        help="how often each source is drawn, for example got10k=1,coco=0.5; sources that are not named are not used",
    )


def _add_pairs(add: Callable[..., argparse.Action]) -> None:
    for name, what in SHARES.items():
        add(f"--{name}", type=float, metavar="SHARE", help=f"share of pairs with {what}")
    for name in ("template-size", "search-size"):
        add(
            f"--{name}",
            type=int,
            metavar="PIXELS",
            help=f"side of the {name.split('-')[0]} patch, a multiple of 16; a smaller one trains faster and suits the "
            "first part of a run",
        )


def _add_start(add: Callable[..., argparse.Action]) -> None:
    add(
        "--init",
        type=Path,
        metavar="FILE",
        help="weights to start from: a backbone file, or a checkpoint or model folder of this package",
    )
    add(
        "--start",
        default="random",
        choices=("random", "matching", "imagenet"),
        help="weights to start from without --init. matching: FERMT attends to similar tokens from the first step on; "
        "imagenet: ImageNet weights for lite's backbone (default: random)",
    )
    add(
        "--freeze-blocks",
        type=int,
        metavar="N",
        help="keep the first N parts of lite's backbone (stem, then blocks) as they are",
    )
    add(
        "--frozen-norms",
        action="store_true",
        default=None,
        help="batch norms keep the statistics of --init; for the last part of a run",
    )
    add(
        "--teacher",
        action="append",
        default=[],
        metavar="MODEL=FILE|onnx:DIR",
        help="trained network to learn from, besides the labels (distillation): weights of this package, or the folder "
        "of a released NanoTrack (backbone.onnx and head.onnx); repeat for several",
    )
    add(
        "--teach",
        choices=("maps", "features", "both"),
        help="with --teacher: learn its output maps (the default), the features that its head reads, or both",
    )
    add(
        "--features",
        action="store_true",
        help="also learn the features of EfficientNet-Lite0, which was trained on ImageNet",
    )


def _add_steps(add: Callable[..., argparse.Action]) -> None:
    add("--steps", type=int, metavar="N", help="number of optimiser steps")
    add("--batch", type=int, metavar="N", help="pairs per step and process")
    add(
        "--optimizer",
        choices=("adamw", "muon"),
        help="muon orthogonalises the updates of matrices; transformers then need far fewer pairs",
    )
    add("--rate", type=float, metavar="X", help="learning rate after the warm-up")
    add("--warmup", type=int, metavar="N", help="number of steps in which the learning rate rises from 0")
    add("--backbone-rate", type=float, metavar="FACTOR", help="the backbone's learning rate as a share of --rate")
    add("--schedule", choices=("constant", "cosine", "step", "tail"), help="schedule of the learning rate")
    add(
        "--decay-at",
        type=float,
        metavar="SHARE",
        help="share of the steps after which --schedule step or tail lowers the rate",
    )
    add(
        "--ema",
        type=float,
        metavar="DECAY",
        help="decay per step of the moving average of the weights; this average is what is saved",
    )
    add(
        "--regress",
        choices=("peak", "label"),
        help="where the box loss is computed, for networks with a score map: at the peak of the score, or at the cells "
        "that the label marks",
    )
    add("--seed", type=whole(), metavar="N", help="random seed of pairs and dropout")


def _add_machine(add: Callable[..., argparse.Action]) -> None:
    add("--device", default="cpu", choices=("cpu", "cuda"), help="device to train on (default: cpu)")
    add(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        help="arithmetic of the network; auto: bf16 if the hardware has instructions for it, else fp32",
    )
    add(
        "--workers",
        type=whole(),
        metavar="N",
        default=1,
        help="number of processes that make batches; 0: the main process makes them (default: 1)",
    )
    add(
        "--threads",
        type=whole(0, 256),
        metavar="N",
        default=0,
        help="CPU threads of the network; 0: as many as PyTorch chooses (default: 0)",
    )
    add(
        "--stop-after",
        type=float,
        default=0.0,
        metavar="MINUTES",
        help="save and stop after this time; 0: never (default: 0)",
    )
    add(
        "--val-every", type=int, metavar="N", default=500, help="number of steps between two validations (default: 500)"
    )
    add(
        "--val-pairs",
        type=int,
        default=256,
        metavar="N",
        help="number of pairs in a validation; as many training pairs give the statistics of the batch norms "
        "(default: 256)",
    )
    add(
        "--save-every",
        type=int,
        metavar="N",
        default=200,
        help="number of steps between two checkpoints (default: 200)",
    )
