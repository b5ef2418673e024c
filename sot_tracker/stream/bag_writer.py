"""Writes MCAP files as rosbag2 does, but without ROS. They contain all message definitions, so any tool can read
them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sot_tracker.errors import UserError
from sot_tracker.stream.bag_types import missing_rosbags, types


class BagWriter:
    """Writes messages into an MCAP file, which appears under its name when `keep` is called.

    Until then it is in a hidden folder next to that place. name: the file's name in error messages. Raises UserError if
    it cannot be written, for example on a full disk; MissingPackage without rosbags.
    """

    def __init__(self, path: Path, name: str) -> None:
        try:
            from rosbags.rosbag2 import StoragePlugin, Writer
        except ModuleNotFoundError:
            raise missing_rosbags() from None
        self._path, self._name = path, name
        self._place = path.with_name(f".{path.stem[:100]}.part")
        folder = self._place / path.stem  # rosbags names the file after this, and writes the name into the file
        self._topics: dict[str, Any] = {}
        with self._explained():
            shutil.rmtree(self._place, ignore_errors=True)  # left by a run that was killed
            self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()

    def add_topic(self, topic: str, kind: str) -> None:
        """Declare a topic; `kind` is a type of `bag_types`."""
        with self._explained():
            self._topics[topic] = self._writer.add_connection(topic, kind, typestore=types())

    def write(self, topic: str, stamp: int, data: bytes | memoryview) -> None:
        """Write a serialized message. stamp: time of recording, nanoseconds; negative ones are written as 0."""
        with self._explained():
            self._writer.write(self._topics[topic], max(stamp, 0), data)

    def keep(self) -> None:
        """Finish the file and move it into place."""
        with self._explained():
            self._writer.close()
            next(self._place.glob("*/*.mcap")).replace(self._path)
        self._remove()

    def discard(self) -> None:
        """Remove what was written; what had the name before stays."""
        with suppress(OSError):  # a full disk was reported already; the rest of the file must go
            self._writer.abort()
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self._name} cannot be written: {error.strerror or error}") from None
