"""cv2.VideoWriter that keeps every row and column and notices a full disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.stream.captures import is_file_complete
from sot_tracker.tracker import Image

VIDEO_CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Suffix -> codec; the suffix chooses the container."""


def require_suffix(path: Path, flag: str) -> None:
    """Raises UserError unless the suffix is a known video's."""
    if path.suffix.lower() not in VIDEO_CODECS:
        raise UserError(f"{flag} '{path}' has no known video suffix: give one of {', '.join(VIDEO_CODECS)}")


class VideoWriter:
    """Writes frames of one size. Frames of odd size get one more row or column, a copy of the last.

    name: of the file for messages. Raises UserError if the file cannot be made.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], name: str) -> None:
        self._path, self._name, self._size, self._count = path, name, size, 0
        self._even = (size[0] + size[0] % 2, size[1] + size[1] % 2)  # the codecs halve the colours' resolution
        codec = cv2.VideoWriter.fourcc(*VIDEO_CODECS[path.suffix.lower()])
        self._writer: Any = cv2.VideoWriter(str(path), codec, fps, self._even)
        if not self._writer.isOpened():
            raise UserError(f"{name} cannot be written: check the disk and permissions, or give an .avi file")

    def write(self, image: Image) -> None:
        """Raises UserError for a frame of another size, which OpenCV would drop without a word."""
        height, width = image.shape[:2]
        if (width, height) != self._size:
            raise UserError(f"{self._name}: a frame is {width}x{height}, and the video {self._size[0]}x{self._size[1]}")
        right, below = self._even[0] - width, self._even[1] - height
        if right or below:
            image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
        self._writer.write(image)
        self._count += 1

    def close(self) -> None:
        """Raises UserError if the file does not hold what was written: OpenCV does not report a full disk."""
        self._writer.release()
        check = cv2.VideoCapture(str(self._path)) if self._path.is_file() else None
        stored = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check is not None and check.isOpened() else 0
        if check is not None:
            check.release()
        if not is_file_complete(stored, self._count):
            raise UserError(f"{self._name}: {stored} of {self._count} frames could be stored: is the disk full?")
