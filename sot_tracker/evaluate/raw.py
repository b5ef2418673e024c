"""Raw results: one text file per model and sequence. Its header states what it was made with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sot_tracker.atomic import new_file
from sot_tracker.errors import UserError

FORMAT = 2
"""Format of the files. Results in another format are computed again."""
_COLUMNS = "x,y,w,h,score,tracking,ms,reported,probability"


@dataclass(frozen=True, eq=False)
class Track:
    """A tracker's results for N frames; the first row is the given box.

    boxes: N x 4, x, y, w, h in pixels. score: N, 0..1. tracking: N, whether the state was TRACKING. seconds: N,
    duration of init, then of each update. size: width and height of the frames. reported: N, whether the box would have
    been published, also UNCERTAIN. probability: N, 0..1, NaN where it is not known.
    """

    boxes: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    tracking: npt.NDArray[np.bool_]
    seconds: npt.NDArray[np.float64]
    size: tuple[int, int]
    reported: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float64]


def save(path: Path, track: Track, made_with: dict[str, Any]) -> None:
    """Write the track as comma-separated rows that `numpy.loadtxt(path, delimiter=",")` reads; all or nothing.

    Raises UserError if it cannot be written.
    """
    table = np.column_stack(
        [track.boxes, track.score, track.tracking, track.seconds * 1e3, track.reported, track.probability]
    )
    formats = ["%.4f"] * 4 + ["%.6f", "%d", "%.4f", "%d", "%.6f"]
    write_table(path, table, _COLUMNS, formats, track.size, made_with)


def load(path: Path) -> Track:
    """Read a file of `save`. Raises UserError if it is damaged."""
    table, size = read_table(path, _COLUMNS)
    boxes, (score, tracking, ms, reported, probability) = table[:, :4], table[:, 4:].T
    return Track(boxes, score, tracking > 0, ms / 1e3, size, reported > 0, probability)


def write_table(
    path: Path,
    table: npt.ArrayLike,
    columns: str,
    formats: str | list[str],
    size: tuple[int, int],
    made_with: dict[str, Any],
) -> None:
    """Write rows below the frame size (width, height), what they were made with and the names of the columns.

    Raises UserError if the file cannot be written.
    """
    head = json.dumps({"size": list(size), "made_with": made_with}, sort_keys=True)
    with new_file(path) as unfinished:
        np.savetxt(unfinished, table, fmt=formats, delimiter=",", header=f"{head}\n{columns}")


def read_table(path: Path, columns: str) -> tuple[npt.NDArray[np.float64], tuple[int, int]]:
    """The rows and the frame size of a file of `write_table`. Raises UserError if it is damaged."""
    try:
        with path.open(encoding="utf-8") as file:
            width, height = json.loads(file.readline().removeprefix("#"))["size"]
        table = np.loadtxt(path, delimiter=",", ndmin=2)
        if table.shape[1] != len(columns.split(",")):
            raise ValueError(f"{table.shape[1]} columns")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"result '{path}' cannot be read ({error}): remove it and run again") from None
    return table, (width, height)


def made_with(path: Path) -> dict[str, Any] | None:
    """What the file was made with; None if there is no such file, or it was not written by `save`."""
    try:
        with path.open(encoding="utf-8") as file:
            head = json.loads(file.readline().removeprefix("#"))
    except (FileNotFoundError, ValueError):
        return None
    found = head.get("made_with") if isinstance(head, dict) else None
    return found if isinstance(found, dict) else None
