"""`sot-tracker track`: follow one target through a video, a folder of pictures or a camera."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sot_tracker.box import Box
from sot_tracker.commands.options import add_tracker_options, tracker_options
from sot_tracker.errors import INTERRUPTED, UserError
from sot_tracker.stream.sinks import CSV_COLUMNS, VIDEO_CODECS, CsvFile, Output, VideoFile, Window, select_box
from sot_tracker.tracker import Estimate, Image, State, Tracker

if TYPE_CHECKING:
    from sot_tracker.stream.sources import FrameSource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="video file, folder of pictures, camera number (0) or stream address")
    parser.add_argument(
        "--box",
        metavar="X,Y,W,H",
        help="target in the first frame, pixels; without it the truth file of a folder, or a window to draw it in",
    )
    parser.add_argument("--save", metavar="FILE", help=f"write a video with boxes ({', '.join(VIDEO_CODECS)})")
    parser.add_argument("--csv", metavar="FILE", help=f"write {','.join(CSV_COLUMNS)} per frame")
    parser.add_argument("--show", action="store_true", help="show it live in a window; q or Esc ends")
    parser.add_argument("--frames", type=int, metavar="N", help="stop after N frames")
    add_tracker_options(parser)


def run(args: argparse.Namespace) -> int:
    from sot_tracker.loading import load
    from sot_tracker.stream.sources import open_source

    if args.frames is not None and args.frames < 1:
        raise UserError(f"--frames {args.frames} is not possible: give 1 or more")
    given = Box.parse(args.box) if args.box else None
    source = open_source(args.source)
    with ExitStack() as stack:
        stack.callback(source.close)
        truth = _truth(Path(args.source).expanduser())
        tracker = load(args.model, **tracker_options(args))
        name = _name(tracker)
        frames = iter(source)
        first = next(frames)
        box = given or _first_box(truth) or select_box(first)
        followed = follow(tracker, islice(chain([first], frames), args.frames), box)
        started = next(followed)  # what is wrong with the box is told before a file is made
        outputs = [stack.enter_context(output) for output in _outputs(args, source, name)]
        run = Summary(truth)
        interrupted = _consume(chain([started], followed), outputs, run, args.frames or source.length)
    print(f"{name} on {source.name}: {run}")
    for output in outputs:
        if output.path:
            print(f"written: {output.path}")
    return INTERRUPTED if interrupted else 0


def follow(tracker: Tracker, frames: Iterable[Image], box: Box) -> Iterator[tuple[Image, Estimate, float]]:
    """Frame, estimate and seconds spent in the tracker, for every frame; in the first the estimate is the box given."""
    for index, image in enumerate(frames):
        start = time.perf_counter()
        # The milliseconds of outputs are those of updates: starting takes no time in them.
        estimate = tracker.update(image) if index else replace(tracker.init(image, box), times={})
        yield image, estimate, time.perf_counter() - start


def _consume(
    followed: Iterator[tuple[Image, Estimate, float]], outputs: list[Output], run: Summary, total: int | None
) -> bool:
    """Hand every frame to the outputs until one has enough; whether Ctrl-C ended it before."""
    from tqdm import tqdm

    try:
        for image, estimate, seconds in tqdm(followed, total=total, unit="frame"):
            run.add(estimate, seconds)
            wanted = [output.write(image, estimate) for output in outputs]
            if not all(wanted):
                return False
    except KeyboardInterrupt:  # the usual end of a camera: what was written so far is kept
        return True
    return False


def _outputs(args: argparse.Namespace, source: FrameSource, name: str) -> list[Output]:
    outputs: list[Output] = []
    if args.save:
        outputs.append(VideoFile(Path(args.save), name, source.fps, source.size))
    if args.csv:
        outputs.append(CsvFile(Path(args.csv)))
    if args.show:
        outputs.append(Window(name))
    return outputs


def _name(tracker: Tracker) -> str:
    return f"{tracker.info.name} (random weights)" if tracker.info.random else tracker.info.name


def _truth(folder: Path) -> np.ndarray | None:
    """N x 4 of a folder with a truth file."""
    from sot_tracker.datasets.sequences import read_truth, truth_file_of

    path = truth_file_of(folder)
    return None if path is None else read_truth(path)


def _first_box(truth: np.ndarray | None) -> Box | None:
    if truth is None or not len(truth):
        return None
    box = Box.from_xywh(truth[0])
    print("no --box given: starting on the first line of the truth file, {:g},{:g},{:g},{:g}".format(*box.xywh))
    return box


class Summary:
    """Counts what the last line tells."""

    def __init__(self, truth: np.ndarray | None) -> None:
        self._truth = truth
        self._frames = 0
        self._lost = 0
        self._seconds = 0.0
        self._overlaps: list[float] = []

    def add(self, estimate: Estimate, seconds: float) -> None:
        if self._frames:  # in the first frame the box was given
            self._seconds += seconds
            self._lost += estimate.state is State.LOST
            if self._truth is not None and self._frames < len(self._truth):
                true = Box.from_xywh(self._truth[self._frames])
                self._overlaps += [estimate.box.iou(true)] if true.is_valid else []
        self._frames += 1

    def __str__(self) -> str:
        parts = [f"{self._frames} frames", f"lost in {self._lost}"]
        if self._seconds > 0:
            parts.append(f"{(self._frames - 1) / self._seconds:.1f} fps in the tracker")
        if self._overlaps:
            parts.append(f"mean overlap with the truth {np.mean(self._overlaps):.3f}")
        return ", ".join(parts)
