"""Writes a data set in the list layout (`layouts/annotation_list.py`): pictures, and one line for each."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext, suppress
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
_MARKER = ".sot_tracker-label"
"""File in a folder that is being written. If that was killed, the folder may be written again."""


Row = dict[str, Any]
"""The entry of one picture in the list, without its objects."""


class ListWriter:
    """Writes a new data set to `folder`, which is made where missing. It is a context manager; the list is written at
    the end of the block, also if an error or Ctrl-C ends it: then of what was added until there.

    pictures, boxes: how many were added. complete: whether the list was written. Raises UserError if the folder has a
    list or other files already, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"'{folder}' is a file: give a new folder")
        if (folder / FILE).exists():
            raise UserError(f"'{folder}' holds a data set already: give a new folder")
        self._marker = folder / _MARKER
        if folder.is_dir() and not self._marker.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
            raise UserError(f"'{folder}' holds other files: give a new folder")
        self.folder, self.boxes, self.complete = folder, 0, False
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
        write_text(self._marker, "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rows:
            lines = (json.dumps(self._rows[file]) for file in sorted(self._rows))
            with suppress(UserError) if kind else nullcontext():  # the first error is reported
                write_text(self.folder / FILE, "".join(f"{line}\n" for line in lines))
                self.complete = True
        with suppress(OSError):  # the folder is gone
            if self.complete or list(self.folder.iterdir()) == [self._marker]:
                self._marker.unlink()
                if not self.complete:
                    self.folder.rmdir()


def picture_name(video: str, number: int) -> str:
    """The file name of a frame; the list layout takes the name of the source from it."""
    return f"{source_name(video)}_{number:06d}.jpg"


def write_picture(folder: Path, video: str, number: int, image: Image) -> Row:
    """Write one frame, BGR pixels, as JPEG; raises UserError if it cannot be written."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    file = picture_name(video, number)
    write_bytes(folder / file, data.tobytes())
    height, width = image.shape[:2]
    return {"file": file, "width": width, "height": height, "video": source_name(video), "frame": number}


def source_name(video: str) -> str:
    """The name of a video in the list: its file name without suffix and special characters."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", Path(video).stem)  # "_" ends the source's name in the list layout
