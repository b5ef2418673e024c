"""`sot-tracker average --model NAME --out FILE A.safetensors B.safetensors ...`."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from sot_tracker.catalog import network_spec
from sot_tracker.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Example: sot-tracker average --model smat --out mean.safetensors a.safetensors b.safetensors"
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="weights of the same network (.safetensors)"
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="network, see `sot-tracker models`")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help=".safetensors file to write")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="cache of a training run (OUT/cache), on whose pictures the batch norms' statistics are measured again; "
        "not needed if the weights were trained with --frozen-norms",
    )


def run(args: argparse.Namespace) -> int:
    """Raises UserError for files that do not fit together or an output that is an input; nothing is written then."""
    network_spec(args.model)
    if args.out.suffix != ".safetensors":
        raise UserError(f"--out {args.out} must end in .safetensors")
    if any(os.path.realpath(path) == os.path.realpath(args.out) for path in args.files):
        raise UserError(f"--out {args.out} is one of the files to average, which would be lost: give another name")
    from sot_tracker.checkpoints import save_state_dict
    from sot_tracker.train import average
    from sot_tracker.train.cache import open_cache
    from sot_tracker.train.recipe import scratch

    cache = None if args.cache is None else open_cache(args.cache)
    net = average.mean(args.model, args.files, scratch(args.model), cache)
    save_state_dict(args.out, args.model, net.state_dict(), {"mean_of": " ".join(path.name for path in args.files)})
    if args.json:
        print(json.dumps({"out": str(args.out), "model": args.model, "files": [str(path) for path in args.files]}))
    else:
        print(f"{args.out}: mean of {len(args.files)} weights of {args.model}")
    return 0
