"""`sot-tracker label`: let trackers label unlabelled video, for training."""

from __future__ import annotations

import argparse
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sot_tracker.box import Box, require_trackable
from sot_tracker.commands.options import (
    EVERY_FRAME_IS_SEARCHED,
    add_ray_option,
    add_tracker_options,
    tracker_options,
)
from sot_tracker.commands.termination import sigterm_as_ctrl_c
from sot_tracker.datasets import find, labelling
from sot_tracker.datasets.layouts.annotation_list import FILE
from sot_tracker.datasets.list_writer import ListWriter, source_name
from sot_tracker.errors import INTERRUPTED, TERMINATED, UserError
from sot_tracker.progress import progress
from sot_tracker.stream.sources import FrameSource, open_source
from sot_tracker.tracker import Tracker

if TYPE_CHECKING:
    from sot_tracker.evaluate.ope import Entry

EPILOG = """
Each target is followed forward and, from where that ends, backward; frames are kept in which both ways and all trackers
agree. Pictures and annotations.jsonl are a data set for `sot-tracker train --data OUT`. For example:
sot-tracker label clip.mp4 --box 310,120,48,96 --model nanotrack@DIR --out labelled
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("source", nargs="+", metavar="VIDEO", help="video file, folder or pattern of pictures")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="new folder for pictures and their list")
    parser.add_argument(
        "--model",
        required=True,
        action="append",
        metavar="NAME[@WEIGHTS]",
        help="tracker that labels; repeat for several, which then must all agree",
    )
    parser.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="X,Y,W,H",
        help="target in the first frame of the only VIDEO, in pixels; repeat for several targets (default: the truth "
        "file of a folder)",
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="store every Nth frame (default: 1)")
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N frames of each video")
    parser.add_argument(
        "--agree",
        type=float,
        default=labelling.AGREE,
        metavar="OVERLAP",
        help=f"smallest allowed overlap (IoU) of any two boxes of a frame (default: {labelling.AGREE})",
    )
    parser.add_argument(
        "--span",
        type=int,
        default=labelling.SPAN,
        metavar="N",
        help=f"frames to track forward before tracking backward (default: {labelling.SPAN})",
    )
    add_ray_option(parser)
    add_tracker_options(parser, without=("model", *EVERY_FRAME_IS_SEARCHED))


def run(args: argparse.Namespace) -> int:
    """Label, write, print; returns the exit status. Ctrl-C, SIGTERM and errors keep what was labelled until then.

    Raises UserError, also if no frame of any video is sure.
    """
    _check(args)
    videos = [(source, _starts(source, args.box)) for source in args.source]
    names = [source_name(Path(source).name) for source in args.source]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"two videos are called '{twice.pop()}': label them into two folders")
    entries = _entries(args)
    trackers = [] if args.ray else [entry.load() for entry in entries]
    writer = ListWriter(args.out)
    with sigterm_as_ctrl_c() as terminated:
        try:
            with writer:
                _label_all(writer, videos, entries, trackers, args)
        except (UserError, KeyboardInterrupt) as ended:
            if not writer.complete:
                raise
            print(f"ended early: {_written(writer)}")
            if isinstance(ended, UserError):
                raise
            return TERMINATED if terminated else INTERRUPTED
    print(_written(writer))
    return 0


def _written(writer: ListWriter) -> str:
    return f"written to {writer.folder}: {writer.pictures} pictures with {writer.boxes} boxes, {FILE}"


def _label_all(
    writer: ListWriter,
    videos: list[tuple[str, list[Box]]],
    entries: list[Entry],
    trackers: list[Tracker],
    args: argparse.Namespace,
) -> None:
    """All targets of all videos. Raises UserError if no frame is sure."""
    if args.ray:
        _label_on_cluster(writer, videos, entries, args)
    else:
        for source, starts in videos:
            with closing(open_source(source)) as frames:
                results = [_label(writer, frames, number, box, trackers, args) for number, box in enumerate(starts)]
            print(f"{frames.name}: {', '.join(results)}", flush=True)
    if not writer.boxes:
        raise UserError(
            "the boxes agree in no frame of any video: give another --box, a better --model or a lower --agree"
        )


def _check(args: argparse.Namespace) -> None:
    if args.box and len(args.source) > 1:
        raise UserError(f"--box is for one video, these are {len(args.source)}: run the command once for each")
    if not 0 < args.agree <= 1:
        raise UserError(f"--agree {args.agree:g} is not possible: give an overlap above 0, at most 1")
    for name, least in (("every", 1), ("span", labelling.MIN_FRAMES), ("frames", 2)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value} is not possible: give {least} or more")


def _starts(source: str, given: list[str]) -> list[Box]:
    """The targets in a video's first frame. Raises UserError if there are none, or it is not a file."""
    with closing(open_source(source)) as frames:
        if frames.live or not frames.files:
            raise UserError(f"'{source}' cannot be read backward: give a video file or a folder of pictures")
        size = frames.size
    boxes = [Box.parse(text) for text in given]
    truth = None if boxes else find.truth_of(Path(source).expanduser(), False)
    if truth is not None and len(truth) and Box.from_xywh(truth[0]).is_valid:
        boxes = [Box.from_xywh(truth[0])]
    if not boxes:
        raise UserError(f"nothing says where the target is in the first frame of '{source}': give --box X,Y,W,H")
    for box in boxes:
        require_trackable(box, *size)
    return boxes


def _entries(args: argparse.Namespace) -> list[Entry]:
    from sot_tracker.evaluate.ope import Entry

    options = tracker_options(args, without=EVERY_FRAME_IS_SEARCHED)
    return [Entry.parse(text, options) for text in args.model]


def _label(
    writer: ListWriter, frames: FrameSource, number: int, start: Box, trackers: list[Tracker], args: argparse.Namespace
) -> str:
    """One target through one video, and what came of it in words."""
    seen = islice((frame.image for frame in frames), args.frames)
    kept, last = 0, 0
    with progress(args.frames or frames.length, "frame", f"{frames.name} {number}") as bar:
        for found in labelling.label(trackers, seen, start, args.span, args.agree):
            if found.number % args.every == 0:
                writer.add(frames.name, found.number, found.image, number, found.box)
                kept += 1
            bar.update(found.number - last)
            last = found.number
    return _summary(number, kept, last)


def _label_on_cluster(
    writer: ListWriter, videos: list[tuple[str, list[Box]]], entries: list[Entry], args: argparse.Namespace
) -> None:
    """All targets through all videos, many at once."""
    from sot_tracker.commands import label_cluster

    for entry in entries:
        entry.check(1, args.ray)
    rules = {"frames": args.frames, "every": args.every, "span": args.span, "agree": args.agree}
    trackers, folder = tuple(entry.for_cluster() for entry in entries), args.out.absolute()
    jobs = [
        label_cluster.Job(label_cluster.whole_path(source), number, start, trackers, folder, **rules)
        for source, starts in videos
        for number, start in enumerate(starts)
    ]
    summaries: dict[str, list[str]] = {}
    for job, found in label_cluster.add_all(writer, jobs, args.ray).items():
        summaries.setdefault(found.video, []).append(_summary(job.target, len(found.kept), found.last))
    for video, targets in summaries.items():
        print(f"{video}: {', '.join(targets)}")


def _summary(target: int, kept: int, last: int) -> str:
    return f"target {target} in {kept} frames up to number {last}"
