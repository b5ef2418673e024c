"""Draw frames of one sequence side by side, with what a tracker said of them: box, state and probability, and the truth
as a thin white box. For docs and reports:

    python tools/draw_strip.py --data clips/synth_5003 --model lite --frames 40,60,80,100,120,140 --out strip.jpg
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
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


def strip(tracker: Tracker, sequence: Sequence, frames: list[int], width: int) -> Image:
    """Those frames (of which the first of the sequence is 0) in rows of `COLUMNS`, each `width` pixels wide.

    Raises UserError where the sequence is too short.
    """
    if not frames or min(frames) < 1 or max(frames) >= len(sequence.frames):
        raise UserError(f"--frames: give numbers from 1 to {len(sequence.frames) - 1}")
    drawn: dict[int, Image] = {}
    tracker.init(sequence.picture(0), sequence.first_box)
    for index in range(1, max(frames) + 1):
        picture = sequence.picture(index)
        estimate = tracker.update(picture)
        if index in frames:
            truth = Box(*sequence.truth[index]) if sequence.visible[index] else None
            whole = draw_estimate(picture, replace(estimate, times={}), f"{index}", truth)
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
    parser.add_argument("--width", type=int, default=320, help="pixels of each frame")
    args = parser.parse_args()
    try:
        frames = [int(number) for number in args.frames.split(",")]
        (sequence,) = evaluation.read(args.data).sequences
        options = {"weights": args.weights} if args.weights else {}
        picture = strip(load(args.model, **options), sequence, frames, args.width)
        with new_file(args.out) as unfinished:
            unfinished.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    except (UserError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
