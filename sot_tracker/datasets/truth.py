"""Text files of data sets: one row per frame with a box, polygon or mask, and one value per frame in label files.

They are read strictly. A row of another kind, a value that is not a number, or a wrong number of rows is a UserError
that names the file and the line. Otherwise a shifted row would silently give a frame the box of another one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sot_tracker.datasets.regions import mask_box, polygon_box
from sot_tracker.errors import UserError

Array = npt.NDArray[np.float64]

BOX, POLYGON = 4, 8
"""Numbers in a row."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The rows of a truth file.

    boxes: N x 4, x, y, w, h in pixels, NaN if the row means that there is no target (NaN, or no size). kind: "box",
    "polygon" or "mask". blank: number of the first blank line that is followed by rows, or None.
    """

    boxes: Array
    kind: str
    blank: int | None

    def describe(self) -> str:
        """The number of rows, and the blank line, which may be the reason of a wrong number."""
        rows = "1 row" if len(self.boxes) == 1 else f"{len(self.boxes)} rows"
        return rows + (f" (line {self.blank} is blank)" if self.blank else "")


def read_truth(path: Path) -> Truth:
    """The boxes of a truth file; numbers are separated by commas, tabs or spaces. Blank lines are ignored.

    Raises UserError, naming the line, for a row that is not a box (4 numbers), polygon (8 numbers) or mask ("m..."),
    for rows of more than one of these kinds, and for infinite numbers.
    """
    lines = read_text(path).splitlines()
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    blank = next((i for i, (number, _) in enumerate(numbered, 1) if number != i), None)
    if any(line.startswith("m") for _, line in numbered):
        return Truth(_masks(path, numbered), "mask", blank)
    values = _parsed_at_once([line for _, line in numbered])
    if values is None:
        values = _parsed_by_line(path, numbered)
    if values.shape[1] == POLYGON:
        return Truth(_without_absent(polygon_box(values)), "polygon", blank)
    return Truth(_without_absent(values), "box", blank)


def _parsed_at_once(lines: list[str]) -> Array | None:
    """N x 4 or N x 8, read by NumPy, which is fast for millions of rows; None if any line is unusual."""
    if not lines:
        return None
    try:
        values = np.loadtxt(lines, delimiter="," if "," in lines[0] else None, comments=None, ndmin=2)
    except ValueError:
        return None
    return values if values.shape[1] in (BOX, POLYGON) and not np.isinf(values).any() else None


def _parsed_by_line(path: Path, numbered: list[tuple[int, str]]) -> Array:
    """The same, read line by line. Raises UserError naming the line that cannot be used."""
    rows, length = [], 0
    for number, line in numbered:
        row = _numbers(path, number, line)
        if not all(math.isnan(value) for value in row):  # VOT writes absent polygons as four NaN
            if length and len(row) != length:
                raise UserError(f"'{path}' line {number} has {len(row)} numbers and the rows before it {length}")
            length = len(row)
        rows.append(row)
    length = length or BOX
    return np.array([row if len(row) == length else [np.nan] * length for row in rows]).reshape(-1, length)


def read_values(path: Path, count: int, highest: int) -> Array:
    """One integer 0..highest for each of `count` frames, separated by commas or white space.

    Raises UserError for anything else, naming the file and the value.
    """
    words = read_text(path).replace(",", " ").split()
    try:
        values: Array = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise UserError(f"'{path}' contains something other than numbers: {error}") from None
    if len(values) != count:
        raise UserError(f"'{path}' has {len(values)} values for {count} frames: it needs one per frame")
    wrong = ~((values >= 0) & (values <= highest) & (values == np.floor(values)))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise UserError(f"'{path}' value {index + 1} is {words[index]}: whole numbers from 0 to {highest} are expected")
    return values


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"'{path}' is not a text file: numbers as text are expected, one row per frame") from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None


def _numbers(path: Path, number: int, line: str) -> list[float]:
    fields = line.rstrip(", \t").split(",") if "," in line else line.split()
    try:
        row = [float(field) for field in fields]
    except ValueError:
        raise UserError(f"'{path}' line {number} is not x,y,w,h: '{line[:60]}'") from None
    if len(row) not in (BOX, POLYGON):
        raise UserError(
            f"'{path}' line {number} is not x,y,w,h: '{line[:60]}' has {len(row)} numbers, where a box has {BOX} and a "
            f"polygon {POLYGON}"
        )
    if math.inf in row or -math.inf in row:
        raise UserError(f"'{path}' line {number} has an infinite number: '{line[:60]}'")
    return row


def _masks(path: Path, numbered: list[tuple[int, str]]) -> Array:
    boxes = []
    for number, line in numbered:
        try:
            absent = not line.startswith("m") and np.isnan(_numbers(path, number, line)).all()
            boxes.append((None if absent else mask_box(line)) or [np.nan] * 4)
        except ValueError as error:
            raise UserError(f"'{path}' line {number} is not a mask of VOT ({error}): '{line[:40]}'") from None
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _without_absent(boxes: Array) -> Array:
    """The boxes, with NaN for those without size or with a NaN."""
    there = np.logical_and(np.isfinite(boxes).all(axis=1), (boxes[:, 2:] > 0).all(axis=1))
    return np.where(np.asarray(there)[:, None], boxes, np.nan)
