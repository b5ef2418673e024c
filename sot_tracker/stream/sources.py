"""Where frames come from: a video file, a folder of pictures, a camera or a stream address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.tracker import Image

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
DEFAULT_FPS = 30.0
"""Of folders, and of cameras and videos that do not tell theirs."""


class FrameSource(Protocol):
    """Frames in order. Iterating a file or a folder again starts from its beginning; a camera goes on.

    name: for messages and window titles. fps: frames per second. size: width, height in pixels.
    length: number of frames as the source tells it, None for a live one.
    """

    @property
    def name(self) -> str: ...
    @property
    def fps(self) -> float: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def length(self) -> int | None: ...

    def __iter__(self) -> Iterator[Image]:
        """H x W x 3 BGR frames. Raises UserError, naming the file, for one that cannot be read."""

    def close(self) -> None:
        """Free the device or file; iterating afterwards is an error for a camera."""


def open_source(text: str) -> FrameSource:
    """Open "clip.mp4", "folder/", "0" or "/dev/video0" (camera) or "rtsp://..." (stream).

    Raises UserError if it does not exist, cannot be read or holds no frame.
    """
    if re.fullmatch(r"\d+", text):
        return Camera(f"camera {text}", int(text))
    if re.match(r"[a-z]+://", text):
        return Camera(text, text)
    path = Path(text).expanduser()
    if path.is_char_device():
        return Camera(text, text)
    if path.is_dir():
        return Folder.of(path)
    if not path.exists():
        raise UserError(f"'{text}' does not exist: give a video file, a folder of pictures or a camera number")
    return Video(path)


def list_frames(folder: Path) -> list[Path]:
    """The pictures of that folder, or of its `img` (OTB, LaSOT) or `color` (VOT), "2.jpg" before "10.jpg"."""
    for place in (folder, folder / "img", folder / "color"):
        if place.is_dir():
            found = [p for p in place.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
            if found:
                return sorted(found, key=_natural)
    return []


def read_picture(path: Path) -> Image:
    """H x W x 3 BGR. Raises UserError if the file cannot be decoded."""
    try:
        data = np.fromfile(path, dtype=np.uint8)  # unlike cv2.imread, fine with any path on any system
    except OSError as error:
        raise UserError(f"picture '{path}' cannot be read: {error.strerror}") from None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise UserError(f"picture '{path}' cannot be decoded: it is damaged or no picture")
    return image  # type: ignore[return-value]


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.findall(r"\d+|\D+", path.stem)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts], path.name


@dataclass(frozen=True)
class Folder:
    """A folder of pictures, in natural order of their names."""

    name: str
    paths: tuple[Path, ...]
    size: tuple[int, int]
    fps: float = DEFAULT_FPS

    @classmethod
    def of(cls, folder: Path) -> Folder:
        paths = list_frames(folder)
        if not paths:
            raise UserError(f"folder '{folder}' holds no pictures ({', '.join(PICTURES)}): give one with frames")
        height, width = read_picture(paths[0]).shape[:2]
        return cls(folder.resolve().name, tuple(paths), (width, height))

    @property
    def length(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Image]:
        return map(read_picture, self.paths)

    def close(self) -> None:
        """Nothing is held open."""


class Video:
    """A video file. A frame that cannot be decoded ends it, as cut-off recordings do."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        capture = self._open()
        ok, frame = capture.read()
        self.fps, self.length = _fps(capture), _length(capture)
        capture.release()
        if not ok:
            raise UserError(f"video '{path}' holds no frame that can be decoded: it is empty or damaged")
        self.size = (int(frame.shape[1]), int(frame.shape[0]))

    def _open(self) -> Any:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise UserError(f"video '{self._path}' cannot be opened: it is damaged or of a format OpenCV cannot read")
        return capture

    def __iter__(self) -> Iterator[Image]:
        capture = self._open()
        try:
            while True:
                ok, frame = capture.read()
                if not ok:
                    return
                yield frame
        finally:
            capture.release()

    def close(self) -> None:
        """Each iteration closes its own file."""


class Camera:
    """A webcam by number or device, or a network stream; live, so without a length."""

    length = None

    def __init__(self, name: str, device: int | str) -> None:
        self.name = name
        self._capture = cv2.VideoCapture(device)
        ok, frame = self._capture.read()
        if not ok:
            self._capture.release()
            raise UserError(f"{name} gives no picture: check that it is connected, free and permitted to you")
        self.fps = _fps(self._capture)
        self.size = (int(frame.shape[1]), int(frame.shape[0]))

    def __iter__(self) -> Iterator[Image]:
        while True:
            ok, frame = self._capture.read()
            if not ok:
                return
            yield frame  # type: ignore[misc]

    def close(self) -> None:
        self._capture.release()


def _fps(capture: Any) -> float:
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    return fps if 0 < fps <= 1000 else DEFAULT_FPS


def _length(capture: Any) -> int | None:
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None
