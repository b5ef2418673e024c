"""Draw frames of one sequence side by side, with what a tracker said of them: box, state and probability, and the truth
as a thin white box. For docs and reports:

    python tools/draw_strip.py --data clips/synth_5003 --model lite --frames 40,60,80,100,120,140 --out strip.jpg

With --pan the sequence is seen through a window of half its size, which moves by half its own width within five frames.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from sot_tracker.atomic import new_file
from sot_tracker.box import Box
from sot_tracker.datasets import evaluation
from sot_tracker.datasets.records import Sequence
from sot_tracker.errors import UserError
from sot_tracker.loading import load
from sot_tracker.stream.draw import draw_estimate
from sot_tracker.tracker import Image, Tracker

COLUMNS = 3
PAN_FRAMES = 5


@dataclass(frozen=True)
class Pan:
    """A sequence seen through a window of half its size, in which the target is at three quarters of the width before
    frame `at` and at a quarter of it `PAN_FRAMES` later.
    """

    sequence: Sequence
    at: int

    def corner(self, index: int) -> tuple[int, int]:
        """Of the window in that frame: it stands still but for the pan."""
        height, width = self.sequence.picture(0).shape[:2]
        x, y, w, h = self.sequence.truth[self.at]
        moved = min(max((index - self.at) / PAN_FRAMES, 0.0), 1.0)
        left, top = x + w / 2 - (0.75 - 0.5 * moved) * width / 2, y + h / 2 - height / 4
        return round(min(max(left, 0), width / 2)), round(min(max(top, 0), height / 2))

    def picture(self, index: int) -> Image:
        """The window's part of a frame."""
        whole, (left, top) = self.sequence.picture(index), self.corner(index)
        height, width = whole.shape[0] // 2, whole.shape[1] // 2
        return np.ascontiguousarray(whole[top : top + height, left : left + width])

    def box(self, index: int) -> Box | None:
        """The truth, which may lie partly outside; None where the target is absent."""
        if not self.sequence.visible[index]:
            return None
        x, y, w, h = self.sequence.truth[index]
        left, top = self.corner(index)
        return Box(x - left, y - top, w, h)


@dataclass(frozen=True)
class Plain:
    """A sequence as it is."""

    sequence: Sequence

    def picture(self, index: int) -> Image:
        """That frame."""
        return self.sequence.picture(index)

    def box(self, index: int) -> Box | None:
        """The truth; None where the target is absent."""
        return Box(*self.sequence.truth[index]) if self.sequence.visible[index] else None


def strip(tracker: Tracker, view: Pan | Plain, start: int, frames: list[int], width: int) -> Image:
    """Those frames (of which the first of the sequence is 0) in rows of `COLUMNS`, each `width` pixels wide.

    start: frame in which the tracker is given the target. Raises UserError where the sequence is too short, or has no
    target in that frame.
    """
    last, first_box = len(view.sequence.frames) - 1, view.box(start)
    if not frames or min(frames) <= start or max(frames) > last:
        raise UserError(f"--frames: give numbers from {start + 1} to {last}")
    if first_box is None:
        raise UserError(f"--start {start}: there is no target in that frame")
    drawn: dict[int, Image] = {}
    tracker.init(view.picture(start), first_box)
    for index in range(start + 1, max(frames) + 1):
        picture = view.picture(index)
        estimate = tracker.update(picture)
        if index in frames:
            whole = draw_estimate(picture, replace(estimate, times={}), f"{index}", view.box(index))
            size = width, max(1, round(whole.shape[0] * width / whole.shape[1]))
            drawn[index] = np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
    tiles = [drawn[index] for index in frames]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="folder of one sequence, as for `sot-tracker eval`")
    parser.add_argument("--frames", required=True, help="numbers of the frames, separated by commas")
    parser.add_argument("--out", required=True, type=Path, help="JPEG to write")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--weights", help="model folder")
    parser.add_argument("--start", type=int, default=0, help="frame in which the target is given")
    parser.add_argument("--pan", type=int, help="frame at which the camera begins to turn")
    parser.add_argument("--width", type=int, default=320, help="pixels of each frame")
    args = parser.parse_args()
    try:
        frames = [int(number) for number in args.frames.split(",")]
        (sequence,) = evaluation.read(args.data).sequences
        options = {"weights": args.weights} if args.weights else {}
        count = len(sequence.frames)
        for name, index in (("--start", args.start), ("--pan", args.pan or 0)):
            if not 0 <= index < count:
                raise UserError(f"{name} {index}: give 0 to {count - 1}")
        view = Plain(sequence) if args.pan is None else Pan(sequence, args.pan)
        picture = strip(load(args.model, **options), view, args.start, frames, args.width)
        with new_file(args.out) as unfinished:
            unfinished.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    except (UserError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
