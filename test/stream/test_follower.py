"""Which frame starts a target and what is refused; a stand-in tracker writes down what it is given."""

from __future__ import annotations

import time

import numpy as np
import pytest
from noting import BOX, MS, NotingTracker, frame

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.follower import Follower
from sot_tracker.stream.frame import Frame, History
from sot_tracker.stream.requests import Request
from sot_tracker.tracker import Estimate, Image, State


class Setup:
    def __init__(self, history: int = 5, patience: float = 1000.0, now: int = 0) -> None:
        self.tracker, self.warnings = NotingTracker(), []  # type: ignore[var-annotated]
        self.follower = Follower(
            self.tracker,
            History(history, 10**9),
            lambda kind, text: self.warnings.append((kind, text)),
            patience,
            lambda: now,
        )

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


def test_a_result_says_whether_its_target_was_given_anew(setup: Setup) -> None:
    setup.feed(1)
    setup.follower.request(Request(BOX, target_id="x"))
    starts = []
    for number in (2, 3):
        setup.feed(number)
        starts.append(setup.result.is_start)
    again = setup.follower.request(Request(BOX, 20 * MS, "x"))
    assert again is not None
    assert [*starts, again.is_start] == [True, False, True]


def test_a_stamp_between_frames_takes_the_nearest(setup: Setup) -> None:
    setup.feed(1, 2, 3)
    setup.follower.request(Request(BOX, 18 * MS))
    assert setup.tracker.seen[0] == ("init", 2)


@pytest.mark.parametrize("newest", [frame(4, size=(40, 32)), frame(4, size=(10, 8))])
def test_a_frame_of_another_size_than_the_newest_is_no_start(setup: Setup, newest: Frame) -> None:
    setup.feed(1, 2, 3)
    setup.follower.process(newest, decode=True)
    with pytest.raises(UserError, match=r"its frame is 20x16 and the newest .*: send the box again"):
        setup.follower.request(Request(BOX, 20 * MS))
    assert setup.tracker.seen == []
    assert setup.follower.waiting is None


def test_results_do_not_go_back_to_an_earlier_frame(setup: Setup) -> None:
    """The newest frame is damaged, which nobody knew: there was no target to look for in it."""
    setup.feed(1, 2)
    setup.follower.process(frame(3, damaged=True))
    assert setup.follower.request(Request(BOX, 10 * MS)) is None
    assert setup.follower.waiting is None
    assert setup.follower.target_id == "1"
    setup.feed(4)
    assert setup.result.frame.stamp == 40 * MS
    assert setup.tracker.seen == [("init", 1), ("update", 2), ("update", 4)]


def test_the_newest_frame_is_always_kept() -> None:
    setup = Setup(history=0)
    setup.feed(1, 2)
    assert setup.follower.request(Request(BOX, 20 * MS)) is not None
    with pytest.raises(UserError, match=r"0\.010 s older than the oldest of 1 kept"):
        setup.follower.request(Request(BOX, 10 * MS))


def test_a_frame_that_is_no_longer_kept_is_reported_and_changes_nothing(setup: Setup) -> None:
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


def test_a_box_outside_the_first_frame_is_reported_when_it_comes(setup: Setup) -> None:
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


def test_stamps_that_jump_back_are_reported_and_the_target_followed(setup: Setup) -> None:
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
    setup.follower.stop()
    alone = setup.follower.request(Request(BOX, 30 * MS))
    assert alone is not None
    assert result.tracker_ms > alone.tracker_ms > 0


def test_the_tracker_gets_the_capture_times(setup: Setup) -> None:
    setup.follower.request(Request(BOX))
    setup.feed(1, 2)
    setup.follower.process(frame(3, stamp=0))
    assert setup.tracker.stamps == [10 * MS, 20 * MS, None]


def test_decoding_is_timed_wherever_it_is_first_needed(setup: Setup) -> None:
    def slow() -> Image:
        time.sleep(0.02)
        return np.zeros((16, 20, 3), np.uint8)

    def fed() -> float:
        return setup.follower.process(Frame(0, slow)).convert_ms

    assert fed() == 0, "nobody looked at it"
    assert setup.follower.process(Frame(0, slow), decode=True).convert_ms >= 20
    setup.follower.request(Request(BOX))
    assert fed() >= 20, "in the frame that starts a target"
    assert fed() >= 20, "in those that follow"


def test_a_frame_that_is_looked_at_must_decode_even_without_a_target(setup: Setup) -> None:
    setup.follower.process(frame(1, damaged=True))
    with pytest.raises(FrameError):
        setup.follower.process(frame(2, damaged=True), decode=True)


def test_a_box_for_the_next_frame_is_not_judged_by_a_damaged_newest_one(setup: Setup) -> None:
    setup.follower.process(frame(1, damaged=True))
    assert setup.follower.request(Request(BOX)) is None
    setup.feed(2)
    assert setup.tracker.seen == [("init", 2)]


def test_a_box_in_a_past_that_is_all_damaged_waits_for_the_next_frame(setup: Setup) -> None:
    setup.follower.process(frame(1, damaged=True))
    assert setup.follower.request(Request(BOX, 10 * MS)) is None
    setup.feed(2)
    assert setup.tracker.seen == [("init", 2)]


def test_a_box_whose_frame_is_damaged_starts_in_the_nearest_other(setup: Setup) -> None:
    setup.feed(1)
    setup.follower.process(frame(2, damaged=True))
    setup.feed(3)
    setup.follower.request(Request(BOX, 20 * MS))
    assert setup.tracker.seen[0] in [("init", 1), ("init", 3)]


def test_after_a_change_of_size_the_newest_frame_judges_a_new_box(setup: Setup) -> None:
    setup.follower.request(Request(BOX))
    setup.feed(1)
    with pytest.raises(FrameError):
        setup.follower.process(frame(2, size=(40, 30)))
    assert setup.follower.request(Request(Box(30, 20, 5, 5), target_id="big")) is None, "outside of 20 x 16"
    setup.follower.process(frame(3, size=(40, 30)))
    assert setup.tracker.seen[-1] == ("init", 3)
    assert setup.follower.target_id == "big"
    with pytest.raises(UserError, match="outside the 40x30 frame"):
        setup.follower.request(Request(Box(50, 20, 5, 5)))


def test_a_future_stamp_waits_only_so_long() -> None:
    setup = Setup(patience=0.0, now=30 * MS)
    setup.feed(1)
    setup.follower.request(Request(BOX, 10**12))
    assert setup.follower.waiting is not None
    setup.feed(2)
    assert setup.follower.waiting is None
    kind, text = setup.warnings[0]
    assert kind == "init_box"
    assert "refused after a wait of 0 s" in text
    assert "999.980 s later than the newest frame's" in text
    assert "its sender's clock is 999.970 s ahead of this node's" in text


def test_a_box_for_the_next_frame_waits_for_ever() -> None:
    setup = Setup(patience=0.0)
    setup.follower.request(Request(BOX))
    with pytest.raises(FrameError):
        setup.follower.process(frame(1, damaged=True))
    assert setup.follower.waiting is not None
    setup.feed(2)
    assert setup.tracker.seen == [("init", 2)]


def test_only_the_newest_frame_stays_decoded_in_a_catch_up(setup: Setup) -> None:
    frames = [frame(number) for number in range(1, 5)]
    for one in frames:
        setup.follower.process(one)
    setup.follower.request(Request(BOX, 10 * MS))
    assert [one._image is None for one in frames] == [True, True, True, False]
