"""Many targets: their names, the one search for all, and that each gets what it would get alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.catalog import network_spec
from sot_tracker.errors import UserError
from sot_tracker.loading import load_many
from sot_tracker.tracker import Policy
from sot_tracker.tracking.many import MultiTracker
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.tracking.realtime import RealtimeTracker

IMAGES = list(np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), dtype=np.uint8))
BOXES = [Box(20, 20, 20, 20), Box(60, 40, 24, 16), Box(100, 60, 20, 30)]


class Grey:
    """Finds every target at a place and with a score that follow from its two patches."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def template(self, patch: Any) -> float:
        return float(patch.mean())

    def search(self, cached: float, patch: Any) -> dict[str, Any]:
        self.calls.append(1)
        return self.maps(cached, patch)

    def search_many(self, inputs: Any) -> list[dict[str, Any]]:
        self.calls.append(len(inputs))
        return [self.maps(*one) for one in inputs]

    @staticmethod
    def maps(cached: float, patch: Any) -> dict[str, Any]:
        score, size = np.full((1, 16, 16), 1e-3, np.float32), np.full((2, 16, 16), 0.2, np.float32)
        score[0, 7 + int(cached) % 3, 7 + int(patch.mean()) % 3] = 0.5 + cached / 1000
        return {"score": score, "size": size, "offset": np.zeros((2, 16, 16), np.float32)}


def many(network: Any, count: int = 3) -> MultiTracker:
    spec = network_spec("fermt")
    return MultiTracker([NetworkTracker("grey", spec, network, Policy(lost_threshold=0.1)) for _ in range(count)])


def test_one_search_serves_all_and_each_goes_as_it_would_alone() -> None:
    network = Grey()
    together, alone = many(network), [many(Grey(), 1) for _ in BOXES]
    for name, box, one in zip("abc", BOXES, alone, strict=True):
        together.start(name, IMAGES[0], box)
        one.start(name, IMAGES[0], box)
    for image in IMAGES[1:]:
        found = together.update(image)
        assert list(found) == ["a", "b", "c"]
        for name, one in zip("abc", alone, strict=True):
            expected = one.update(image)[name]
            assert (found[name].box, found[name].score) == (expected.box, expected.score)
    assert network.calls == [3, 3]
    assert len({found[name].score for name in "abc"}) == 3, "the targets differ"


def test_a_target_that_is_changed_after_the_common_search_searches_anew() -> None:
    network, spec = Grey(), network_spec("fermt")
    first, second = (NetworkTracker("grey", spec, network) for _ in range(2))
    first.init(IMAGES[0], BOXES[0])
    second.init(IMAGES[0], BOXES[1])
    NetworkTracker.search_ahead([first, second], IMAGES[1])
    second.move(BOXES[2])
    first.update(IMAGES[1])
    assert network.calls == [2]
    assert second.update(IMAGES[1]).box.iou(BOXES[1]) == 0
    assert network.calls == [2, 1]
    second.update(IMAGES[2])
    assert network.calls == [2, 1, 1]


def test_another_tracker_of_the_same_network_has_no_target_and_its_own_policy() -> None:
    first = NetworkTracker("grey", network_spec("fermt"), Grey(), Policy(lost_threshold=0.1))
    first.init(IMAGES[0], BOXES[0])
    other = first.another()
    assert other.network is first.network
    with pytest.raises(UserError, match="no target yet"):
        other.update(IMAGES[1])
    other.init(IMAGES[0], BOXES[1])
    other.policy = Policy(lost_threshold=0.9)
    assert (first.box, first.lost_threshold) == (BOXES[0], 0.1)


def test_names() -> None:
    targets = many(Grey(), 2)
    assert targets.update(IMAGES[0]) == {}
    targets.start("a", IMAGES[0], BOXES[0])
    targets.start("b", IMAGES[0], BOXES[1])
    with pytest.raises(UserError, match=r"max_targets=2 are followed \(a, b\): stop one first"):
        targets.start("c", IMAGES[0], BOXES[2])
    assert targets.start("a", IMAGES[0], BOXES[2]).box == BOXES[2], "a known name is given anew"
    assert targets.stop("x") is False
    assert targets.stop("a") is True
    assert targets.ids == ("b",)
    targets.start("c", IMAGES[0], BOXES[2])
    assert targets.stop() is True
    assert len(targets) == 0
    assert targets.stop() is False


@pytest.mark.parametrize("number", [0, 1, None])
def test_a_name_is_a_string(number: Any) -> None:
    """A number 0 meant "all": `stop` of a detector's first object ended every target."""
    targets = many(Grey(), 2)
    targets.start("a", IMAGES[0], BOXES[0])
    for call in (lambda: targets.start(number, IMAGES[0], BOXES[1]), lambda: targets.stop(number)):
        with pytest.raises(UserError, match=f"target {number} is not a string: give a name, for example str"):
            call()
    assert targets.ids == ("a",)


@pytest.mark.parametrize(("name", "box"), [("", BOXES[0]), ("a", Box(500, 500, 10, 10))])
def test_a_refused_target_takes_no_place(name: str, box: Box) -> None:
    targets = many(Grey(), 1)
    with pytest.raises(UserError):
        targets.start(name, IMAGES[0], box)
    targets.start("b", IMAGES[0], BOXES[0])
    assert targets.ids == ("b",)


def test_the_policy_is_that_of_all() -> None:
    targets = many(Grey(), 2)
    targets.start("a", IMAGES[0], BOXES[0])
    targets.policy = Policy(lost_threshold=0.9)
    targets.start("b", IMAGES[0], BOXES[1])
    assert {estimate.state.value for estimate in targets.update(IMAGES[1]).values()} == {"uncertain"}


@pytest.mark.parametrize("realtime", [False, True])
def test_trackers_without_a_network(realtime: bool) -> None:
    targets = load_many("kcf", 2, realtime=realtime)
    for name, box in zip("ab", BOXES, strict=False):
        targets.start(name, IMAGES[0], box)
    found = targets.update(IMAGES[0])
    assert found["a"].box.iou(BOXES[0]) > 0.8
    assert found["b"].box.iou(BOXES[1]) > 0.8
    inner = [tracker for tracker in targets._followed.values() if isinstance(tracker, RealtimeTracker)]
    assert [tracker.company for tracker in inner] == ([2, 2] if realtime else [])


def test_several_realtime_targets_share_one_copy_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = load_many("kcf", 2, realtime=True)
    for name, box in zip("ab", BOXES, strict=False):
        targets.start(name, IMAGES[0], box)
    seen: list[Any] = []
    for tracker in targets._followed.values():
        monkeypatch.setattr(tracker, "update", lambda image, stamp_ns=None: seen.append(image))
    image = IMAGES[1].copy()
    targets.update(image)
    image[:] = 0
    assert seen[0] is seen[1]
    assert np.array_equal(seen[0], IMAGES[1])
