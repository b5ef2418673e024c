"""Where `sot-tracker track` puts its boxes: a video, a table, a window."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.draw import draw_estimate
from sot_tracker.tracker import Estimate, Image

if TYPE_CHECKING:
    from typing_extensions import Self

VIDEO_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
CSV_COLUMNS = ("frame", "x", "y", "w", "h", "score", "state", "ms")
_QUIT_KEYS = (27, ord("q"))


class Output(Protocol):
    """Takes frames in order. `path` is the file written, None for a window."""

    path: Path | None

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def write(self, image: Image, estimate: Estimate) -> bool:
        """Whether more is wanted."""


class VideoFile:
    """A video with the boxes drawn in. Raises UserError for an unknown suffix or a place that cannot be written."""

    def __init__(self, path: Path, name: str, fps: float, size: tuple[int, int]) -> None:
        if path.suffix.lower() not in VIDEO_CODECS:
            raise UserError(f"--save '{path}' has no known video suffix: give one of {', '.join(VIDEO_CODECS)}")
        _require_folder(path, "--save")
        self.path: Path | None = path
        self._name = name
        codec = cv2.VideoWriter.fourcc(*VIDEO_CODECS[path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(path), codec, fps, size)
        if not self._writer.isOpened():
            raise UserError(f"--save '{path}' cannot be written: check the disk and permissions, or give an .avi file")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.release()

    def write(self, image: Image, estimate: Estimate) -> bool:
        self._writer.write(draw_estimate(image, estimate, self._name))
        return True


class CsvFile:
    """One line per frame, `CSV_COLUMNS`; frames count from 0, ms is the time in the tracker, empty for the first."""

    def __init__(self, path: Path) -> None:
        _require_folder(path, "--csv")
        self.path: Path | None = path
        try:
            self._file = path.open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--csv '{path}' cannot be written: {error.strerror}") from None
        self._writer = csv.writer(self._file)
        self._writer.writerow(CSV_COLUMNS)
        self._frame = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, image: Image, estimate: Estimate) -> bool:
        box = [f"{v:.3f}" for v in estimate.box.xywh]
        ms = f"{sum(estimate.times.values()):.3f}" if estimate.times else ""
        self._writer.writerow([self._frame, *box, f"{estimate.score:.4f}", estimate.state.value, ms])
        self._frame += 1
        return True


class Window:
    """A live view that ends on q or Esc. Raises UserError without a display."""

    path: Path | None = None

    def __init__(self, name: str) -> None:
        require_display("--show")
        self._name = name
        self._title = f"{name} - q ends"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        cv2.destroyAllWindows()

    def write(self, image: Image, estimate: Estimate) -> bool:
        cv2.imshow(self._title, draw_estimate(image, estimate, self._name))
        return (cv2.waitKey(1) & 0xFF) not in _QUIT_KEYS


def select_box(image: Image) -> Box:
    """Let the user draw the box. Raises UserError without a display, or if nothing was drawn."""
    require_display("drawing the box in a window")
    title = "draw the target, then Enter (c cancels)"
    rect = cv2.selectROI(title, image, showCrosshair=False)
    cv2.destroyAllWindows()
    box = Box.from_xywh(rect)
    if not box.is_valid:
        raise UserError("no box was drawn: draw one, or give --box x,y,w,h")
    return box


def require_display(needed_for: str) -> None:
    """Raises UserError where no window can be opened."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError(f"{needed_for} needs a display, and there is none: give --box x,y,w,h, and --save to see it")
    if not has_windows():
        raise UserError(
            f"{needed_for} needs windows, and this OpenCV is headless: give --box x,y,w,h, "
            "or `pip uninstall opencv-contrib-python-headless && pip install opencv-contrib-python`"
        )


def has_windows() -> bool:
    """Whether this OpenCV was built with a window system."""
    return any(
        line.split(":")[1].strip() != "NONE"
        for line in cv2.getBuildInformation().splitlines()
        if line.strip().startswith("GUI:")
    )


def _require_folder(path: Path, flag: str) -> None:
    if not path.parent.is_dir():
        raise UserError(f"{flag} '{path}': the folder '{path.parent}' does not exist, make it first")
    if path.is_dir():
        raise UserError(f"{flag} '{path}' is a folder: give a file name")
