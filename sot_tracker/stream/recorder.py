"""Flight recorder: keeps the messages of the last seconds in limited memory, and writes them to a file on request.

No call blocks: pictures are encoded and files are written in threads of the recorder.
"""

from __future__ import annotations

import queue
import re
import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from sot_tracker.errors import UserError
from sot_tracker.stream.bag_types import types
from sot_tracker.stream.bag_writer import BagWriter
from sot_tracker.stream.encodings import FrameError

Warn = Callable[[str, str], None]
"""warn(kind, text)"""

PREFIX = "flight"
_PENDING = 4
"""Number of pictures that may wait to be encoded; further ones are left out."""
_OVERHEAD = 200
"""Bytes of overhead per message, in memory and in the file."""


class Entry(NamedTuple):
    """A serialized message. time: of recording, nanoseconds."""

    time: int
    topic: str
    data: bytes | memoryview

    @property
    def nbytes(self) -> int:
        return len(self.data) + _OVERHEAD


@dataclass(frozen=True, slots=True)
class Limits:
    """seconds: how long messages are kept. memory: bytes of the kept messages. disk: bytes of all files in the folder.

    pause: smallest number of seconds between two automatic dumps.
    """

    seconds: float
    memory: int
    disk: int
    pause: float = 20.0


class Recent:
    """The newest messages, oldest first, within limits of time and bytes. May be used by several threads."""

    def __init__(self, seconds: float, limit: int) -> None:
        self._entries: deque[Entry] = deque()
        self._span, self._limit = int(seconds * 1e9), limit
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        """Add a message. If time jumps back by more than the kept seconds, as in a recording that is repeated, the
        earlier messages are dropped.
        """
        with self._lock:
            if self._entries and entry.time < self._entries[-1].time - self._span:
                self._entries.clear()
                self._bytes = 0
            self._entries.append(entry)
            self._bytes += entry.nbytes
            while self._entries and (
                self._bytes > self._limit or self._entries[0].time < self._entries[-1].time - self._span
            ):
                self._bytes -= self._entries.popleft().nbytes

    @property
    def nbytes(self) -> int:
        return self._bytes

    def copy(self) -> list[Entry]:
        """The messages sorted by time, since pictures are added later, when they have been encoded."""
        with self._lock:
            return sorted(self._entries, key=lambda entry: entry.time)


class FlightRecorder:
    """Keeps messages of known topics, and dumps them into MCAP files of `folder`.

    name: of the node, for file names. topics: name -> type in `bag_types`. warn: called once for each kind of failure
    until a dump succeeds again. Raises MissingPackage without rosbags.
    """

    def __init__(self, folder: Path, name: str, topics: Mapping[str, str], limits: Limits, warn: Warn) -> None:
        types()  # raises MissingPackage without rosbags
        self._folder, self._topics, self._limits, self._warn = folder, dict(topics), limits, warn
        self._name = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        self._recent = Recent(limits.seconds, limits.memory)
        self._warned: set[str] = set()
        try:
            self._require_folder()
        except UserError as error:  # the folder may be created later
            self._warn_once(str(error))
        self._last_dump: int | None = None
        self._pictures: queue.Queue[tuple[int, str, Callable[[], bytes | memoryview]] | None] = queue.Queue(_PENDING)
        self._encoder = threading.Thread(target=self._encode, name="flight recorder", daemon=True)
        self._encoder.start()
        self._writer = ThreadPoolExecutor(1, "flight recorder file")
        self._writing: Future[None] | None = None
        self.left_out = 0
        """Number of pictures that were left out because the encoding was too slow."""

    @property
    def nbytes(self) -> int:
        """Memory of the kept messages in bytes."""
        return self._recent.nbytes

    def add(self, topic: str, time: int, data: bytes | memoryview) -> None:
        self._recent.add(Entry(time, topic, data))

    def add_later(self, topic: str, time: int, make: Callable[[], bytes | memoryview]) -> None:
        """Add a message that `make` creates in another thread; left out if that thread is too slow.

        `make` may raise FrameError.
        """
        try:
            self._pictures.put_nowait((time, topic, make))
        except queue.Full:
            self.left_out += 1

    def dump(self, reason: str) -> Path:
        """Begin to write all kept messages. Returns the path at which the file will appear.

        Raises UserError if that is not possible now.
        """
        if self._writing is not None and not self._writing.done():
            raise UserError("the last recording is still being written: ask again in a second")
        self._require_folder()
        entries = self._recent.copy()
        if not entries:
            raise UserError("nothing was recorded yet")
        self._last_dump = entries[-1].time
        moment = datetime.fromtimestamp(entries[-1].time * 1e-9, timezone.utc)
        path = self._folder / f"{PREFIX}_{self._name}_{moment:%Y%m%d-%H%M%S-%f}_{reason}.mcap"
        self._writing = self._writer.submit(self._write, path, entries)
        return path

    def dump_automatically(self, reason: str, time: int) -> Path | None:
        """An automatic `dump`, at most one per pause. Returns None if nothing is written. Failures are logged.

        time: now, as in `add`.
        """
        if self._last_dump is not None and 0 <= time - self._last_dump < self._limits.pause * 1e9:
            return None
        try:
            return self.dump(reason)
        except UserError as error:
            self._warn_once(str(error))
            return None

    def close(self) -> None:
        """Finish a file that is being written, and end the threads."""
        self._pictures.put(None)
        self._encoder.join()
        self._writer.shutdown()

    def _encode(self) -> None:
        while (item := self._pictures.get()) is not None:
            time, topic, make = item
            try:
                self.add(topic, time, make())
            except FrameError:  # reported by the node
                continue
            except Exception as error:  # an error of OpenCV must not end the thread
                self._warn_once(f"a frame cannot be encoded: {' '.join(str(error).split())[:200]}")

    def _write(self, path: Path, entries: list[Entry]) -> None:
        try:
            self._make_room(sum(entry.nbytes for entry in entries))
            writer = BagWriter(path, f"a flight recording in '{self._folder}'")
            try:
                for topic, kind in self._topics.items():
                    writer.add_topic(topic, kind)
                for entry in entries:
                    writer.write(entry.topic, entry.time, entry.data)
                writer.keep()
            except BaseException:
                writer.discard()
                raise
            self._warned.clear()
        except UserError as error:
            self._warn_once(str(error))
        except OSError as error:
            self._warn_once(f"flight recordings in '{self._folder}' cannot be kept: {error.strerror or error}")
        except Exception as error:  # of rosbags: nothing reads the result of this thread
            self._warn_once(f"a flight recording failed: {' '.join(f'{type(error).__name__}: {error}'.split())[:200]}")

    def _require_folder(self) -> None:
        if not self._folder.is_dir():
            raise UserError(f"the folder '{self._folder}' for flight recordings does not exist: make it")

    def _make_room(self, wanted: int) -> None:
        """Delete the oldest recordings until another one of that size fits, and unfinished ones of killed processes."""
        for left in self._folder.glob(f".{PREFIX}_{self._name}_*.part"):
            shutil.rmtree(left, ignore_errors=True)
        if wanted > self._limits.disk:
            raise UserError(f"a flight recording of {wanted >> 20} MiB is larger than its disk limit: raise the limit")
        files = sorted(self._folder.glob(f"{PREFIX}_*.mcap"), key=lambda path: path.stat().st_mtime_ns)
        sizes = {path: path.stat().st_size for path in files}
        free = self._limits.disk - wanted - sum(sizes.values())
        for path in files:
            if free >= 0:
                break
            path.unlink()
            free += sizes[path]

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn("flight recorder", text)
