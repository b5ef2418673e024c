"""Which frame starts a target and what is refused; a stand-in tracker writes down what it is given."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sot_tracker.box import Box, require_trackable
from sot_tracker.errors import UserError
from sot_tracker.stream.follower import Follower, Request
from sot_tracker.stream.frame import Frame, FrameError
from sot_tracker.tracker import Estimate, Image, State

BOX = Box(2, 3, 4, 5)
MS = 1_000_000


class NotingTracker:
    """Frames are flat pictures whose grey level is their number."""

    name = "noting"

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.state = State.TRACKING

    def init(self, image: Image, box: Box) -> None:
        require_trackable(box, image.shape[1], image.shape[0])
        self.seen.append(("init", int(image[0, 0, 0])))

    def update(self, image: Image) -> Estimate:
        self.seen.append(("update", int(image[0, 0, 0])))
        return Estimate(BOX, 0.5, self.state, {"track": 1.0})


def frame(number: int, stamp: int | None = None, size: tuple[int, int] = (20, 16), damaged: bool = False) -> Frame:
    stamp = number * 10 * MS if stamp is None else stamp
    stamps = SimpleNamespace(sec=stamp // 10**9, nanosec=stamp % 10**9)

    def picture() -> Image:
        if damaged:
            raise FrameError("compressed", "damaged")
        return np.full((size[1], size[0], 3), number, np.uint8)

    return Frame(SimpleNamespace(header=SimpleNamespace(stamp=stamps)), picture)


class Setup:
    def __init__(self, history: int = 5) -> None:
        self.tracker, self.warnings = NotingTracker(), []  # type: ignore[var-annotated]
        self.follower = Follower(self.tracker, history, lambda kind, text: self.warnings.append((kind, text)))

    def feed(self, *numbers: int) -> None:
        for number in numbers:
            self.result = self.follower.process(frame(number))


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_without_a_target_frames_are_only_kept(setup: Setup) -> None:
    setup.feed(1, 2)
    assert setup.result.estimate is None
    assert setup.result.detection is None
    assert setup.tracker.seen == []


def test_stamp_zero_starts_on_the_next_frame(setup: Setup) -> None:
    setup.feed(1)
    assert setup.follower.request(Request(BOX)) is None
    setup.feed(2)
    assert setup.result.detection == Estimate(BOX, 1.0, State.TRACKING, setup.result.estimate.times)  # type: ignore[union-attr]
    setup.feed(3)
    assert setup.tracker.seen == [("init", 2), ("update", 3)]
    assert setup.result.target_id == "1"


def test_a_past_stamp_starts_there_and_catches_up(setup: Setup) -> None:
    setup.feed(1, 2, 3, 4)
    result = setup.follower.request(Request(BOX, 20 * MS, "seven"))
    assert setup.tracker.seen == [("init", 2), ("update", 3), ("update", 4)]
    assert result is not None
    assert (result.frame.stamp, result.target_id) == (40 * MS, "seven")


def test_a_stamp_between_frames_takes_the_nearest(setup: Setup) -> None:
    setup.feed(1, 2, 3)
    setup.follower.request(Request(BOX, 18 * MS))
    assert setup.tracker.seen[0] == ("init", 2)


def test_the_newest_frame_is_always_kept() -> None:
    setup = Setup(history=0)
    setup.feed(1, 2)
    assert setup.follower.request(Request(BOX, 20 * MS)) is not None
    with pytest.raises(UserError, match=r"0\.010 s older than the oldest of 1 kept"):
        setup.follower.request(Request(BOX, 10 * MS))


def test_a_frame_that_is_no_longer_kept_is_told_and_changes_nothing(setup: Setup) -> None:
    setup.follower.request(Request(BOX))
    setup.feed(*range(1, 11))
    with pytest.raises(UserError, match=r"0\.030 s older .* raise frame_history"):
        setup.follower.request(Request(BOX, 20 * MS))
    assert setup.follower.target_id == "1"


def test_a_future_stamp_waits_for_its_frame(setup: Setup) -> None:
    setup.feed(1)
    assert setup.follower.request(Request(BOX, 29 * MS)) is None
    setup.feed(2)
    assert setup.result.estimate is None
    setup.feed(3)
    assert setup.tracker.seen == [("init", 3)]


def test_frames_without_stamps_start_at_once(setup: Setup) -> None:
    setup.follower.request(Request(BOX, 10**9))
    setup.follower.process(frame(1, stamp=0))
    assert setup.tracker.seen == [("init", 1)]


@pytest.mark.parametrize(
    "box",
    [Box(1, 1, 0, 5), Box(1, 1, 5, -2), Box(float("nan"), 1, 5, 5), Box(1, 1, float("inf"), 5), Box(40, 0, 5, 5)],
)
@pytest.mark.parametrize("stamp", [0, 20 * MS])
def test_impossible_boxes_are_refused_and_the_target_kept(setup: Setup, box: Box, stamp: int) -> None:
    setup.follower.request(Request(BOX))
    setup.feed(1, 2)
    with pytest.raises(UserError, match=r"box \("):
        setup.follower.request(Request(box, stamp))
    setup.feed(3)
    assert setup.follower.target_id == "1"
    assert setup.tracker.seen == [("init", 1), ("update", 2), ("update", 3)]


def test_a_box_outside_the_first_frame_is_told_when_it_comes(setup: Setup) -> None:
    setup.follower.request(Request(Box(40, 0, 5, 5)))
    setup.feed(1)
    assert setup.result.estimate is None
    assert [kind for kind, _ in setup.warnings] == ["init_box"]
    setup.feed(2)
    assert len(setup.warnings) == 1


def test_a_lost_target_is_no_detection(setup: Setup) -> None:
    setup.follower.request(Request(BOX))
    setup.tracker.state = State.LOST
    setup.feed(1, 2)
    assert setup.result.estimate is not None
    assert setup.result.detection is None


def test_stop_forgets_target_and_request(setup: Setup) -> None:
    assert not setup.follower.stop()
    setup.follower.request(Request(BOX))
    assert setup.follower.stop()
    setup.feed(1)
    assert setup.result.estimate is None
    setup.follower.request(Request(BOX))
    setup.feed(2)
    assert setup.follower.stop()
    setup.feed(3)
    assert setup.result.estimate is None
    assert setup.follower.target_id == ""


def test_another_size_is_refused_until_a_new_box_comes(setup: Setup) -> None:
    setup.follower.request(Request(BOX))
    setup.feed(1)
    with pytest.raises(FrameError, match="40x30 but the target was given in 20x16") as caught:
        setup.follower.process(frame(2, size=(40, 30)))
    assert caught.value.kind == "resized"
    setup.feed(3)
    assert setup.tracker.seen == [("init", 1), ("update", 3)]
    setup.follower.request(Request(BOX))
    setup.follower.process(frame(4, size=(40, 30)))
    assert setup.tracker.seen[-1] == ("init", 4)
    assert setup.follower.target_id == "2"


def test_stamps_that_jump_back_are_told_and_the_target_followed(setup: Setup) -> None:
    setup.follower.request(Request(BOX))
    setup.feed(50, 51)
    assert setup.warnings == []
    setup.feed(2)
    assert setup.warnings[0][0] == "stamp"
    assert "0.490 s" in setup.warnings[0][1]
    assert setup.tracker.seen == [("init", 50), ("update", 51), ("update", 2)]
    setup.feed(3)
    assert len(setup.warnings) == 1
    assert setup.follower.request(Request(BOX, 20 * MS)) is not None, "frames after the jump are kept"


def test_damaged_frames_do_not_stop_a_start(setup: Setup) -> None:
    setup.feed(1)
    setup.follower.process(frame(2, damaged=True))
    setup.feed(3)
    assert setup.follower.request(Request(BOX, 10 * MS)) is not None
    assert setup.tracker.seen == [("init", 1), ("update", 3)]


def test_a_request_waits_for_a_frame_that_is_not_damaged(setup: Setup) -> None:
    setup.follower.request(Request(BOX))
    with pytest.raises(FrameError):
        setup.follower.process(frame(1, damaged=True))
    setup.feed(2)
    assert setup.tracker.seen == [("init", 2)]


def test_times_of_a_catch_up_are_those_of_all_its_frames(setup: Setup) -> None:
    setup.feed(1, 2, 3)
    result = setup.follower.request(Request(BOX, 10 * MS))
    assert result is not None
    assert result.tracker_ms > result.estimate.times.get("init", 0.0)  # type: ignore[union-attr]
