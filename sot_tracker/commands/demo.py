"""`sot-tracker demo`: the whole line on one machine: player process, real DDS, the real node, and what came out."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from sot_tracker.box import Box, require_trackable
from sot_tracker.catalog import spec
from sot_tracker.commands.options import add_tracker_options, tracker_options
from sot_tracker.datasets.find import truth_of
from sot_tracker.errors import UserError
from sot_tracker.model_folder import find_weights
from sot_tracker.opencv_peers import find_files
from sot_tracker.progress import progress
from sot_tracker.stream.recordings import Recording
from sot_tracker.stream.sources import FrameSource, open_source
from sot_tracker.stream.statistics import dropping
from sot_tracker.synth import ClipConfig, builtin_pictures, demo_clip, write_sequence

NAMESPACE = "/sot_demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `sot-tracker demo`."""
    parser.epilog = "Example: sot-tracker demo --video clip.mp4 --box 310,120,48,96 --model kcf"
    add_tracker_options(parser)
    parser.add_argument("--video", default="", help="your own video or folder of pictures (default: a generated clip)")
    parser.add_argument(
        "--box", default="", help="x,y,w,h of the target in its first frame (default: the truth file of the folder)"
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results (default: out/demo)")
    parser.add_argument("--rate", type=float, default=0.0, help="frames per second (default: that of the clip)")
    parser.add_argument(
        "--lockstep", action="store_true", help="send each frame only after the result for the last one"
    )
    parser.add_argument(
        "--transport", choices=("raw", "compressed"), default="raw", help="image transport (default: raw)"
    )
    parser.add_argument("--frames", type=int, default=0, help="stop after this many frames (default: all)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Track the clip through ROS and write video, boxes and summary. Raises UserError."""
    try:
        from sot_tracker.ros_tools import harness, report
        from sot_tracker.ros_tools.player_config import PlayerConfig
    except ModuleNotFoundError as error:
        raise UserError(f"the demo needs ROS 2 ({error.name} is missing): run `make demo`, or source a ROS 2") from None
    model = spec(args.model)
    if model.network:
        find_weights(model, args.weights)  # what is missing is reported before anything starts
    elif model.opencv_weights:
        find_files(model.name, args.weights)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to '{args.out}': {error.strerror}") from None
    video = args.video or str(_built_in_clip(args.out / "clip", _shortened(demo_clip(), args.frames)))
    source = open_source(video)
    if source.live:
        raise UserError(f"'{video}' is live: the demo needs a clip with an end; use the player node for cameras")
    truth = None if isinstance(source, Recording) else truth_of(Path(video), bool(args.box))
    box = _first_box(args.box, truth, video)
    require_trackable(box, *source.size)
    log = args.out / "sent.csv"
    player = {
        "source": str(Path(video).expanduser().resolve()),
        "rate": args.rate,
        "lockstep": args.lockstep,
        "frames": args.frames,
        "image_transport": args.transport,
        "init_box": box.xywh,
        "wait": 3600.0,  # the node may still be loading its model; if it dies instead, the harness reports it
        "log": str(log.resolve()),
    }
    PlayerConfig.from_mapping(player)  # what is not possible is reported before anything starts
    propagate = "off" if args.lockstep else "auto"  # in lock-step every frame waits for the tracker
    tracker = {**tracker_options(args), "model": args.model, "propagate": propagate, "image_transport": args.transport}
    with progress(args.frames or source.length, "frame", args.model) as bar:
        recording = harness.play(player, tracker, NAMESPACE, lambda so_far: _advance(bar, len(so_far.states)))
        bar.total = bar.n  # dropped frames never come
    rows = report.rows_of(report.read_log(log), recording)
    summary = {"clip": source.name, "model": args.model, **report.summarize(rows, recording, truth)}
    _write(args.out, source, rows, truth, summary, args.rate or source.fps)
    print(json.dumps(summary, indent=1) if args.json else report.table(summary))
    if advice := dropping(summary["frames processed"], summary["frames dropped"], _seconds(rows)):
        print(f"warning: {advice}", file=_aside(args))
    print(f"written: {args.out}/debug.mp4, boxes.csv, summary.json", file=_aside(args))
    return 0


def _aside(args: argparse.Namespace) -> Any:
    """Where messages go, so that standard output is JSON alone where it is asked for."""
    return sys.stderr if args.json else sys.stdout


def _write(out: Path, source: FrameSource, rows: list[Any], truth: Any, summary: dict[str, Any], fps: float) -> None:
    from sot_tracker.ros_tools import report

    try:
        report.write_boxes(out / "boxes.csv", rows)
        report.write_summary(out / "summary.json", summary)
        report.write_video(out / "debug.mp4", iter(source), rows, truth, fps, summary["model"])
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}") from None


def _seconds(rows: list[Any]) -> float:
    return (rows[-1].stamp - rows[0].stamp) * 1e-9 if len(rows) > 1 else 0.0


def _advance(bar: Any, count: int) -> None:
    if count > bar.n:
        bar.update(count - bar.n)


def _shortened(clip: ClipConfig, frames: int) -> ClipConfig:
    """The clip with only as many frames as are played; 0 leaves it whole."""
    return replace(clip, frames=min(clip.frames, frames)) if frames > 0 else clip


def _built_in_clip(folder: Path, config: ClipConfig) -> Path:
    """The clip as a sequence folder; rendered once, and again when its description changed."""
    note = folder / "clip.txt"
    if not note.is_file() or note.read_text() != repr(config):
        print(
            f"rendering the built-in clip ({config.frames} frames, {config.width}x{config.height}) ...", file=sys.stderr
        )
        write_sequence(config, folder, builtin_pictures())
        note.write_text(repr(config))
    return folder


def _first_box(text: str, truth: Any | None, video: str) -> Box:
    if text:
        return Box.parse(text)
    if truth is None or not len(truth) or math.isnan(truth[0].sum()):
        raise UserError(f"'{video}' has no truth file: give the target in its first frame, BOX=x,y,w,h (--box x,y,w,h)")
    return Box.from_xywh(truth[0])
