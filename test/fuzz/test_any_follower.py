"""Frames, boxes and stops in any order: the follower lives, and no result is older than its frame."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sot_tracker.box import Box, require_trackable
from sot_tracker.opencv import OpenCVTracker
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.follower import Follower
from sot_tracker.stream.frame import Frame, History
from sot_tracker.stream.requests import Request
from sot_tracker.tracker import Estimate, Image, Policy, State, TrackerInfo, require_size

from fuzzing import refused_in_one_line
from ros_clips import frame as clip

LIMIT = 200_000
SIZES = ((160, 120), (200, 130))
STAMPS = st.one_of(st.just(0), st.integers(0, 3000), st.sampled_from([10**18, 2**62]))
BOXES = st.one_of(
    st.builds(Box, *[st.integers(0, 60)] * 2, *[st.integers(8, 60)] * 2), st.builds(Box, *[st.floats()] * 4)
)
EVENTS = st.one_of(
    st.tuples(st.just("frame"), st.integers(1, 60), st.sampled_from([0, 0, 0, 0, 1]), st.integers(0, 5)),
    st.tuples(st.just("frame"), st.integers(1, 60), st.just(0), st.just(1)),
    st.tuples(st.just("request"), BOXES, STAMPS),
    st.tuples(st.just("jump"), STAMPS),
    st.tuples(st.just("stop")),
)


picture_of = functools.cache(clip)


class Numbered:
    """Its box is at the number that the picture's first pixel holds, so that each result shows whose it is."""

    info = TrackerInfo("numbered", "none", "", "cpu", "")
    policy = Policy()

    def init(self, image: Image, box: Box, stamp_ns: int | None = None) -> Estimate:
        require_trackable(box, image.shape[1], image.shape[0])
        self.size = image.shape[:2]
        return self._estimate(image)

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        require_size(image, self.size)
        return self._estimate(image)

    def _estimate(self, image: Image) -> Estimate:
        number = int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])
        return Estimate(Box(number, 0, 8, 8), 1.0, State.LOST if number % 7 == 0 else State.TRACKING)

    def recenter(self, box: Box) -> None:
        raise NotImplementedError

    move = recenter


def numbered(number: int, size: int, damaged: bool, stamp: int) -> Frame:
    def picture() -> Image:
        if damaged:
            raise FrameError("compressed", "damaged")
        image = picture_of(number % 50, *SIZES[size]).copy()
        image[0, 0] = number % 256, number // 256, 0
        return image

    width, height = SIZES[size]
    return Frame(stamp, picture, 3 * width * height, header=number)


def run(tracker: Any, events: list[Any], exact: bool) -> None:
    """exact: the tracker is `Numbered`."""
    history = History(5, LIMIT)
    follower = Follower(tracker, history, lambda kind, text: lines.append(text), patience_s=0.0, now=lambda: 0)
    lines: list[str] = []
    newest = stamp = number = 0

    def check(result: Any) -> None:
        nonlocal newest
        assert result.frame.header >= newest, "an older frame than before"
        newest = result.frame.header
        if result.estimate is None:
            return
        assert follower.target_id
        assert all(map(math.isfinite, result.estimate.box.xywh))
        assert 0 <= result.estimate.score <= 1
        if exact:
            assert result.estimate.box.x == result.frame.header
        if result.detection is not None:
            assert result.detection.state is not State.LOST
            assert result.detection.box.is_valid

    for event, *values in events:
        with refused_in_one_line():
            if event == "frame":
                step, size, damage = values
                stamp, number = stamp + step, number + 1
                check(follower.process(numbered(number, size, damage == 0, stamp), decode=damage == 2))
            elif event == "request":
                result = follower.request(Request(*values))
                if result is not None:
                    check(result)
            elif event == "jump":
                (stamp,) = values
            else:
                follower.stop()
                assert (follower.target_id, follower.waiting) == ("", None)
        assert len(history) <= 6
        assert len(history) <= 1 or history.nbytes <= LIMIT
    assert all(line.splitlines() == [line] for line in lines)
    follower.request(Request(Box(20, 20, 20, 20)))  # whatever was done to it: it lives
    result = follower.process(numbered(number + 1, 0, False, stamp + 10))
    assert result.detection is not None or (number + 1) % 7 == 0


@given(st.lists(EVENTS, min_size=5, max_size=40))
def test_any_order(events: list[Any]) -> None:
    run(Numbered(), events, exact=True)


@given(st.lists(EVENTS, min_size=5, max_size=15))
def test_kcf(events: list[Any]) -> None:
    run(OpenCVTracker("kcf"), events, exact=False)


def test_the_check_can_fail() -> None:
    """A tracker that answers with the box before."""

    class Late(Numbered):
        last = 0.0

        def _estimate(self, image: np.ndarray) -> Estimate:
            found = super()._estimate(image)
            self.last, before = found.box.x, self.last
            return Estimate(Box(before, 0, 8, 8), found.score, found.state)

    events = [("request", Box(5, 5, 20, 20), 0), *[("frame", 10, 0, 1)] * 3]
    try:
        run(Late(), events, exact=True)
    except AssertionError:
        return
    raise AssertionError("it did not fail")
