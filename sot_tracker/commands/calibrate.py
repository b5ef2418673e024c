"""`sot-tracker calibrate`: learn a network's calibration from clips, and store it in the model folder."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sot_tracker.commands.options import EVERY_FRAME_IS_SEARCHED, add_tracker_options, tracker_options
from sot_tracker.commands.writable import require_writable, require_writable_folder
from sot_tracker.errors import UserError
from sot_tracker.manifest import DEFAULT_VARIANT, WEIGHTS

if TYPE_CHECKING:
    from sot_tracker.catalog import ModelSpec
    from sot_tracker.config import Config
    from sot_tracker.evaluate.calibrating import Quality
    from sot_tracker.evaluate.samples import Samples
    from sot_tracker.model_folder import Source

EPILOG = """
DIR is a data set with boxes in every frame, as for `sot-tracker eval`. In some clips the target must be absent for a
while. Give three kinds of clips or more, each as a DIR of its own: each kind is left out in turn, to see how well the
probabilities hold for it. Never use the sequences on which you report figures.

The result is written into manifest.json of the model folder (field `calibration`), so the folder must be writable.
For example:

sot-tracker synth --out clips --clips 12 --seed 5000 --events scale,camera,clutter,lookalikes,occlusion,hide,absence

sot-tracker calibrate --model lite --weights my/lite --data clips --data my/training/clips --plot calibration.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "--data",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of sequences of one kind; repeat for each kind (three or more)",
    )
    parser.add_argument(
        "--looks",
        action="append",
        type=Path,
        metavar="FILE",
        help="learn from the samples in a file of --save-looks; repeatable",
    )
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames of each sequence")
    parser.add_argument(
        "--features", metavar="NAME,NAME", help="features to learn from (default: the five of docs/models.md)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the calibration diagram into this PNG file")
    parser.add_argument("--save-looks", type=Path, metavar="FILE", help="save the samples, to learn from them again")
    parser.add_argument("--dry-run", action="store_true", help="print the figures, but do not change the model folder")
    add_tracker_options(parser, without=EVERY_FRAME_IS_SEARCHED)


def run(args: argparse.Namespace) -> int:
    """Learn, print and write; returns 0. Raises UserError."""
    from sot_tracker.calibration import FEATURES
    from sot_tracker.catalog import network_spec, spec
    from sot_tracker.config import Config
    from sot_tracker.evaluate import calibrating, plots, samples

    config = Config.from_mapping({**tracker_options(args, without=EVERY_FRAME_IS_SEARCHED), "model": args.model})
    network_spec(config.model)  # or it has no score map
    model = spec(config.model)
    names = tuple(args.features.split(",")) if args.features else calibrating.CHOSEN
    if unknown := [name for name in names if name not in FEATURES]:
        raise UserError(f"--features {unknown[0]}: known are {', '.join(FEATURES)}")
    if args.frames is not None and args.frames < 2:
        raise UserError(f"--frames {args.frames} is not possible: give 2 or more")
    if not args.data and not args.looks:
        raise UserError("nothing to learn from: give --data, or --looks for a file of --save-looks")
    if args.plot is not None:
        plots.require_plots("--plot")
    _require_outputs(args)
    source = _folder(model, config.weights, args.dry_run)
    network = _network(source)
    parts = [samples.read(path, network) for path in args.looks or ()]
    if args.data:
        parts += _followed(model, config, args)
    joined = samples.joined(parts)
    if args.save_looks is not None:
        samples.save(joined, args.save_looks, network)
    made, probability = calibrating.learn(joined, names)
    print(_summary(joined, calibrating.quality(joined, probability), calibrating.left_out(joined)))
    if args.plot is not None:
        title = f"{config.model}, {calibrating.left_out(joined)} left out in turn"
        plots.write_calibration(args.plot, probability, joined.right, joined.folder, title)
    if not args.dry_run:
        assert source.manifest is not None
        assert source.folder is not None
        dataclasses.replace(source.manifest, calibration=made).write(source.folder)
        print(f"written: calibration in {source.folder}/manifest.json")
    return 0


def _require_outputs(args: argparse.Namespace) -> None:
    """Raise UserError for files that could not be written after minutes of tracking."""
    for flag, path in {"--plot": args.plot, "--save-looks": args.save_looks}.items():
        if path is not None:
            require_writable(flag, path)


def _folder(model: ModelSpec, weights: str, dry_run: bool) -> Source:
    """The model folder to write to. Raises UserError for weights in another form, and for those that ship."""
    from sot_tracker.model_folder import find_weights

    source = find_weights(model, weights)
    if source.folder is None or source.manifest is None:
        raise UserError(f"calibrate writes into a model folder, and {source.name} is not one: export the weights first")
    if not weights and not dry_run:
        raise UserError(
            f"this would replace the calibration that ships with {model.name}: give a copy of '{source.folder}', or a "
            "model folder of your own, as --weights, or add --dry-run"
        )
    if not dry_run:
        require_writable_folder(source.folder)
    return source


def _network(source: Source) -> str:
    """Identifies a network: the name of the model and the beginning of its weights' sha256."""
    assert source.manifest is not None
    weights = source.manifest.variants[DEFAULT_VARIANT].files[WEIGHTS]
    return f"{source.manifest.model} {weights[:12]}"


def _followed(model: ModelSpec, config: Config, args: argparse.Namespace) -> list[Samples]:
    """The samples of all sequences of each --data, with a progress bar."""
    from tqdm import tqdm

    from sot_tracker.datasets import evaluation
    from sot_tracker.evaluate import samples
    from sot_tracker.loading import load_network_tracker

    folders = [evaluation.read(data, frames=args.frames or 0).sequences for data in args.data]
    tracker = load_network_tracker(model, config)
    total = sum(len(clip.frames) for clips in folders for clip in clips)
    with tqdm(total=total, unit="frame", disable=None) as bar:
        return [samples.gather(tracker, clips, lambda clip: bar.update(len(clip.frames))) for clips in folders]


def _summary(samples: Samples, quality: Quality, left_out: str) -> str:
    clips = len(np.unique(samples.clip))
    return (
        f"{len(samples.right)} frames of {clips} sequences: {samples.present.mean():.0%} with the target,"
        f" {samples.right.mean():.0%} with a right box\n"
        f"on {left_out} left out in turn: ROC AUC of right boxes {quality.right_auc:.3f}, of the target's presence"
        f" {quality.presence_auc:.3f}; calibration error {quality.error:.3f}\n"
        f"TRACKING in {quality.right_tracking:.0%} of the frames with a right box (higher is better) and in "
        f"{quality.false_tracking:.0%} of those without the target (lower is better)"
    )
