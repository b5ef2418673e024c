"""`sot-tracker synth`: generated clips with exact truth, as GOT-10k folders."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sot_tracker.commands.numbers import whole
from sot_tracker.errors import UserError
from sot_tracker.progress import progress
from sot_tracker.synth import (
    DEFAULT_EVENTS,
    EVENTS,
    PRESETS,
    ClipConfig,
    Picture,
    builtin_pictures,
    folder_pictures,
    procedural_pictures,
    write_sequence,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sot-tracker synth`."""
    plain = ClipConfig()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "events:\n" + "\n".join(f"  {name:<11} {text}" for name, text in EVENTS.items())
    parser.epilog += "\n\nExample: sot-tracker synth --preset benchmark --out out/clips"
    parser.add_argument("--out", type=Path, required=True, help="folder for the clips, one folder each, and list.txt")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="a fixed set of clips instead of --seed")
    parser.add_argument("--clips", type=whole(1), help="number of clips (default: 1; with --preset: all)")
    parser.add_argument("--frames", type=whole(1), help=f"frames per clip ({plain.frames})")
    parser.add_argument("--seed", type=whole(), help="seed of the first clip; the next clips count up from it (0)")
    parser.add_argument("--size", help=f"WIDTHxHEIGHT ({plain.width}x{plain.height})")
    parser.add_argument("--events", help=f"comma-separated, of those below ({','.join(DEFAULT_EVENTS)})")
    parser.add_argument(
        "--pictures",
        default="builtin",
        help="builtin (photographs of scikit-image), procedural (textures) or a folder (files with alpha: objects)",
    )
    parser.add_argument("--video", action="store_true", help="also write NAME.mp4 beside each folder")


def run(args: argparse.Namespace) -> int:
    """Write the clips; returns the exit status. Raises UserError."""
    if args.preset and args.seed is not None:
        raise UserError(f"--seed {args.seed} has no effect with --preset {args.preset}: leave out one of them")
    args.seed = args.seed or 0
    clips = _clips(args)
    pictures = _pictures(args.pictures, args.seed)
    names = [f"{args.preset or 'synth'}_{clip.seed:04d}" for clip in clips]
    replaced = sum((args.out / name / "groundtruth.txt").is_file() for name in names)
    with progress(len(clips), "clip", "synth") as bar:
        for name, clip in zip(names, clips, strict=True):
            write_sequence(clip, args.out / name, pictures, args.out / f"{name}.mp4" if args.video else None)
            bar.update()
    (args.out / "list.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    count = "1 clip" if len(clips) == 1 else f"{len(clips)} clips"
    older = f" ({replaced} in place of older ones)" if replaced else ""
    print(f"{count}{older}, {sum(clip.frames for clip in clips)} frames, in {args.out}")
    return 0


def _clips(args: argparse.Namespace) -> list[ClipConfig]:
    changes: dict[str, object] = {} if args.frames is None else {"frames": args.frames}
    if args.size:
        changes["width"], changes["height"] = _size(args.size)
    if args.events is not None:
        changes["events"] = tuple(name.strip() for name in args.events.split(",") if name.strip())
    if args.preset:
        wanted = PRESETS[args.preset]()
        if args.clips is not None and args.clips > len(wanted):
            raise UserError(
                f"--clips {args.clips}: preset '{args.preset}' has {len(wanted)} in all: give at most this number"
            )
        base = wanted[: args.clips]
    else:
        base = [ClipConfig(seed=args.seed + k) for k in range(args.clips or 1)]
    return [replace(clip, **changes) for clip in base]  # type: ignore[arg-type]


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise UserError(f"--size '{text}' is not WIDTHxHEIGHT: give for example 640x480") from None
    return width, height


def _pictures(source: str, seed: int) -> Sequence[Picture]:
    if source == "builtin":
        return builtin_pictures()
    return procedural_pictures(seed) if source == "procedural" else folder_pictures(Path(source))
