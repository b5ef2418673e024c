"""Writes a data set in the list layout (`layouts/annotation_list.py`): pictures, and one line for each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2

from sot_tracker.atomic import write_bytes, write_text
from sot_tracker.box import Box
from sot_tracker.datasets.layouts.annotation_list import FILE
from sot_tracker.errors import UserError
from sot_tracker.tracker import Image

if TYPE_CHECKING:
    from typing_extensions import Self

QUALITY = 92
"""Quality of the JPEG pictures."""


Row = dict[str, Any]
"""The entry of one picture in the list, without its objects."""


class ListWriter:
    """Writes a new data set to `folder`. It is a context manager; the list is written at the end of the block.

    pictures, boxes: how many were added. Raises UserError if the folder has a list already or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"'{folder}' is a file: give a new folder")
        if (folder / FILE).exists():
            raise UserError(f"'{folder}' holds a data set already: give a new folder")
        self.folder, self.boxes = folder, 0
        self._rows: dict[str, Row] = {}

    @property
    def pictures(self) -> int:
        return len(self._rows)

    def add(self, video: str, number: int, image: Image, target: int, box: Box) -> None:
        """Add a target in a frame. image: BGR pixels, written once for all targets. number: of the frame, from 0."""
        row = self._rows.get(picture_name(video, number))
        self.add_written(row or write_picture(self.folder, video, number, image), target, box)

    def add_written(self, picture: Row, target: int, box: Box) -> None:
        """Add a target in a picture that `write_picture` has written."""
        row = self._rows.setdefault(picture["file"], {**picture, "objects": []})
        row["objects"].append({"id": target, "box": [round(value, 2) for value in box.xywh]})
        self.boxes += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._rows:
            lines = (json.dumps(self._rows[file]) for file in sorted(self._rows))
            write_text(self.folder / FILE, "".join(f"{line}\n" for line in lines))


def picture_name(video: str, number: int) -> str:
    """The file name of a frame; the list layout takes the name of the source from it."""
    return f"{_source(video)}_{number:06d}.jpg"


def write_picture(folder: Path, video: str, number: int, image: Image) -> Row:
    """Write one frame, BGR pixels, as JPEG; raises UserError if it cannot be written."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    file = picture_name(video, number)
    write_bytes(folder / file, data.tobytes())
    height, width = image.shape[:2]
    return {"file": file, "width": width, "height": height, "video": _source(video), "frame": number}


def _source(video: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", Path(video).stem)  # "_" ends the source's name in the list layout
