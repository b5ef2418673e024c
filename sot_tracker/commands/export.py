"""`sot-tracker export --model NAME --weights FILE --out DIR`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from sot_tracker.catalog import network_spec, spec
from sot_tracker.errors import UserError
from sot_tracker.manifest import STORAGES
from sot_tracker.model_folder import find_weights

_STEPS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Example: sot-tracker export --model hit_base --weights hit_base.safetensors --out my/hit_base"
    parser.add_argument("--model", required=True, metavar="NAME", help="network, see `sot-tracker models`")
    parser.add_argument("--weights", required=True, help=".safetensors file, model folder, or random")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="model folder to write")
    parser.add_argument(
        "--storage",
        choices=STORAGES,
        default="fp16",
        help="how weights are stored, arithmetic is fp32 either way: int8 is a quarter of fp32's size and rounds most"
        " (default: fp16)",
    )
    parser.add_argument(
        "--lost-threshold",
        type=float,
        metavar="X",
        help="score below which the target counts as lost, stored with the model (default: that of the weights)",
    )


def run(args: argparse.Namespace) -> int:
    """Raises UserError for weights that do not fit and for graphs that differ from torch; nothing is written then."""
    if args.lost_threshold is not None and not 0 <= args.lost_threshold <= 1:
        raise UserError(f"--lost-threshold {args.lost_threshold:g} is out of range: give 0 to 1")
    network_spec(args.model)
    model = spec(args.model)
    source = find_weights(model, args.weights)
    from sot_tracker.export import export

    with tqdm(total=_STEPS, unit="step", leave=False) as bar:

        def progress(step: str) -> None:
            bar.set_description(step)
            bar.update()

        written = export(model, source, args.out, args.storage, args.lost_threshold, progress)
    assert written.manifest is not None
    size = sum((args.out / path).stat().st_size for path in written.files.files) / 1e6
    random = ", RANDOM WEIGHTS" if written.random else ""
    print(f"{args.out}: {model.title}, {written.manifest.parameters / 1e6:.2f} M parameters, {size:.1f} MB{random}")
    return 0
