"""Draws the frames in which a model was worst into one picture, to show typical failures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from sot_tracker.atomic import new_file
from sot_tracker.box import Box
from sot_tracker.boxes import ious
from sot_tracker.datasets.records import Sequence
from sot_tracker.errors import UserError
from sot_tracker.evaluate.metrics import hold_last
from sot_tracker.evaluate.raw import Track
from sot_tracker.stream.draw import draw_estimate
from sot_tracker.tracker import Estimate, Image, State

TILES, ACROSS, TILE = 12, 4, (320, 240)
PER_SEQUENCE = 2
"""Largest number of frames of one sequence. They are at least a tenth of it apart, since neighbours look alike."""


class WorstFrame(NamedTuple):
    """number: of the frame, from 0. box: of the model. overlap: of the box with the true one."""

    overlap: float
    sequence: Sequence
    number: int
    box: Box


def worst_frames(runs: Iterable[tuple[Sequence, Track]]) -> list[WorstFrame]:
    """At most TILES frames in which the target is visible, lowest overlap first."""
    found = []
    for sequence, track in runs:
        boxes = hold_last(track.boxes)
        overlaps = np.where(sequence.visible, ious(boxes, np.nan_to_num(sequence.truth)), np.inf)
        overlaps[0] = np.inf
        for _ in range(PER_SEQUENCE):
            index = int(np.argmin(overlaps))
            if np.isinf(overlaps[index]):
                break
            found.append(WorstFrame(float(overlaps[index]), sequence, index, Box.from_xywh(boxes[index])))
            apart = len(overlaps) // 10
            overlaps[max(0, index - apart) : index + apart + 1] = np.inf
    return sorted(found, key=lambda frame: frame.overlap)[:TILES]


def write_sheet(path: Path, frames: list[WorstFrame]) -> None:
    """Write a JPEG of those frames with the true box (thin, white), the model's (green), sequence, frame and overlap.

    Raises UserError if a picture cannot be read or the sheet cannot be written.
    """
    tiles = [_tile(frame) for frame in frames]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % ACROSS)
    sheet = np.vstack([np.hstack(tiles[i : i + ACROSS]) for i in range(0, len(tiles), ACROSS)])
    with new_file(path) as unfinished:
        if not cv2.imwrite(str(unfinished), sheet):
            raise UserError(f"cannot write {path}")


def _tile(frame: WorstFrame) -> Image:
    image = frame.sequence.picture(frame.number)
    scale = min(TILE[0] / image.shape[1], TILE[1] / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tile = np.zeros((TILE[1], TILE[0], 3), np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small[: TILE[1], : TILE[0]]
    true = Box.from_xywh(frame.sequence.truth[frame.number])
    estimate = Estimate(frame.box.scaled(scale), frame.overlap, State.TRACKING)  # the overlap is printed as its score
    return draw_estimate(tile, estimate, f"{frame.sequence.own_name} {frame.number + 1}", true.scaled(scale))
