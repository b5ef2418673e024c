"""Which target a box goes to, and what is reported of a frame with many."""

from __future__ import annotations

import pytest
from noting import BOX, MS, NotingTracker, frame

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.followers import Followers
from sot_tracker.stream.frame import History
from sot_tracker.stream.requests import Request


class Setup:
    def __init__(self, most: int) -> None:
        self.trackers = [NotingTracker() for _ in range(most)]
        self.warnings: list[tuple[str, str]] = []
        warn = lambda kind, text: self.warnings.append((kind, text))  # noqa: E731
        self.followers = Followers(self.trackers, lambda: History(5, 10**9), warn)  # type: ignore[arg-type]

    def ask(self, *names: str) -> None:
        for name in names:
            self.followers.request(Request(BOX, target_id=name))

    def feed(self, number: int) -> list[str]:
        """The targets in that frame."""
        return [result.target_id for result in self.followers.process(frame(number)) if result.estimate]


def test_with_room_for_one_a_new_box_replaces_the_target() -> None:
    one = Setup(1)
    one.ask("a")
    assert one.feed(1) == ["a"]
    one.ask("b")
    assert one.feed(2) == ["b"]


def test_every_id_is_a_target_of_its_own() -> None:
    one = Setup(3)
    one.ask("a")
    assert one.feed(1) == ["a"]
    one.ask("b", "a")
    assert sorted(one.feed(2)) == ["a", "b"]
    assert [tracker.seen for tracker in one.trackers] == [[("init", 1), ("init", 2)], [("init", 2)], []]
    assert one.followers.target_ids == ["a", "b"]


def test_targets_without_an_id_are_numbered_around_those_with_one() -> None:
    one = Setup(4)
    one.ask("1")
    one.feed(1)
    one.ask("", "")
    assert one.feed(2) == ["1", "2", "3"]


def test_a_number_is_not_the_id_that_waits_for_its_frame() -> None:
    one = Setup(2)
    one.ask("", "1")
    assert one.feed(1) == ["2", "1"]


def test_a_full_house_refuses_and_changes_nothing() -> None:
    one = Setup(2)
    one.ask("a", "b")
    assert not one.followers.has_room(Request(BOX, target_id="c"))
    with pytest.raises(UserError, match=r"max_targets=2 are followed \(a, b\)"):
        one.ask("c")
    assert one.feed(1) == ["a", "b"]
    assert one.followers.stop("a")
    one.ask("")
    assert one.followers.refusal.startswith("max_targets=2 are followed (one without an id, b)")
    assert one.feed(2) == ["1", "b"]
    assert one.followers.stop("1")
    one.ask("c")
    assert one.feed(3) == ["c", "b"]


def test_a_past_stamp_catches_up_beside_other_targets() -> None:
    one = Setup(2)
    one.ask("a")
    for number in (1, 2, 3):
        one.feed(number)
    result = one.followers.request(Request(BOX, 20 * MS, "b"))
    assert result is not None
    assert result.target_id == "b"
    assert one.trackers[1].seen == [("init", 2), ("update", 3)]
    assert one.feed(4) == ["a", "b"]


@pytest.mark.parametrize(("name", "left"), [("", []), ("a", ["b"]), ("b", ["a"]), ("x", ["a", "b"])])
def test_stop(name: str, left: list[str]) -> None:
    one = Setup(2)
    one.ask("a", "b")
    one.feed(1)
    assert one.followers.stop(name) is (len(left) < 2)
    assert one.feed(2) == left


def test_a_waiting_request_takes_a_place_and_can_be_stopped() -> None:
    one = Setup(2)
    one.feed(1)
    request = Request(BOX, 50 * MS, "late")
    one.followers.request(request)
    assert one.followers.waiting == [request]
    one.ask("a")
    with pytest.raises(UserError, match="late"):
        one.ask("b")
    assert one.followers.stop("late")
    assert one.feed(6) == ["a"]


def test_without_a_target_a_frame_has_one_result() -> None:
    one = Setup(3)
    (result,) = one.followers.process(frame(1))
    assert (result.estimate, result.target_id) == (None, "")


def test_a_damaged_frame_is_refused_once() -> None:
    one = Setup(2)
    one.ask("a", "b")
    one.feed(1)
    with pytest.raises(FrameError):
        one.followers.process(frame(2, damaged=True))
    assert one.feed(3) == ["a", "b"]


def test_a_target_of_another_size_does_not_stop_the_others() -> None:
    one = Setup(2)
    one.ask("old")
    one.feed(1)
    one.ask("new")
    (result,) = one.followers.process(frame(2, size=(40, 32)))
    assert result.target_id == "new"
    assert [kind for kind, _ in one.warnings] == ["resized"]


def test_a_refused_box_costs_its_target_alone() -> None:
    one = Setup(2)
    one.ask("a")
    one.followers.request(Request(Box(500, 500, 5, 5), target_id="b"))
    assert one.feed(1) == ["a"]
    assert one.warnings[0][0] == "init_box"
    assert one.followers.waiting == []
