"""Picture, state and box of one frame find each other."""

from __future__ import annotations

import pytest

from sot_tracker.box import Box
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.joining import MAX_KEPT, PATIENCE_S, Joiner
from sot_tracker.stream.reports import SILENT, Report

from ros_clips import frame

BOX = Box(1, 2, 3, 4)


class Rig:
    """A joiner whose clock the test moves."""

    def __init__(self, pictures: bool = True) -> None:
        self.now = 0.0
        self.joiner = Joiner(pictures, lambda: self.now)

    def give(self, what: str, stamp: int, state: str = "TRACKING", target: str = "") -> Report | None:
        if what == "picture":
            return self.joiner.picture(Frame(stamp, lambda: frame(0), size=(160, 120)), b"jpeg")
        if what == "state":
            return self.joiner.state(Report(stamp, None, state, score=0.5, target_id=target))
        return self.joiner.detection(stamp, BOX, target)


@pytest.mark.parametrize(
    "order",
    [("picture", "detection", "state"), ("state", "picture", "detection"), ("detection", "state", "picture")],
)
def test_all_three_make_one_report_in_any_order(order):
    rig = Rig()
    given = [rig.give(what, 7) for what in order]
    assert given[:2] == [None, None]
    report = given[2]
    assert (report.stamp, report.size, report.jpeg) == (7, (160, 120), b"jpeg")
    assert (report.state, report.box, report.score) == ("TRACKING", BOX, 0.5)
    assert report.frame.image.shape == (120, 160, 3)


@pytest.mark.parametrize("state", ["IDLE", "LOST"])
def test_states_without_a_box_wait_for_none(state):
    rig = Rig()
    assert rig.give("picture", 7) is None
    report = rig.give("state", 7, state)
    assert (report.state, report.box) == (state, None)


def test_without_pictures_state_and_box_are_enough():
    rig = Rig(pictures=False)
    assert rig.give("state", 7) is None
    assert rig.give("detection", 7).box == BOX
    assert rig.give("state", 8, "IDLE").state == "IDLE"


def test_parts_of_different_frames_do_not_mix_and_never_an_earlier_frame_follows():
    rig = Rig()
    rig.give("picture", 1)
    assert rig.give("state", 2, "IDLE") is None
    assert rig.give("picture", 2).stamp == 2
    assert rig.give("state", 1, "IDLE") is None  # its picture is forgotten
    rig.now = 2 * PATIENCE_S
    assert rig.joiner.overdue() is None


def test_stamps_may_jump_back():
    rig = Rig()
    for stamp in (5, 6, 1, 2):
        assert rig.give("picture", stamp) is None
        assert rig.give("state", stamp, "IDLE").stamp == stamp


@pytest.mark.parametrize(("what", "state"), [(["picture"], SILENT), (["picture", "state"], "TRACKING")])
def test_after_a_while_a_picture_is_shown_without_what_did_not_come(what, state):
    rig = Rig()
    for stamp in (1, 2):
        for part in what:
            rig.give(part, stamp)
    assert rig.joiner.overdue() is None
    rig.now = 1.1 * PATIENCE_S
    report = rig.joiner.overdue()
    assert (report.stamp, report.state, report.box) == (2, state, None)
    assert rig.joiner.overdue() is None


def test_a_state_alone_is_no_report_where_pictures_are_shown():
    rig = Rig()
    rig.give("state", 1)
    rig.now = 1.1 * PATIENCE_S
    assert rig.joiner.overdue() is None


def test_little_is_kept():
    rig = Rig()
    for stamp in range(MAX_KEPT + 1):
        rig.give("picture", stamp)
    assert rig.give("state", 0, "IDLE") is None
    assert rig.give("state", 2, "IDLE").stamp == 2


@pytest.mark.parametrize(("state", "shown"), [("UNCERTAIN", 1), ("TRACKING", None)])
def test_an_uncertain_frame_without_a_box_is_shown_when_the_next_frame_comes(state, shown):
    rig = Rig()
    rig.give("picture", 1)
    assert rig.give("state", 1, state) is None
    report = rig.give("picture", 2)
    assert (report and report.stamp) == shown
    assert report is None or (report.state, report.box) == ("UNCERTAIN", None)
    rig.give("state", 2, state)
    assert rig.give("detection", 2).box == BOX


def shown(rig: Rig, stamp: int, *targets: str) -> list[str]:
    """The targets that are reported of a frame with these targets."""
    given = [rig.give("picture", stamp)]
    for target in targets:
        given += [rig.give("detection", stamp, target=target), rig.give("state", stamp, target=target)]
    return [report.target_id for report in given if report is not None and report.box is not None]


def test_of_several_targets_one_is_reported_until_it_is_followed_no_more():
    rig = Rig()
    assert [shown(rig, stamp, "1") for stamp in (1, 2)] == [["1"], ["1"]]
    assert shown(rig, 3, "2", "1") == ["1"]
    assert shown(rig, 4, "1", "2") == ["1"]
    assert [shown(rig, stamp, "2", "3") for stamp in (5, 6, 7)] == [[], ["2"], ["2"]]


def test_the_target_that_was_just_started_is_reported():
    rig = Rig()
    shown(rig, 1, "1")
    rig.joiner.show("2")
    assert shown(rig, 2, "1", "2") == ["2"]
    assert shown(rig, 3, "1", "2") == ["2"]
