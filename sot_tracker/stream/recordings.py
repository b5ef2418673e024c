"""Reads frames from recordings without ROS: MCAP files, and rosbag2 folders (MCAP or SQLite, compressed or not)."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.errors import UserError, did_you_mean
from sot_tracker.stream.bag_types import COMPRESSED, DETECTION, IMAGE, missing_rosbags, types
from sot_tracker.stream.encodings import FrameError, compressed_picture, raw_picture
from sot_tracker.stream.frame import Frame, unreadable
from sot_tracker.stream.range16 import Range16

log = logging.getLogger(__name__)

SUFFIXES = (".mcap", ".db3")
METADATA = "metadata.yaml"
ROS1 = ".bag"
_TRUTH_NAMES = ("truth", "ground_truth", "groundtruth")
_DRAWN = ("debug_image", "debug_image/compressed")
_DEFAULT_FPS = 30.0
_STAMP_BYTES = 12
"""Bytes of a serialized message up to the end of its stamp: encapsulation (4), seconds (4), nanoseconds (4)."""
_MEASURED = 30
"""Number of frames from whose stamps the frame rate is measured."""


def is_recording(path: Path) -> bool:
    """Whether the path is a recording's file or folder, judged by file names alone."""
    if path.is_dir():
        return (path / METADATA).is_file()
    return path.suffix in (*SUFFIXES, ROS1)


@dataclass(frozen=True, eq=False)
class Truth:
    """The true boxes of N frames.

    boxes: N x 4, x, y, w, h in pixels; NaN if the target is absent or nothing is known. known: N, whether there is a
    message about the frame; a message with an empty box means that the target is absent.
    """

    boxes: npt.NDArray[np.float64]
    known: npt.NDArray[np.bool_]


class MessageError(UserError):
    """A message in a recording that cannot be deserialized as its topic's type."""


class Recording:
    """The frames of one image topic in the order in which they were recorded, with the stamps of their headers.

    A frame without stamp gets the time of recording. Reading the `image` of a damaged frame raises FrameError.
    topic: empty if there is only one. range16: values of 16-bit pictures that become black and white.
    Raises UserError if the recording cannot be read, if the topic does not exist, or if there are several and none was
    given; MissingPackage without rosbags.
    """

    live = False

    def __init__(self, path: Path, topic: str = "", range16: Sequence[float] = ()) -> None:
        self.name = path.resolve().name
        self.files: Sequence[Path] = tuple(sorted(path.iterdir())) if path.is_dir() else (path,)
        self._range16 = tuple(range16)
        self._bag = Bag(path)
        self.topic = self._bag.choose((IMAGE, COMPRESSED), topic, "--topic", "image")
        self.length = self._bag.count(self.topic)
        stamps, self.size = self._read_first_frames()
        gaps = np.diff(stamps)
        gaps = gaps[gaps > 0]
        self.fps = float(1e9 / np.median(gaps)) if gaps.size else _DEFAULT_FPS

    def _read_first_frames(self) -> tuple[list[int], tuple[int, int]]:
        """Stamps of the first frames, and the size of the first that can be decoded."""
        stamps: list[int] = []
        size: tuple[int, int] | None = None
        damage: FrameError | None = None
        for frame in self:
            stamps.append(frame.stamp)
            if size is None:
                try:
                    size = (frame.image.shape[1], frame.image.shape[0])
                except FrameError as error:
                    damage = damage or error
            if size is not None and len(stamps) >= _MEASURED:
                break
        if size is None:
            raise UserError(f"{self.name}: no frame of {self.topic} can be used: {damage or 'there is none'}")
        return stamps, size

    def __iter__(self) -> Iterator[Frame]:
        return self.since(0, Range16(self._range16))  # a new one, so that every pass gives the same pixels

    def stamps(self) -> npt.NDArray[np.int64]:
        """Stamps of all N frames, nanoseconds. Nothing is decoded."""
        return np.array([stamp_of(data) or time for time, data in self._bag.raw(self.topic)], np.int64)

    def times(self) -> npt.NDArray[np.int64]:
        """Times at which all N frames were recorded, nanoseconds."""
        return np.array([time for time, _ in self._bag.raw(self.topic)], np.int64)

    def since(self, time: int, range16: Range16) -> Iterator[Frame]:
        """The frames that were recorded at that time and later."""
        for recorded, data in self._bag.raw(self.topic, time):
            try:
                frame = _frame(recorded, self._bag.message(self.topic, data), range16)
            except MessageError as error:
                frame = unreadable(stamp_of(data) or recorded, len(data), str(error))
            yield frame

    def truth(self, topic: str = "") -> Truth | None:
        """The true boxes from a topic of Detection2D with the stamps of the frames; None if there is no such topic.

        topic: empty for the only one called `truth`, `ground_truth` or `groundtruth` in any namespace.
        Raises UserError if the given topic does not exist, or if there are several and none was given.
        """
        known = [name for name in self._bag.topics((DETECTION,)) if name.rpartition("/")[2] in _TRUTH_NAMES]
        if not topic and not known:
            return None
        if not topic and len(known) > 1:
            raise UserError(
                f"{self.name} has several topics of true boxes: give one with --truth-topic: {_list(known)}"
            )
        chosen = self._bag.choose((DETECTION,), topic or known[0], "--truth-topic", "Detection2D")
        stamps = self.stamps()
        boxes, seen = np.full((len(stamps), 4), np.nan), np.zeros(len(stamps), np.bool_)
        places = {int(stamp): index for index, stamp in enumerate(stamps)}
        for time, message in self._readable(chosen):
            index = places.get(_stamp(message.header) or time)
            if index is not None:
                box = box_of(message)
                seen[index] = True
                boxes[index] = box.xywh if box.is_valid else np.nan
        return Truth(boxes, seen)

    def _readable(self, topic: str) -> Iterator[tuple[int, Any]]:
        """The messages of a topic with their times. Damaged ones are skipped; one warning has their number."""
        damaged, reason = 0, ""
        for time, data in self._bag.raw(topic):
            try:
                message = self._bag.message(topic, data)
            except MessageError as error:
                damaged, reason = damaged + 1, reason or str(error)
                continue
            yield time, message
        if damaged:
            log.warning("%d messages of %s were left out: %s", damaged, topic, reason)

    def close(self) -> None:
        self._bag.close()


class Bag:
    """An open recording: its topics and messages. Raises UserError, naming the file, for whatever is wrong with it."""

    def __init__(self, path: Path) -> None:
        self._name = path.resolve().name
        if path.suffix == ROS1 and not path.is_dir():
            raise UserError(
                f"'{path}' is a recording of ROS 1: convert it to ROS 2 with `rosbags-convert --src {path.name} "
                "--dst FOLDER`"
            )
        try:
            from rosbags.rosbag2 import Reader
        except ModuleNotFoundError:
            raise missing_rosbags() from None
        with self._explained():
            self._reader = Reader(path)
            self._reader.open()

    def topics(self, kinds: Sequence[str]) -> dict[str, int]:
        """Name -> number of messages, for the topics of these types that have messages."""
        found: dict[str, int] = {}
        for connection in self._reader.connections:
            if connection.msgtype in kinds:
                found[connection.topic] = found.get(connection.topic, 0) + connection.msgcount
        return {name: count for name, count in sorted(found.items()) if count}

    def choose(self, kinds: Sequence[str], wanted: str, flag: str, what: str) -> str:
        """The wanted topic, or the only one of these types. Debug images are ignored if there are other topics."""
        found = list(self.topics(kinds))
        if wanted:
            name = wanted if wanted.startswith("/") else f"/{wanted}"
            if name in found:
                return name
            near = did_you_mean(name, found)
            raise UserError(f"{self._name} has no {what} topic {name}{near}; it has {_list(found) or 'none at all'}")
        originals = [name for name in found if not name.endswith(_DRAWN)] or found
        if not originals:
            if empty := sorted({c.topic for c in self._reader.connections if c.msgtype in kinds}):
                raise UserError(f"{self._name} has no {what}: nothing was recorded on {_list(empty)}")
            others = ", ".join(sorted({c.topic for c in self._reader.connections})) or "nothing"
            raise UserError(f"{self._name} has no {what} topic, only {others}")
        if len(originals) > 1:
            raise UserError(f"{self._name} has several {what} topics: give one with {flag}: {_list(originals)}")
        return originals[0]

    def count(self, topic: str) -> int:
        return self.topics(tuple({c.msgtype for c in self._of(topic)}))[topic]

    def raw(self, topic: str, since: int = 0) -> Iterator[tuple[int, bytes]]:
        """Time of recording in nanoseconds and serialized message, in order, recorded at the time `since` or later."""
        with self._explained():
            for _, time, data in self._reader.messages(self._of(topic), start=since or None):
                yield time, data

    def message(self, topic: str, data: bytes) -> Any:
        """Deserialize a message of that topic. Raises MessageError if it is damaged."""
        store, kind = types(), self._of(topic)[0].msgtype
        try:
            return store.deserialize_cdr(data, kind)
        except Exception as error:  # of many libraries, as in `_explained`
            raise MessageError(f"a message of {topic} in {self._name} is damaged ({_reason(error)})") from None

    def close(self) -> None:
        if self._reader.is_open:
            self._reader.close()

    def _of(self, topic: str) -> list[Any]:
        return [connection for connection in self._reader.connections if connection.topic == topic]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Convert errors to UserError. Only for calls of rosbags, which raises errors of many libraries."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"recording '{self._name}' cannot be read ({_reason(error)}): if it was cut off, repair it with "
                "`mcap recover` or `ros2 bag reindex`"
            ) from None


def box_of(message: Any) -> Box:
    """The box of a Detection2D, also of vision_msgs before version 4."""
    center = message.bbox.center
    position = getattr(center, "position", center)
    return Box.from_cxcywh(position.x, position.y, message.bbox.size_x, message.bbox.size_y)


def stamp_of(data: bytes) -> int:
    """The stamp in nanoseconds, read from the header of a serialized message; 0 if the message is too short."""
    if len(data) < _STAMP_BYTES:
        return 0
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def _stamp(header: Any) -> int:
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _frame(time: int, message: Any, range16: Range16) -> Frame:
    stamp = _stamp(message.header) or time
    if hasattr(message, "format"):
        data, text = message.data, message.format
        return Frame(stamp, lambda: compressed_picture(data, text, range16), data.nbytes, None, text, message.header)
    size = (message.width, message.height)
    return Frame(
        stamp,
        lambda: raw_picture(message, range16)(),
        message.data.nbytes,
        size,
        message.encoding,
        message.header,
    )


def _list(topics: Sequence[str]) -> str:
    return ", ".join(topics)
