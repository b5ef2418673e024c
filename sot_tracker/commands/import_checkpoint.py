"""`sot-tracker import CHECKPOINT --model NAME --out FILE.safetensors`."""

from __future__ import annotations

import argparse
from pathlib import Path

from sot_tracker.catalog import MODELS
from sot_tracker.errors import UserError

_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Example: sot-tracker import HiT_ep1500.pth.tar --model hit_base --out hit_base.safetensors"
    parser.add_argument(
        "checkpoint", type=Path, help="published file (.pth, .pt, .pth.tar), or checkpoint.pt of a training"
    )
    parser.add_argument(
        "--model", required=True, help=f"network it belongs to: {', '.join(m for m in MODELS if MODELS[m].network)}"
    )
    parser.add_argument("--out", required=True, type=Path, help="file to write (.safetensors)")


def run(args: argparse.Namespace) -> int:
    """Raises UserError for a file that cannot be read or does not fit; nothing is written then."""
    if args.out.suffix != ".safetensors":
        raise UserError(f"--out {args.out} must end in .safetensors")
    from sot_tracker.checkpoints import import_checkpoint

    left_out = import_checkpoint(args.checkpoint, args.model, args.out)
    print(f"{args.out}: weights of '{args.model}' from {args.checkpoint}")
    if left_out:
        more = f" and {len(left_out) - _LISTED} more" if len(left_out) > _LISTED else ""
        print(f"skipped: {', '.join(left_out[:_LISTED])}{more}")
    return 0
