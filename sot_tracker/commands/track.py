"""`sot-tracker track`: track targets in a video, a folder of pictures, a recording or a camera stream."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sot_tracker.box import Box
from sot_tracker.commands.numbers import whole
from sot_tracker.commands.options import add_tracker_options, tracker_options
from sot_tracker.commands.termination import sigterm_as_ctrl_c
from sot_tracker.errors import INTERRUPTED, TERMINATED, UserError
from sot_tracker.loading import load_many
from sot_tracker.progress import progress
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.follow import Selected, Start, Step, ahead, follow, named, select
from sot_tracker.stream.lost import Lost
from sot_tracker.stream.recordings import Recording, is_recording
from sot_tracker.stream.sinks import CSV_COLUMNS, Output, open_outputs, select_box
from sot_tracker.stream.sources import FrameSource, open_source, parse_range16
from sot_tracker.stream.statistics import falling_behind
from sot_tracker.stream.video_writer import VIDEO_CODECS
from sot_tracker.tracker import TrackerInfo

EPILOG = """
Files of the source are never overwritten; other files of the same name are replaced. For example:

sot-tracker track clip.mp4 --box 310,120,48,96 --save out.mp4 --csv boxes.csv

sot-tracker track run.mcap --topic /camera/image_raw --init 310,120,48,96@12.5 --save-bag out.mcap
"""


class Written(NamedTuple):
    """A file that an output wrote. replaced: whether it replaced an older file. note: the output's remark."""

    path: Path
    replaced: bool
    note: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "source",
        help="video file, folder or pattern (%%06d.jpg) of pictures, recording (.mcap, rosbag2 folder), camera number "
        "(0), stream address or GStreamer pipeline",
    )
    add(
        "--init",
        "--box",
        dest="box",
        action="append",
        default=[],
        metavar="X,Y,W,H[@S]",
        help="the target's box in pixels, in the first frame or S seconds after it; repeat for several targets "
        "(default: the true box of a folder or recording; without one, you draw it in a window)",
    )
    add("--topic", default="", metavar="NAME", help="image topic to read from a recording; needed if it has several")
    add(
        "--truth-topic",
        default="",
        metavar="NAME",
        help="topic of true boxes (Detection2D) in a recording (default: truth, ground_truth or groundtruth)",
    )
    add(
        "--save",
        metavar="FILE",
        help=f"write a video with the boxes drawn in ({', '.join(VIDEO_CODECS)})",
    )
    add(
        "--csv",
        metavar="FILE",
        help=f"write a table with one row per frame and target: {', '.join(CSV_COLUMNS)} (box in pixels, stamp in "
        "nanoseconds; reported: 1 if the node would publish the box)",
    )
    add("--save-bag", metavar="FILE", help="write a recording (.mcap) of detections, states and debug pictures")
    add("--show", action="store_true", help="show the result live in a window; press q or Esc to end")
    add("--start", type=float, default=0.0, metavar="S", help="begin S seconds after the source's first frame")
    add("--stride", type=whole(1), default=1, metavar="N", help="use only every N-th frame")
    add("--frames", type=int, metavar="N", help="stop N frames after the first target's start")
    add(
        "--range16",
        metavar="LOW,HIGH",
        help="values of 16-bit pixels that become black (0) and white (255) (default: they adapt to the stream)",
    )
    add("--json", action="store_true", help="print the summary as JSON")
    add_tracker_options(parser)


def run(args: argparse.Namespace) -> int:
    if args.frames is not None and args.frames < 1:
        raise UserError(f"--frames {args.frames} is not possible: give 1 or more")
    if not 0 <= args.start < 1e9:
        raise UserError(f"--start {args.start:g} is not possible: give seconds from the first frame, 0 or more")
    starts = named(Start.parse(text) for text in args.box)
    if early := next((start for start in starts if 0 < start.seconds < args.start), None):
        raise UserError(f"--init {early.box}@{early.seconds:g} is before --start {args.start:g}: leave one of them out")
    source = open_source(args.source, parse_range16(args.range16), args.topic)
    with ExitStack() as stack:
        terminated = stack.enter_context(sigterm_as_ctrl_c())
        stack.callback(source.close)
        truth = _truth(source, args, bool(starts))
        targets = load_many(args.model, max(1, len(starts)), realtime=source.live, **tracker_options(args))
        name = _name(targets.info)
        flags = {"--save": args.save, "--csv": args.csv, "--save-bag": args.save_bag}
        outputs = open_outputs(flags, args.show, source, name, args.stride)
        frames = select(source, args.start, args.stride)
        if starts:  # --frames counts from here
            first = min(start.seconds for start in starts)
            frames = dropwhile(lambda frame: frame.seconds < first, frames)
        frames = frames if source.live else ahead(frames)
        if not starts:
            start, frames = _first_box(truth, frames, args)
            starts = named([start])
        followed = follow(targets, islice(frames, args.frames), starts)
        started = next(followed)  # an error of the box is reported before any file is created
        replaced = [output.path for output in outputs if output.path and output.path.is_file()]
        outputs = [stack.enter_context(output) for output in outputs]
        summary = Summary(truth)
        total = args.frames or (source.length and -(-source.length // args.stride))
        began = time.monotonic()
        failures: list[UserError] = []
        interrupted = _consume(_until_error(chain([started], followed), failures), outputs, summary, total)
        seconds = time.monotonic() - began
    written = [Written(output.path, output.path in replaced, output.note) for output in outputs if output.path]
    _report(summary, name, source, args, written)
    if failures:
        raise failures[0]
    if source.live and (advice := summary.falling_behind(seconds, source.fps / args.stride)):
        print(f"warning: {advice}", file=sys.stderr)
    return TERMINATED if terminated else INTERRUPTED if interrupted else 0


def _until_error(steps: Iterator[Step], failures: list[UserError]) -> Iterator[Step]:
    """The steps until an error of the source or tracker. The error is added to `failures`, so that the steps before it
    are reported first.
    """
    try:
        yield from steps
    except UserError as error:
        failures.append(error)


def _consume(followed: Iterator[Step], outputs: list[Output], summary: Summary, total: int | None) -> bool:
    """Pass every step to the outputs until one wants to stop. Returns whether Ctrl-C ended it."""
    try:
        with progress(total, "frame", "tracking") as bar:
            for step in followed:
                summary.add(step)
                bar.update()
                wanted = [output.write(step) for output in outputs]
                if not all(wanted):
                    return False
    except KeyboardInterrupt:  # the usual end for a camera: the files are kept
        return True
    return False


def _report(summary: Summary, name: str, source: FrameSource, args: argparse.Namespace, written: list[Written]) -> None:
    if args.json:
        files = {
            "written": [str(file.path) for file in written],
            "replaced": [str(file.path) for file in written if file.replaced],
        }
        print(json.dumps({"source": source.name, "model": name, **summary.values(), **files}, indent=1))
        return
    print(f"{name} on {source.name}: {summary}")
    for line in summary.lost_lines():
        print(line)
    for file in written:
        notes = [file.note, "an older file was replaced" if file.replaced else ""]
        remarks = "; ".join(filter(None, notes))
        print(f"written: {file.path}{f' ({remarks})' if remarks else ''}")


def _name(info: TrackerInfo) -> str:
    return f"{info.name} (random weights)" if info.random else info.name


def _truth(source: FrameSource, args: argparse.Namespace, has_box: bool) -> np.ndarray | None:
    """The true boxes, N x 4, of a folder with a truth file or a recording with a topic of true boxes; else None."""
    from sot_tracker.datasets.find import truth_of

    if isinstance(source, Recording):
        found = source.truth(args.truth_topic)
        return None if found is None else found.boxes
    if args.truth_topic:
        raise UserError(
            f"--truth-topic is for recordings (MCAP files, rosbag2 folders): '{args.source}' is not a recording"
        )
    return truth_of(Path(args.source).expanduser(), has_box) if source.files else None


def _first_box(
    truth: np.ndarray | None, frames: Iterator[Selected], args: argparse.Namespace
) -> tuple[Start, Iterator[Selected]]:
    """The start in the first usable frame, and the frames from there on (after the damaged ones before it).

    Its box is the true one (frames without a true box are skipped), or else drawn by the user.
    """
    damaged: list[Selected] = []
    damage: FrameError | None = None
    absent = False
    for frame in frames:
        box = Box.from_xywh(truth[frame.number]) if truth is not None and frame.number < len(truth) else None
        if box is not None and not box.is_valid:
            absent = True
            continue
        try:
            image = frame.frame.image
        except FrameError as error:
            damage = error
            damaged.append(frame)  # `follow` counts it
            continue
        if box is not None:
            notice = f"no --box given: starting on {_row(frame.number, Path(args.source))}, {box}"
            print(notice, file=sys.stderr if args.json else sys.stdout)
        else:
            box = select_box(image)
        return Start(box), chain([*damaged, frame], frames)
    if absent:
        raise UserError(f"no frame of '{args.source}' that can be used has a true box: give one with --box")
    raise damage or UserError(f"'{args.source}' has no frame")


def _row(number: int, source: Path) -> str:
    """A description, for messages, of where a frame's true box was read."""
    if is_recording(source):
        return f"the true box of frame {number}"
    return f"{'the first line' if number == 0 else f'line {number + 1}'} of the truth file"


class Summary:
    """Collects the figures of the final summary."""

    def __init__(self, truth: np.ndarray | None) -> None:
        self._truth = truth
        self._frames = 0
        self._seconds = 0.0
        self._overlaps: list[float] = []
        self._lost: dict[str, Lost] = {}

    def add(self, step: Step) -> None:
        if self._frames:  # in the first frame the box was given
            self._seconds += step.seconds
        for target, estimate in step.estimates.items():
            known = target in self._lost
            self._lost.setdefault(target, Lost()).add(step.number, estimate.state)
            if known and self._truth is not None and step.number < len(self._truth) and len(step.estimates) == 1:
                true = Box.from_xywh(self._truth[step.number])
                self._overlaps += [estimate.box.iou(true)] if true.is_valid else []
        self._frames += 1

    def __str__(self) -> str:
        lost = [counted.total for counted in self._lost.values()]
        parts = [f"{self._frames} frames", f"lost in {' and '.join(map(str, lost))}"]
        if self._seconds > 0:
            parts.append(f"{(self._frames - 1) / self._seconds:.1f} fps in the tracker")
        if self._overlaps:
            parts.append(f"mean overlap with the truth {np.mean(self._overlaps):.3f}")
        return ", ".join(parts)

    def falling_behind(self, seconds: float, rate: float) -> str:
        """A warning if a camera of that rate (fps) gave more frames in that time than were processed; else ""."""
        return falling_behind(self._frames, seconds, rate, self._seconds)

    def lost_lines(self) -> list[str]:
        """One line per target that was lost, with the frame numbers."""
        several = len(self._lost) > 1
        return [
            f"{f'target {target} ' if several else ''}lost in frames {counted}"
            for target, counted in self._lost.items()
            if counted.total
        ]

    def values(self) -> dict[str, Any]:
        """The figures for JSON. lost: target -> first and last frame of each loss."""
        return {
            "frames": self._frames,
            "fps": round((self._frames - 1) / self._seconds, 2) if self._seconds > 0 else None,
            "lost": {target: [list(pair) for pair in counted.ranges] for target, counted in self._lost.items()},
            "mean_overlap": round(float(np.mean(self._overlaps)), 4) if self._overlaps else None,
        }
