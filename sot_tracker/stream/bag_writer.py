"""MCAP files as rosbag2 writes them, without ROS: every topic with its definition, so that any tool can read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sot_tracker.errors import UserError
from sot_tracker.stream.bag_types import missing_rosbags, types


class BagWriter:
    """Writes messages into one MCAP file, which appears under its name when `keep` is called.

    Until then it is in a hidden folder beside it. name: of the file for messages. Raises UserError where it cannot be
    written, for example on a full disk; MissingPackage without rosbags.
    """

    def __init__(self, path: Path, name: str) -> None:
        try:
            from rosbags.rosbag2 import StoragePlugin, Writer
        except ModuleNotFoundError:
            raise missing_rosbags() from None
        self._path, self._name = path, name
        self._place = path.with_name(f".{path.stem[:100]}.part")
        folder = self._place / path.stem  # rosbags names the file after it, and writes that name into the file
        self._topics: dict[str, Any] = {}
        with self._explained():
            shutil.rmtree(self._place, ignore_errors=True)  # of a run that was killed
            self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()

    def add_topic(self, topic: str, kind: str) -> None:
        """Declare a topic of a type in `bag_types`."""
        with self._explained():
            self._topics[topic] = self._writer.add_connection(topic, kind, typestore=types())

    def write(self, topic: str, stamp: int, data: bytes | memoryview) -> None:
        """A serialized message. stamp: time of recording, nanoseconds; a file holds none before 1970: then it is 0."""
        with self._explained():
            self._writer.write(self._topics[topic], max(stamp, 0), data)

    def keep(self) -> None:
        """End the file and move it into place."""
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
