"""Builds the sequence of a video from its pictures and its rows of truth, for all layouts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sot_tracker.datasets.pictures import picture_number
from sot_tracker.datasets.records import Sequence
from sot_tracker.datasets.truth import Truth
from sot_tracker.errors import UserError


def video_sequence(
    layout: str, own_name: str, pictures: list[Path], truth: Truth, truth_file: Path, *, group: str = "", start: int = 0
) -> Sequence:
    """One row per picture; or a single row for the first of several, as test sets with hidden truth have.

    pictures: one at least. start: how many pictures of the video come before them.
    Raises UserError if the counts disagree.
    """
    count = len(pictures)
    boxes, known = truth.boxes, np.ones(count, dtype=np.bool_)
    if len(boxes) == 1 < count:
        known[1:] = False
        boxes = np.vstack([boxes, np.full((count - 1, 4), np.nan)])
    if len(boxes) != count:
        raise UserError(f"'{truth_file}' has {truth.describe()} for {count} frames: it needs one row per frame")
    return Sequence(
        layout=layout,
        source=layout,
        own_name=own_name,
        group=group or own_name,
        frames=tuple(pictures),
        truth=boxes,
        visible=np.asarray(np.isfinite(boxes).all(axis=1), dtype=np.bool_),
        known=known,
        numbers=np.arange(start, start + count),
        truth_kind=truth.kind,
    )


def numbered(pictures: Iterable[Path], first: int, last: int) -> list[Path]:
    """Those whose number in the file's name is first..last."""
    return [path for path in pictures if (number := picture_number(path)) is not None and first <= number <= last]
