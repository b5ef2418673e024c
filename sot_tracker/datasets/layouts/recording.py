"""Recordings (MCAP files, rosbag2 folders) with a topic of true boxes, as sequences."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sot_tracker.datasets.layouts.layout import Layout, Place, Topics, guarded
from sot_tracker.datasets.records import Refused, Sequence
from sot_tracker.errors import UserError
from sot_tracker.natural import natural
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.recordings import METADATA, ROS1, SUFFIXES, Recording
from sot_tracker.tracker import Image


def read_recordings(place: Place) -> Iterator[Sequence | Refused]:
    """The sequence of each recording: a folder that is one, or each file in it."""
    if METADATA in place.files:
        yield from guarded(place.folder.name, partial(_sequence, place.folder, place.topics))
        return
    for name in sorted((name for name in place.files if name.endswith((*SUFFIXES, ROS1))), key=natural):
        yield from guarded(name, partial(_sequence, place.folder / name, place.topics))


def _sequence(path: Path, topics: Topics) -> Sequence:
    """It begins with the first frame in which the target is. Raises UserError."""
    recording = Recording(path, topics.image)
    try:
        truth = recording.truth(topics.truth)
        if truth is None:
            raise UserError(
                f"{recording.name} has no topic of true boxes (Detection2D called truth or ground_truth): "
                "give its name with --truth-topic"
            )
        times = recording.times()
    finally:
        recording.close()
    there = ~np.isnan(truth.boxes[:, 0])
    if not there.any():
        raise UserError(
            f"{recording.name}: no true box has the stamp of a frame of {recording.topic}: choose other topics with "
            "--topic and --truth-topic"
        )
    first = int(np.argmax(there))
    numbers = np.arange(first, len(times))
    return Sequence(
        layout=FILES.name,
        own_name=path.stem if path.is_file() else path.resolve().name,
        frames=tuple(path / f"{number:06d}" for number in numbers),
        truth=truth.boxes[first:],
        visible=there[first:],
        known=truth.known[first:],
        numbers=numbers,
        group=path.stem,
        source=FILES.name,
        reader=RecordedPictures(path, recording.topic, times[first:]),
    )


class RecordedPictures:
    """Pictures of a recording by index; one after the other they are read without seeking. Can be pickled."""

    _recording: Recording | None
    _frames: Iterator[Frame] | None
    _range16: Range16 | None
    _next: int

    def __init__(self, path: Path, topic: str, times: npt.NDArray[np.int64]) -> None:
        """times: N, when each frame was recorded."""
        self._path, self._topic, self._times = path, topic, times
        self._forget()

    def __call__(self, index: int, range16: Range16 | None = None) -> Image:
        """Raises UserError, naming the recording, for a frame that cannot be decoded."""
        limits = range16 or Range16()
        if self._frames is None or index != self._next or limits is not self._range16:
            self._seek(index, limits)
        assert self._frames is not None
        frame = next(self._frames)
        self._next = index + 1
        try:
            return frame.image
        except UserError as error:
            raise UserError(f"frame {index} of {self._path.name}: {error}") from None
        finally:
            if self._next == len(self._times):
                self._close()

    def _seek(self, index: int, range16: Range16) -> None:
        self._close()
        time = int(self._times[index])
        self._recording, self._range16 = Recording(self._path, self._topic), range16
        frames = self._recording.since(time, range16)
        for _ in range(index - int(np.argmax(self._times == time))):  # frames recorded in the same instant
            next(frames)
        self._frames = frames

    def _close(self) -> None:
        if self._recording is not None:
            self._recording.close()
        self._forget()

    def _forget(self) -> None:
        self._recording = self._frames = self._range16 = None
        self._next = 0

    def __getstate__(self) -> tuple[Path, str, npt.NDArray[np.int64]]:
        return self._path, self._topic, self._times

    def __setstate__(self, state: tuple[Path, str, npt.NDArray[np.int64]]) -> None:
        self._path, self._topic, self._times = state
        self._forget()


def _is_folder_of_one(place: Place) -> bool:
    return METADATA in place.files and any(SUFFIXES[0] in name or SUFFIXES[1] in name for name in place.files)


FOLDER_OF_ONE = Layout("recording", f"{METADATA} of rosbag2", _is_folder_of_one, read_recordings, whole=False)
FILES = Layout(
    "recording", "*.mcap or *.db3", lambda place: any(name.endswith(SUFFIXES) for name in place.files), read_recordings
)
