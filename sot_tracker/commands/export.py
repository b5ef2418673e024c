"""`sot-tracker export --model NAME --weights FILE --out DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from sot_tracker.box import Box
from sot_tracker.catalog import ModelSpec, network_spec, spec
from sot_tracker.commands.termination import sigterm_as_ctrl_c
from sot_tracker.config import Config
from sot_tracker.datasets.training import read
from sot_tracker.errors import UserError
from sot_tracker.manifest import BF16, INT8, STORAGES
from sot_tracker.model_folder import Source, find_weights
from sot_tracker.stream.pictures import read_picture
from sot_tracker.tracker import Image

_STEPS, _PICTURES, _STORAGE = 5, 96, "fp16"
_MIN_SIDE = 8.0
"""Pixels: shortest side of a box to calibrate on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sot-tracker export`, in groups."""
    parser.epilog = "Example: sot-tracker export --model hit_base --weights hit_base.safetensors --out my/hit_base"
    add = parser.add_argument
    add("--model", required=True, metavar="NAME", help="network, see `sot-tracker models`")
    add("--weights", required=True, help=".safetensors file, model folder, or random")
    add("--out", required=True, type=Path, metavar="DIR", help="model folder to write")
    add(
        "--storage",
        choices=STORAGES,
        help="number format of the stored weights; arithmetic is always fp32. int8 takes a quarter of fp32's "
        f"space, but rounds most (default: {_STORAGE})",
    )
    add(
        "--lost-threshold",
        type=float,
        metavar="X",
        help="score below which the target counts as lost, stored with the model (default: that of the weights)",
    )
    _add_variants(parser.add_argument_group("variants").add_argument)


def _add_variants(add: Callable[..., argparse.Action]) -> None:
    add(
        "--precision",
        choices=("fp32", BF16, INT8),
        default="fp32",
        help="precision of the arithmetic. int8 adds a variant, calibrated on --data, to a copy of the model folder "
        "--weights; bf16 uses the same graphs. Both are compared with fp32 and the agreement is stored in the manifest "
        "(default: fp32)",
    )
    add(
        "--data",
        action="append",
        type=Path,
        metavar="DIR",
        help="annotated pictures or sequences, as for `train`, to calibrate int8 and to compare the variants; "
        "repeatable",
    )
    add("--pictures", type=int, metavar="N", help=f"number of pictures of --data to use (default: {_PICTURES})")


def run(args: argparse.Namespace) -> int:
    """Raises UserError for weights that do not fit and for graphs that differ from torch; nothing is written then."""
    with sigterm_as_ctrl_c():  # so that nothing half-written is left
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    if args.lost_threshold is not None and not 0 <= args.lost_threshold <= 1:
        raise UserError(f"--lost-threshold {args.lost_threshold:g} is out of range: give 0 to 1")
    network_spec(args.model)
    model = spec(args.model)
    source = find_weights(model, args.weights)
    if args.precision != "fp32":
        return _export_variant(args, model, source)
    for name in ("data", "pictures"):
        if getattr(args, name) is not None:
            raise UserError(
                f"--{name} has no effect with --precision fp32: leave it out, or give --precision int8 or bf16"
            )
    from sot_tracker.export import export

    storage = args.storage or _STORAGE
    with tqdm(total=_STEPS, unit="step", leave=False, disable=None) as bar:

        def progress(step: str) -> None:
            bar.set_description(step)
            bar.update()

        written = export(model, source, args.out, storage, args.lost_threshold, progress)
    assert written.manifest is not None
    size = sum((args.out / path).stat().st_size for path in written.files.files) / 1e6
    random = ", RANDOM WEIGHTS" if written.random else ""
    print(f"{args.out}: {model.title}, {written.manifest.parameters / 1e6:.2f} M parameters, {size:.1f} MB{random}")
    return 0


def _export_variant(args: argparse.Namespace, model: ModelSpec, source: Source) -> int:
    for name in ("storage", "lost_threshold"):
        if getattr(args, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')} has no effect with --precision {args.precision}, which copies the folder: "
                "export the folder in fp32 first"
            )
    if not args.data:
        raise UserError(
            f"--precision {args.precision} is compared with fp32 on real pictures: give --data with an annotated folder"
        )
    from sot_tracker.variants import add_bf16, add_int8

    pictures = _pictures(args.data, _PICTURES if args.pictures is None else args.pictures)
    add = add_int8 if args.precision == INT8 else add_bf16
    written = add(model, source, args.out, pictures, lambda step: print(f"{model.name}: {step}"))
    measured = ", ".join(f"{name} {value:.3f}" for name, value in written.files.agreement.items())
    print(f"{args.out}: {args.precision} beside fp32, agreement on {len(pictures)} pictures and a clip: {measured}")
    least = Config().min_agreement
    if written.files.overlap < least:
        print(f"That is below {least:g}: it is loaded only with a lower --min-agreement")
    return 0


def _pictures(folders: Sequence[Path], count: int) -> list[tuple[Image, Box]]:
    """Pictures spread over the data, each with one target that a tracker could be given in it."""
    found = [frame for folder in folders for track in read(folder) for frame in track.frames if frame.box]
    step = max(1, len(found) // max(1, count))
    pictures = []
    for frame in found[::step][:count]:
        assert frame.box is not None
        image, box = read_picture(frame.path), Box.from_xywh(frame.box)
        if box.is_valid and min(box.w, box.h) >= _MIN_SIDE and box.overlaps(image.shape[1], image.shape[0]):
            pictures.append((image, box))
    return pictures
