"""Annotated sequences in the layouts of GOT-10k, OTB, LaSOT and of a plain folder of frames."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.sources import list_frames

TRUTH_FILES = ("groundtruth.txt", "groundtruth_rect.txt")
_LABELS = {  # file -> whether a zero in it means that the target shows
    "absence.label": True,  # GOT-10k: 1 = absent
    "cover.label": False,  # GOT-10k: eighths of the target that show, 0..8
    "full_occlusion.txt": True,  # LaSOT
    "out_of_view.txt": True,  # LaSOT
}

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sequence:
    """A folder of frames with one target.

    name: path below the data folder. frames: N files in order. truth: N x 4, x, y, w, h in pixels, of no meaning where
    the target is absent. visible: N, whether the target is there and shows.
    """

    name: str
    frames: tuple[Path, ...]
    truth: Array
    visible: Mask

    @property
    def first_box(self) -> Box:
        return Box.from_xywh(self.truth[0])


def find_sequences(data: Path) -> list[Sequence]:
    """Every folder at or below `data` that has a truth file, by name.

    Raises UserError if there is none, or one is damaged: frames missing, rows that are not four numbers, another number
    of rows than frames, no target in the first frame.
    """
    if not data.is_dir():
        raise UserError(f"data folder '{data}' does not exist: give a folder of sequences")
    folders = sorted(_folders_with_truth(data))
    if not folders:
        raise UserError(
            f"no {' or '.join(TRUTH_FILES)} in '{data}' or its subfolders: give a folder of annotated sequences"
        )
    return [read_sequence(folder, sequence_name(folder, data)) for folder in folders]


def _folders_with_truth(data: Path) -> Iterator[Path]:
    """Also through links, each folder once."""
    seen = set()
    for place, subfolders, files in os.walk(data, followlinks=True):
        if (real := Path(place).resolve()) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        if any(name in files for name in TRUTH_FILES):
            yield Path(place)


def sequence_name(folder: Path, data: Path) -> str:
    return folder.resolve().name if folder == data else folder.relative_to(data).as_posix()


def read_sequence(folder: Path, name: str) -> Sequence:
    """The sequence in that folder. Raises UserError as `find_sequences`."""
    frames, truth_file = tuple(list_frames(folder)), truth_file_of(folder)
    if not frames:
        raise UserError(f"sequence '{folder}' has no frames: pictures are expected in it or in its folder img")
    if truth_file is None:
        raise UserError(f"sequence '{folder}' has no {' or '.join(TRUTH_FILES)}")
    truth = read_truth(truth_file)
    if len(truth) != len(frames):
        raise UserError(f"'{truth_file}' has {len(truth)} rows for {len(frames)} frames: it needs one row per frame")
    visible: Mask = np.logical_and(np.isfinite(truth).all(axis=1), (truth[:, 2:] > 0).all(axis=1))
    if not visible[0]:
        raise UserError(f"'{truth_file}' has no target in the first frame: cut the sequence so that it begins with one")
    for label, zero_shows in _LABELS.items():
        if (folder / label).is_file():
            visible &= (_read_labels(folder / label, len(frames)) == 0) == zero_shows
    return Sequence(name, frames, truth, visible)


def truth_file_of(folder: Path) -> Path | None:
    return next((folder / name for name in TRUTH_FILES if (folder / name).is_file()), None)


def read_truth(path: Path) -> Array:
    """N x 4 from lines of x, y, w, h, divided by comma, tab or space. Raises UserError naming the line."""
    rows = []
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(Box.parse(line).xywh)
        except UserError:
            raise UserError(f"'{path}' line {number} is not x,y,w,h: '{line.strip()[:60]}'") from None
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"'{path}' is no text: numbers as text are expected, one row per frame") from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}") from None


def _read_labels(path: Path, count: int) -> Array:
    try:
        values = np.array([float(v) for v in re.split(r"[,\s]+", _read_text(path).strip()) if v])
    except ValueError as error:
        raise UserError(f"'{path}' holds something else than numbers: {error}") from None
    if len(values) != count:
        raise UserError(f"'{path}' has {len(values)} values for {count} frames: it needs one per frame")
    return values
