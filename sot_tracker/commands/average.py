"""`sot-tracker average --model NAME --out FILE A.safetensors B.safetensors ...`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sot_tracker.catalog import network_spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="weights of the same network (.safetensors)"
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="network, see `sot-tracker models`")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help=".safetensors file to write")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="pictures of a run, for the batch norms' statistics (not needed after --frozen-norms)",
    )


def run(args: argparse.Namespace) -> int:
    """Raises UserError for files that do not fit together; nothing is written then."""
    network_spec(args.model)
    from sot_tracker.checkpoints import save_state_dict
    from sot_tracker.train import average
    from sot_tracker.train.cache import open_cache
    from sot_tracker.train.recipe import scratch

    cache = None if args.cache is None else open_cache(args.cache)
    net = average.mean(args.model, args.files, scratch(args.model), cache)
    save_state_dict(args.out, args.model, net.state_dict(), {"mean_of": " ".join(path.name for path in args.files)})
    print(f"{args.out}: mean of {len(args.files)} weights of {args.model}")
    return 0
