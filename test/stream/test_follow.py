"""Which frames are taken, when targets begin, and what damaged frames and bad arguments do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sot_tracker
from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.follow import Start, ahead, follow, named, select
from sot_tracker.stream.frame import Frame
from sot_tracker.tracker import Estimate, State
from sot_tracker.tracking.many import MultiTracker

from clips import boxes, frame, write_video

STEP = 100_000_000


class Fake:
    """Gives the box of its start, with the number of its updates as the score."""

    def init(self, image: Any, box: Box, stamp_ns: int) -> Estimate:
        self.box, self.count = box, 0
        if box.w > 99:
            raise UserError("too wide")
        return Estimate(box, 0, State.TRACKING, {"init": 1.0})

    def update(self, image: Any, stamp_ns: int) -> Estimate:
        self.count += 1
        return Estimate(self.box, self.count, State.TRACKING)


def frames(count: int, damaged: tuple[int, ...] = ()) -> list[Frame]:
    def decode(number: int) -> Any:
        if number in damaged:
            raise FrameError("picture", "cannot be decoded")
        return frame(None)

    return [Frame(7 + i * STEP, lambda i=i: decode(i)) for i in range(count)]


def run(starts: list[Start], count: int = 6, damaged: tuple[int, ...] = (), **chosen: Any) -> list[Any]:
    return list(follow(MultiTracker([Fake(), Fake()]), select(frames(count, damaged), **chosen), named(starts)))


A, B = Box(1, 2, 3, 4), Box(5, 6, 7, 8)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("1,2,3,4", Start(A)),
        ("1,2,3,4@0", Start(A)),
        ("(1, 2, 3, 4)@12.5", Start(A, 12.5)),
    ],
)
def test_box_and_time(text: str, start: Start) -> None:
    assert Start.parse(text) == start


@pytest.mark.parametrize("text", ["1,2,3,4@", "1,2,3,4@x", "1,2,3,4@-1", "1,2,3,4@nan", "1,2,3@1"])
def test_box_and_time_that_make_no_sense(text: str) -> None:
    with pytest.raises(UserError, match=r"give seconds from the start|is not four numbers"):
        Start.parse(text)


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"start": 0.2}, [2, 3, 4, 5]),
        ({"start": 0.15, "stride": 3}, [2, 5]),
        ({"stride": 4}, [0, 4]),
    ],
)
def test_selected_frames(chosen: dict, numbers: list[int]) -> None:
    assert [item.number for item in select(frames(6), **chosen)] == numbers


def test_frames_read_ahead_are_the_same() -> None:
    found = list(ahead(select(frames(5, damaged=(2,)))))
    assert [item.number for item in found] == [0, 1, 2, 3, 4]
    with pytest.raises(FrameError):
        found[2].frame.image  # noqa: B018


def test_reading_ahead_tells_errors_and_ends_with_its_reader() -> None:
    def broken() -> Iterator[Frame]:
        yield from frames(2)
        raise UserError("cut off")

    with pytest.raises(UserError, match="cut off"):
        list(ahead(select(broken())))
    before = set(threading.enumerate())
    reading = ahead(select(frames(5)))
    next(reading)
    (reader,) = set(threading.enumerate()) - before
    reading.close()
    assert not reader.is_alive()


def test_targets_begin_at_their_times() -> None:
    steps = run([Start(A, 0.1), Start(B, 0.3)])
    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
    assert [list(step.estimates) for step in steps] == [["1"], ["1"], ["1", "2"], ["1", "2"], ["1", "2"]]
    assert [step.estimates["1"].score for step in steps] == [0, 1, 2, 3, 4]
    assert [step.estimates["2"].score for step in steps[2:]] == [0, 1, 2]
    assert steps[0].estimates["1"].times == {}, "starting takes no time"


def test_seconds_count_from_the_first_frame_also_where_it_is_left_out() -> None:
    assert [step.number for step in run([Start(A, 0.4)], start=0.2)] == [4, 5]


def test_damaged_frames_are_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        steps = run([Start(A)], damaged=(0, 3))
    assert [step.number for step in steps] == [1, 2, 4, 5]
    assert caplog.messages == ["2 frames cannot be used and were left out: cannot be decoded"]


def test_a_start_behind_the_end(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match="@9 starts after the last frame: give fewer seconds"):
        run([Start(A, 9.0)])
    with caplog.at_level(logging.WARNING):
        assert len(run([Start(A), Start(B, 9.0)])) == 6
    assert "starts after the last frame" in caplog.messages[0]
    with pytest.raises(UserError, match="--start 9 is after the end of the source"):
        run([Start(A)], start=9.0)


# ---- from Python


def test_the_loop_of_the_readme(tmp_path: Path) -> None:
    truth = boxes(4)
    found = list(sot_tracker.track(write_video(tmp_path / "a.avi", truth), truth[0].xywh, "kcf"))
    assert len(found) == 4
    image, estimate = found[-1]
    assert image.shape == (120, 160, 3)
    assert estimate.box.iou(truth[-1]) > 0.5


@pytest.mark.parametrize(
    ("source", "box", "options", "words"),
    [
        ("no.mp4", A, {}, "'no.mp4' does not exist"),
        (None, A, {}, "source is None: give a string"),
        (True, A, {}, "source is True: give a string"),
        (77, A, {}, "camera 77 gives no picture"),
        ("clip", None, {}, "box None is not four numbers"),
        ("clip", A, {"model": "kfc"}, "did you mean kcf"),
        ("clip", A, {"topic": "/a"}, "topic /a is for recordings"),
        ("clip", A, {"autostart": True}, "autostart"),
        ("clip", A, {"realtime": True}, "realtime is on for cameras and streams, and off for files: leave it out"),
    ],
)
def test_wrong_arguments_are_reported_at_the_call(
    tmp_path: Path, source: Any, box: Any, options: dict, words: str
) -> None:
    given = str(write_video(tmp_path / "a.avi", boxes(2))) if source == "clip" else source
    with pytest.raises(UserError, match=words):
        sot_tracker.track(given, box, **{"model": "kcf", **options})
