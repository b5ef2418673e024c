"""`sot-tracker calibrate`: learn what makes a probability of a network's answers, into its model folder."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from sot_tracker.commands.options import add_tracker_options, tracker_options
from sot_tracker.errors import UserError

EPILOG = """
DIR is a data set with boxes in every frame, as for `sot-tracker eval`; some clips must show frames without the target.
Never take the sequences on which figures are reported. The model folder must be writable: its manifest.json gets
the field `calibration`. For example:
sot-tracker synth --out clips --clips 12 --seed 5000 --events scale,camera,clutter,lookalikes,occlusion,hide,absence
sot-tracker calibrate --model lite --weights my/lite --data clips --data my/training/clips
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--data", required=True, action="append", type=Path, metavar="DIR", help="folder of sequences")
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames of each sequence")
    parser.add_argument("--features", metavar="NAME,NAME", help="features to learn from instead of the usual ones")
    parser.add_argument("--dry-run", action="store_true", help="show the figures and write nothing")
    add_tracker_options(parser)


def run(args: argparse.Namespace) -> int:
    """Learn, print and write; returns 0. Raises UserError."""
    from tqdm import tqdm

    from sot_tracker.calibration import FEATURES
    from sot_tracker.catalog import network_spec, spec
    from sot_tracker.config import Config
    from sot_tracker.datasets import evaluation
    from sot_tracker.evaluate import calibrating
    from sot_tracker.loading import load_network_tracker
    from sot_tracker.model_folder import find_weights

    config = Config.from_mapping({**tracker_options(args), "model": args.model})
    network_spec(config.model)  # or it has no score map
    model = spec(config.model)
    names = tuple(args.features.split(",")) if args.features else calibrating.CHOSEN
    if unknown := [name for name in names if name not in FEATURES]:
        raise UserError(f"--features {unknown[0]}: known are {', '.join(FEATURES)}")
    if args.frames is not None and args.frames < 2:
        raise UserError(f"--frames {args.frames} is not possible: give 2 or more")
    source = find_weights(model, config.weights)
    if source.folder is None or source.manifest is None:
        raise UserError(f"calibrate writes into a model folder, and {source.name} is none: export the weights first")
    clips = [clip for data in args.data for clip in evaluation.read(data, frames=args.frames or 0).sequences]
    tracker = load_network_tracker(model, config)
    with tqdm(total=sum(len(clip.frames) for clip in clips), unit="frame", disable=None) as bar:
        looks = calibrating.gather(tracker, clips, lambda clip: bar.update(len(clip.frames)))
    made, quality = calibrating.learn(looks, names)
    print(
        f"{len(looks.right)} frames of {len(clips)} sequences, {looks.present.mean():.0%} with the target,"
        f" {looks.right.mean():.0%} of the boxes right. On sequences left out: ROC AUC of right boxes"
        f" {quality.right_auc:.3f}, of presence {quality.presence_auc:.3f}, calibration error {quality.error:.3f}"
    )
    if not args.dry_run:
        dataclasses.replace(source.manifest, calibration=made).write(source.folder)
        print(f"written: calibration in {source.folder}/manifest.json")
    return 0
