"""Writes videos: in H.264 if an encoder is installed (browsers play it), in any size, with a check for a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.stream.captures import is_file_complete
from sot_tracker.stream.h264 import SUFFIXES, open_h264
from sot_tracker.tracker import Image

VIDEO_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Suffix -> codec; the suffix chooses the container."""


def require_suffix(path: Path, flag: str) -> None:
    """Raise UserError unless the suffix is one of `VIDEO_CODECS`."""
    if path.suffix.lower() not in VIDEO_CODECS:
        raise UserError(f"{flag} '{path}' has no known video suffix: give one of {', '.join(VIDEO_CODECS)}")


class VideoWriter:
    """Writes frames of one size, as H.264 if PyAV or ffmpeg is installed, else with OpenCV.

    Frames of odd size get one more row or column, a copy of the last. name: the file's name in error messages. Raises
    UserError if the file cannot be created.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], name: str) -> None:
        self._path, self._name, self._size, self._count = path, name, size, 0
        self._even = (size[0] + size[0] % 2, size[1] + size[1] % 2)  # codecs store colours at half the resolution
        self.note = ""
        """A remark about the file for the user; usually empty."""
        suffix = path.suffix.lower()
        with self._explained():
            encoder = open_h264(path, fps, self._even) if suffix in SUFFIXES else None
        if encoder is None and suffix in SUFFIXES:
            self.note = "MPEG-4 Part 2, which browsers do not play: `pip install av` or ffmpeg gives H.264"
        self._encoder = encoder or _OpenCV(path, VIDEO_CODECS[suffix], fps, self._even, name)

    def write(self, image: Image) -> None:
        """Raises UserError for a frame of another size, which OpenCV would drop silently."""
        height, width = image.shape[:2]
        if (width, height) != self._size:
            raise UserError(f"{self._name}: a frame is {width}x{height}, and the video {self._size[0]}x{self._size[1]}")
        right, below = self._even[0] - width, self._even[1] - height
        if right or below:
            image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        with self._explained():
            self._encoder.write(image)
        self._count += 1

    def close(self) -> None:
        """Raises UserError if the file does not hold what was written: OpenCV does not report a full disk."""
        with self._explained():
            self._encoder.close()
        check = cv2.VideoCapture(str(self._path)) if self._path.is_file() else None
        stored = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check is not None and check.isOpened() else 0
        if check is not None:
            check.release()
        if not is_file_complete(stored, self._count):
            raise UserError(f"{self._name}: {stored} of {self._count} frames could be stored: is the disk full?")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self._name} cannot be written: {error.strerror or error}") from None


class _OpenCV:
    """Writes a video with OpenCV, without H.264."""

    def __init__(self, path: Path, codec: str, fps: float, size: tuple[int, int], name: str) -> None:
        self._writer: Any = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
        if not self._writer.isOpened():
            raise UserError(f"{name} cannot be written: check the disk and permissions, or give an .avi file")

    def write(self, image: Image) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()
