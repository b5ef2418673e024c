"""Memory and disk of the flight recorder are bounded, its files can be read, and whatever fails is one warning."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="writes recordings")

from rosbags.rosbag2 import Reader

from sot_tracker.errors import UserError
from sot_tracker.stream import recorder as module
from sot_tracker.stream.bag_messages import header, jpeg
from sot_tracker.stream.bag_types import COMPRESSED
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.recorder import Entry, FlightRecorder, Limits, Recent

SECOND = 1_000_000_000
BEGAN = 1_700_000_000 * SECOND
TOPIC = "/image/compressed"
PICTURE = bytes(jpeg(np.zeros((24, 32, 3), np.uint8), header(BEGAN, "camera")))


class Setup:
    def __init__(self, folder: Path, seconds: float = 20.0, memory: int = 1 << 20, disk: int = 1 << 20) -> None:
        self.folder, self.warnings = folder, []
        limits = Limits(seconds, memory, disk)
        self.recorder = FlightRecorder(
            folder, "/ns/tracker_node", {TOPIC: COMPRESSED}, limits, lambda kind, text: self.warnings.append(text)
        )

    def add(self, second: float, data: bytes = PICTURE) -> None:
        self.recorder.add(TOPIC, BEGAN + round(second * SECOND), data)

    def dump(self, reason: str = "asked") -> Path:
        path = self.recorder.dump(reason)
        self.recorder._writing.result()
        return path

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def setup(tmp_path: Path):
    made: list[Setup] = []

    def make(**options: object) -> Setup:
        made.append(Setup(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.recorder.close()


def times_of(path: Path) -> list[float]:
    with Reader(path) as reader:
        return [(time - BEGAN) / SECOND for _, time, _ in reader.messages()]


# ---- memory


@pytest.mark.parametrize(
    ("seconds", "limit", "kept"),
    [
        (100, 10**6, [0, 1, 2, 3, 4, 5]),
        (2, 10**6, [3, 4, 5]),
        (100, 3 * (100 + 200), [3, 4, 5]),
        (100, 50, []),  # a message larger than all memory is not kept
    ],
)
def test_time_and_bytes_are_bounded(seconds: float, limit: int, kept: list[int]) -> None:
    recent = Recent(seconds, limit)
    for i in range(6):
        recent.add(Entry(i * SECOND, TOPIC, bytes(100)))
        assert recent.nbytes <= limit
    assert [entry.time // SECOND for entry in recent.copy()] == kept


def test_a_clock_that_jumps_back_begins_anew_and_late_messages_are_sorted_in() -> None:
    recent = Recent(5, 10**6)
    for second in (100, 103, 101, 3, 4):
        recent.add(Entry(second * SECOND, TOPIC, b""))
    assert [entry.time // SECOND for entry in recent.copy()] == [3, 4]
    late = Recent(5, 10**6)
    for second in (100, 103, 101):
        late.add(Entry(second * SECOND, TOPIC, b""))
    assert [entry.time // SECOND for entry in late.copy()] == [100, 101, 103]


def test_frames_that_come_too_fast_are_left_out(setup) -> None:
    one, go, began = setup(), threading.Event(), threading.Event()

    def slow() -> bytes:
        began.set()
        go.wait(10)
        return PICTURE

    one.recorder.add_later(TOPIC, BEGAN, slow)
    began.wait(10)
    for i in range(module._PENDING + 3):
        one.recorder.add_later(TOPIC, BEGAN + i, lambda: PICTURE)
    assert one.recorder.left_out == 3
    go.set()


def test_a_frame_that_cannot_be_encoded_ends_nothing(setup) -> None:
    one = setup()

    def fails(error: Exception):
        raise error

    one.recorder.add_later(TOPIC, BEGAN, lambda: fails(FrameError("picture", "damaged")))
    one.recorder.add_later(TOPIC, BEGAN, lambda: fails(ValueError("odd\nthing")))
    one.recorder.add_later(TOPIC, BEGAN, lambda: PICTURE)
    one.recorder._pictures.put(None)
    one.recorder._encoder.join(10)
    assert one.recorder.nbytes > len(PICTURE)
    assert one.warnings == ["a frame cannot be encoded: odd thing"]


# ---- files


def test_the_last_seconds_are_written_in_order(setup) -> None:
    one = setup(seconds=2.0)
    for second in (0, 1, 2, 3, 2.5):
        one.add(second)
    path = one.dump()
    assert path.name == "flight_ns-tracker-node_20231114-221323-000000_asked.mcap"
    assert times_of(path) == [1, 2, 2.5, 3]
    assert one.files() == [path.name], "nothing is left beside it"
    assert one.warnings == []


def test_the_oldest_files_make_room(setup, tmp_path: Path) -> None:
    (tmp_path / "mine.mcap").write_bytes(bytes(9000))
    one = setup(disk=14_000, seconds=1.0)
    written = []
    for second in range(5):
        one.add(10 * second, PICTURE + bytes(3000))
        written.append(one.dump().name)
    kept = [name for name in one.files() if name.startswith("flight")]
    assert kept == written[-len(kept) :]
    assert 1 < len(kept) < 5
    assert sum((tmp_path / name).stat().st_size for name in kept) <= 14_000
    assert (tmp_path / "mine.mcap").exists(), "other files are not ours"


def test_what_a_killed_process_left_is_removed(setup, tmp_path: Path) -> None:
    (tmp_path / ".flight_ns-tracker-node_1_lost.part").mkdir()
    (tmp_path / ".flight_other_1_lost.part").mkdir()
    one = setup()
    one.add(0)
    path = one.dump()
    assert one.files() == [".flight_other_1_lost.part", path.name]


def test_dumps_that_nobody_asked_for_keep_their_distance(setup) -> None:
    one = setup()
    for second in (0, 5, 19, 25, 30):
        one.add(second)
        one.recorder.dump_automatically("lost", BEGAN + second * SECOND)
        if one.recorder._writing:
            one.recorder._writing.result()
    assert [name.split("_")[2][9:15] for name in one.files()] == ["221320", "221345"]


# ---- failures


def test_a_missing_folder_is_one_warning(setup, tmp_path: Path) -> None:
    one = setup()
    one.recorder._folder = tmp_path / "gone"
    one.add(0)
    for _ in range(3):
        one.recorder.dump_automatically("lost", BEGAN)
    with pytest.raises(UserError, match="does not exist: make it"):
        one.recorder.dump("asked")
    assert len(one.warnings) == 1
    assert "gone' for flight recordings does not exist: make it" in one.warnings[0]


def test_a_full_disk_is_one_warning_and_leaves_nothing(setup, monkeypatch: pytest.MonkeyPatch) -> None:
    one = setup()

    def full(self, connection, time, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rosbags.rosbag2.Writer.write", full)
    one.add(0)
    for second in (0, 30, 60):
        one.add(second)
        one.dump("a" * (second + 1))
    assert one.files() == []
    assert [text.partition("' ")[2] for text in one.warnings] == ["cannot be written: No space left on device"]


def test_a_recording_larger_than_its_limit(setup) -> None:
    one = setup(disk=1000)
    one.add(0, PICTURE + bytes(2000))
    one.dump()
    assert one.files() == []
    assert "is larger than its disk limit" in one.warnings[0]


def test_nothing_recorded_and_still_writing(setup, monkeypatch: pytest.MonkeyPatch) -> None:
    one, go = setup(), threading.Event()
    with pytest.raises(UserError, match="nothing was recorded yet"):
        one.recorder.dump("asked")
    monkeypatch.setattr(one.recorder, "_make_room", lambda wanted: go.wait(10))
    one.add(0)
    one.recorder.dump("asked")
    with pytest.raises(UserError, match="still being written"):
        one.recorder.dump("asked")
    go.set()


def test_an_unexpected_error_while_writing_is_a_warning(setup, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("of rosbags")

    one = setup()
    one.add(0)
    monkeypatch.setattr(module.BagWriter, "write", fail)
    path = one.recorder.dump("asked")
    one.recorder.close()
    assert one.warnings == ["a flight recording failed: RuntimeError: of rosbags"]
    assert not path.exists()
    assert one.files() == []


@pytest.mark.parametrize("stamp", [-5, 0, BEGAN])
def test_a_time_before_1970_can_be_written(tmp_path: Path, stamp: int) -> None:
    """A damaged header may hold any time; the message itself keeps it."""
    writer = module.BagWriter(tmp_path / "a.mcap", "a recording")
    writer.add_topic(TOPIC, COMPRESSED)
    writer.write(TOPIC, stamp, PICTURE)
    writer.keep()
    with Reader(tmp_path / "a.mcap") as bag:
        assert [time for _, time, _ in bag.messages()] == [max(stamp, 0)]
