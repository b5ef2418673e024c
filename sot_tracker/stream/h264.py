"""Encodes H.264, which every browser plays: with PyAV if it is installed, else with the program ffmpeg if it exists."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sot_tracker.tracker import Image

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
_QUALITY = {"preset": "veryfast", "crf": "20"}


class Encoder(Protocol):
    """Writes frames of one even size. Raises OSError if they cannot be written."""

    def write(self, image: Image) -> None: ...
    def close(self) -> None: ...


def open_h264(path: Path, fps: float, size: tuple[int, int]) -> Encoder | None:
    """An encoder that writes that file, or None if none is installed. size: width and height, even."""
    av = _pyav()
    if av is not None and "libx264" in av.codecs_available:
        return PyAV(av, path, fps, size)
    program = shutil.which("ffmpeg")
    return Program(program, path, fps, size) if program and _has_x264(program) else None


class PyAV:
    """FFmpeg as a library."""

    def __init__(self, av: Any, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._av = av
        options = {} if path.suffix == ".mkv" else {"movflags": "faststart"}  # the index at the beginning
        self._container = av.open(str(path), "w", options=options)
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(65535))
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt, self._stream.options = "yuv420p", _QUALITY

    def write(self, image: Image) -> None:
        self._put(self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24"))

    def close(self) -> None:
        try:
            self._put(None)
        finally:
            with self._as_os_error():
                self._container.close()

    def _put(self, frame: Any) -> None:
        """Encode and write a frame; None writes the frames that are still in the encoder."""
        with self._as_os_error():
            self._container.mux(self._stream.encode(frame))

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        try:
            yield
        except self._av.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from None


class Program:
    """FFmpeg as a process that reads frames from a pipe."""

    def __init__(self, program: str, path: Path, fps: float, size: tuple[int, int]) -> None:
        quality = [word for name, value in _QUALITY.items() for word in (f"-{name}", value)]
        shape = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:.6f}", "-i", "-"]
        command = [program, "-y", "-loglevel", "error", *shape, "-c:v", "libx264", "-pix_fmt", "yuv420p", *quality]
        # In a session of its own, since Ctrl-C in the terminal would otherwise end it before the last frames are
        # written.
        self._process = subprocess.Popen(
            [*command, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def write(self, image: Image) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(np.ascontiguousarray(image).data)

    def close(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        finally:
            status = self._process.wait()
        if status:
            raise OSError(None, f"ffmpeg ended with status {status}")


def _pyav() -> Any | None:
    try:
        import av
    except ImportError:  # missing, or its libraries do not fit this system
        return None
    return av


def _has_x264(program: str) -> bool:
    try:
        listed = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "libx264" in listed.stdout
