"""A box for every frame, with a tracker whose searches end when the test says so."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from concurrent.futures import Executor, Future
from dataclasses import replace

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.tracker import HELD, Estimate, Policy, State, TrackerInfo
from sot_tracker.tracking.realtime import RealtimeTracker

from ros_clips import box_at, frame

SEARCH_MS = 100.0


class Scripted:
    """A tracker that finds the truth, shifted by `off` pixels, in the state and with the score that are set."""

    def __init__(self, can_recenter: bool = True) -> None:
        self.policy = Policy()
        self.info = TrackerInfo("scripted", "none", "none", "cpu", "scripted", can_recenter=can_recenter)
        self.off, self.state, self.error, self.search_ms, self.flow_ms = 0.0, State.TRACKING, None, SEARCH_MS, 0.0
        self.frames: list[int] = []
        self.moves: list[Box] = []

    def init(self, image, box, stamp_ns=None):
        return Estimate(Box.of(box), 1.0, State.TRACKING)

    def update(self, image, stamp_ns=None):
        if self.error:
            raise self.error
        self.frames.append(stamp_ns)
        truth = box_at(stamp_ns)
        score = 0.9 if self.state is State.TRACKING else 0.1
        box = Box(truth.x + self.off, truth.y, truth.w, truth.h)
        times = {"track": self.search_ms} | ({"flow": self.flow_ms} if self.flow_ms else {})
        return Estimate(box, score, self.state, times)

    def recenter(self, box):
        self.recentered = box

    def move(self, box):
        self.moves.append(box)


class ByHand(Executor):
    """Runs what was submitted when `run` is called, or at once where `at_once` is set."""

    def __init__(self) -> None:
        self.waiting, self.at_once = [], False

    def submit(self, call, /, *arguments):
        future = Future()
        self.waiting.append((future, call, arguments))
        if self.at_once:
            self.run()
        return future

    def run(self) -> None:
        for future, call, arguments in self.waiting:
            try:
                future.set_result(call(*arguments))
            except Exception as error:
                future.set_exception(error)
        self.waiting = []


class Clock:
    """30 frames per second: one step per frame, the calls within a frame take no time."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def tick(self, seconds: float = 1 / 30) -> None:
        self.now += seconds


@pytest.fixture
def inner():
    return Scripted()


@pytest.fixture
def worker():
    return ByHand()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tracker(inner, worker, clock):
    made = RealtimeTracker(inner, worker, clock)
    made.init(frame(0), box_at(0), 0)
    return made


def follow(tracker, clock, first, last):
    """Frames `first` to `last`; the estimate of the last one. Stamps are frame numbers."""
    for index in range(first, last + 1):
        clock.tick()
        estimate = tracker.update(frame(index), index)
    return estimate


def test_every_frame_has_a_box_while_the_tracker_searches(tracker, inner, worker, clock):
    for index in range(1, 11):
        estimate = follow(tracker, clock, index, index)
        assert estimate.source == "flow"
        assert estimate.box.iou(box_at(index)) > 0.9
    assert inner.frames == []
    assert len(worker.waiting) == 1  # one search at a time


def test_a_late_answer_is_carried_to_the_newest_frame(tracker, inner, worker, clock):
    follow(tracker, clock, 1, 6)
    inner.off = 5.0
    worker.run()  # the search in frame 1 ends after frame 6
    estimate = follow(tracker, clock, 7, 7)
    assert inner.frames == [1]
    assert estimate.box.x == pytest.approx(box_at(7).x + 5, abs=0.5)
    assert estimate.score == 0.9


def test_the_next_search_is_in_the_newest_frame_around_the_carried_box(tracker, inner, worker, clock):
    follow(tracker, clock, 1, 6)
    worker.run()
    follow(tracker, clock, 7, 9)
    worker.run()
    assert inner.frames == [1, 7]
    assert inner.moves[-1].iou(box_at(7)) > 0.9


def test_a_tracker_that_cannot_be_moved_is_not(worker, clock):
    inner = Scripted(can_recenter=False)
    tracker = RealtimeTracker(inner, worker, clock)
    tracker.init(frame(0), box_at(0), 0)
    follow(tracker, clock, 1, 3)
    assert inner.moves == []


def test_a_tracker_that_keeps_pace_searches_every_frame(tracker, inner, worker, clock):
    inner.search_ms, worker.at_once = 5.0, True
    follow(tracker, clock, 1, 3)
    estimate = follow(tracker, clock, 4, 8)
    assert inner.frames[-5:] == [4, 5, 6, 7, 8]
    assert (estimate.source, estimate.look_age_ms, estimate.box) == ("tracker", 0.0, box_at(8))
    assert estimate.times.keys() == {"flow", "track"}


def test_the_flow_of_a_search_adds_to_that_of_the_frame(tracker, inner, worker, clock):
    inner.search_ms, inner.flow_ms, worker.at_once = 5.0, 2.0, True
    follow(tracker, clock, 1, 3)
    tracker._clock = itertools.count(clock.now, 1e-3).__next__  # every reading takes a millisecond
    times = tracker.update(frame(4), 4).times
    assert times["track"] == 5.0
    assert times["flow"] > 2.0


@pytest.mark.parametrize(
    ("rate", "searched"),
    [
        (0.0, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
        (1000.0, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
        (30.0, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]),
        (10.0, [6, 9, 12]),
        (12.0, [5, 8, 10, 13]),
    ],
)
def test_max_search_rate(inner, worker, clock, rate, searched):
    """At 30 frames per second, of a tracker that keeps pace; optical flow has the frames between."""
    inner.search_ms, worker.at_once = 5.0, True
    tracker = RealtimeTracker(inner, worker, clock, max_search_rate=rate)
    tracker.init(frame(0), box_at(0), 0)
    for index in range(1, 15):
        estimate = follow(tracker, clock, index, index)
        assert estimate.box.iou(box_at(index)) > 0.9
        if index >= 5:
            assert (estimate.source == "tracker") is (index in searched)
    assert [index for index in inner.frames if index >= 5] == searched


@pytest.mark.parametrize(
    ("rate", "stamps", "searched"),
    [
        (0.0, lambda index: index * 33_333_333, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (10.0, lambda index: index * 33_333_333, [3, 6, 9]),
        (10.0, lambda index: None, [3, 6, 9]),  # 30 frames per second
        (10.0, lambda index: index * 50_000_000, [2, 4, 6, 8]),
        (10.0, lambda index: (index % 5) * 50_000_000, [2, 4, 5, 7, 9]),  # a recording that begins again
    ],
)
def test_in_lockstep_the_rate_is_counted_by_stamps(inner, rate, stamps, searched):
    """However slow the searches and the caller are; between them optical flow moves the box."""
    seen = []
    inner.search_ms = 10 * SEARCH_MS
    inner.update = lambda image, stamp_ns=None: seen.append(index) or Estimate(box_at(index), 0.9, State.TRACKING)
    tracker = RealtimeTracker(inner, max_search_rate=rate, lockstep=True)
    tracker.init(frame(0), box_at(0), stamps(0))
    for index in range(1, 10):
        estimate = tracker.update(frame(index), stamps(index))
        assert estimate.box.iou(box_at(index)) > 0.9
        assert (estimate.source == "tracker") is (index in searched)
    assert seen == searched


def test_in_lockstep_an_error_of_a_search_is_raised_in_its_frame(inner):
    tracker = RealtimeTracker(inner, max_search_rate=10.0, lockstep=True)
    tracker.init(frame(0), box_at(0), 0)
    inner.error = UserError("it failed")
    tracker.update(frame(1), 33_333_333)
    with pytest.raises(UserError, match="it failed"):
        tracker.update(frame(3), 100_000_000)
    inner.error = None
    assert tracker.update(frame(4), 133_333_333).box.iou(box_at(4)) > 0.9


def test_the_rate_holds_for_a_target_that_is_lost_too(inner, worker, clock):
    inner.search_ms, worker.at_once = 5.0, True
    tracker = RealtimeTracker(inner, worker, clock, max_search_rate=10.0)
    tracker.init(frame(0), box_at(0), 0)
    inner.state = State.LOST
    follow(tracker, clock, 1, 30)
    assert 9 <= len(inner.frames) <= 10


def test_a_tracker_that_falls_behind_is_not_waited_for_any_more(tracker, inner, worker, clock):
    inner.search_ms, worker.at_once = 5.0, True
    follow(tracker, clock, 1, 8)
    inner.search_ms = 500.0
    follow(tracker, clock, 9, 12)
    worker.at_once = False
    assert follow(tracker, clock, 13, 16).source == "flow"


@pytest.mark.parametrize("stamped", [True, False])
def test_the_age_of_the_last_search_is_reported(inner, worker, clock, stamped):
    tracker = RealtimeTracker(inner, worker, clock)
    step = 33_000_000
    tracker.init(frame(0), box_at(0), 0 if stamped else None)
    for index in range(1, 4):
        clock.tick(0.033)
        estimate = tracker.update(frame(index), index * step if stamped else None)
    assert estimate.look_age_ms == pytest.approx(99, abs=0.1)


def test_a_lost_target_is_not_carried_by_flow(tracker, inner, worker, clock):
    follow(tracker, clock, 1, 2)
    inner.state = State.LOST
    worker.run()
    estimate = follow(tracker, clock, 3, 3)
    assert (estimate.state, estimate.score) == (State.LOST, 0.1)
    assert follow(tracker, clock, 4, 5).source != "flow"
    inner.state = State.TRACKING
    worker.run()
    found = follow(tracker, clock, 6, 6)
    assert found.state is State.UNCERTAIN, "nothing is known of its way from frame 5 to frame 6"
    assert found.box.iou(box_at(6)) > 0.6
    assert follow(tracker, clock, 7, 7).state is State.TRACKING


def test_a_failure_without_a_box_of_its_own_has_flows(tracker, inner, worker, clock):
    inner.search_ms, worker.at_once = 5.0, True
    follow(tracker, clock, 1, 8)
    plain = inner.update
    inner.update = lambda *given: replace(
        plain(*given), box=box_at(0), state=State.UNCERTAIN, source=HELD, accepted=False
    )
    estimate = follow(tracker, clock, 9, 9)
    assert (estimate.source, estimate.state, estimate.is_reported) == ("flow", State.UNCERTAIN, True)
    assert estimate.box.iou(box_at(9)) > 0.9


def test_the_guess_for_a_lost_target_does_not_move_the_tracker(tracker, inner, worker, clock):
    follow(tracker, clock, 1, 2)
    inner.state, inner.off = State.LOST, 40.0
    worker.run()
    follow(tracker, clock, 3, 3)
    moves = len(inner.moves)
    worker.run()
    follow(tracker, clock, 4, 6)
    assert len(inner.moves) == moves == 1


def test_an_error_of_a_search_is_raised_once_and_the_next_frame_is_searched(tracker, inner, worker, clock):
    follow(tracker, clock, 1, 2)
    inner.error = UserError("no")
    worker.run()
    clock.tick()
    with pytest.raises(UserError, match="no"):
        tracker.update(frame(3), 3)
    inner.error = None
    follow(tracker, clock, 4, 4)
    worker.run()
    assert inner.frames == [4]


def test_a_new_target_drops_the_search_for_the_old_one(tracker, inner, worker, clock):
    worker.at_once = True
    follow(tracker, clock, 1, 2)
    tracker.init(frame(5), box_at(5), 5)
    worker.at_once = False
    estimate = follow(tracker, clock, 6, 6)
    assert estimate.score == 1.0
    assert estimate.box.iou(box_at(6)) > 0.9


def test_frames_of_another_size_are_refused(tracker):
    with pytest.raises(UserError, match="frame is 320x240 but the target was given in 160x120"):
        tracker.update(frame(1, 320, 240), 1)


def test_update_before_init(inner):
    with pytest.raises(UserError, match="no target yet"):
        RealtimeTracker(inner).update(frame(0))


def test_policy_and_info_are_the_trackers(tracker, inner):
    tracker.policy = Policy(lost_threshold=0.3)
    assert inner.policy.lost_threshold == 0.3
    assert tracker.info.name == "scripted"


def test_with_a_thread_of_its_own_update_does_not_wait():
    inner, released = Scripted(), threading.Event()
    plain = inner.update

    def slow(image, stamp_ns=None):
        released.wait(10)
        return plain(image, stamp_ns)

    inner.update = slow
    tracker = RealtimeTracker(inner)
    tracker.init(frame(0), box_at(0), 0)
    for index in range(1, 6):
        assert tracker.update(frame(index), index).source == "flow"
    released.set()


def test_it_ends_with_its_last_reference():
    inner = Scripted()
    tracker = RealtimeTracker(inner)
    tracker.init(frame(0), box_at(0), 0)
    tracker.update(frame(1), 1)
    tracker._finish_search()
    gone = weakref.ref(inner)
    del tracker, inner
    gc.collect()
    assert gone() is None


def test_frames_are_not_written_to(tracker, clock):
    image = frame(1)
    kept = image.copy()
    image.flags.writeable = False
    clock.tick()
    tracker.update(image, 1)
    assert np.array_equal(image, kept)


@pytest.mark.parametrize("writeable", [True, False])
def test_a_frame_may_be_drawn_on_while_the_tracker_looks_at_it(tracker, inner, worker, clock, writeable):
    """As everybody does who shows the box, or who lets the camera write into the same array again."""
    seen, plain = [], inner.update
    inner.update = lambda image, stamp_ns=None: seen.append(image) or plain(image, stamp_ns)
    image = frame(1)
    kept = image.copy()
    image.flags.writeable = writeable
    clock.tick()
    tracker.update(image, 1)
    if writeable:
        image[:] = 0
    worker.run()
    assert np.array_equal(seen[0], kept)
    assert (seen[0] is image) is not writeable  # what nobody can write to is not copied


def test_a_frame_that_is_looked_at_at_once_is_not_copied(tracker, inner, worker, clock):
    inner.search_ms, worker.at_once = 5.0, True
    seen, plain = [], inner.update
    inner.update = lambda image, stamp_ns=None: seen.append(image) or plain(image, stamp_ns)
    follow(tracker, clock, 1, 5)
    image = frame(6)
    clock.tick()
    tracker.update(image, 6)
    assert seen[-1] is image


@pytest.mark.parametrize("searched", [True, False])
@pytest.mark.parametrize("call", ["init", "update", "recenter", "move"])
def test_in_a_forked_process_it_says_so(tracker, worker, clock, monkeypatch, call, searched):
    """A fork has no copy of the thread of the looks: it waited for ever."""
    given = {"init": (frame(2), box_at(2)), "update": (frame(2),)}.get(call, (box_at(2),))
    if not searched:  # there is no thread yet, so that nothing is missing
        worker.at_once = True
    else:
        follow(tracker, clock, 1, 1)
        worker.run()  # in a fork nobody does; without it a tracker that waits would hold up this test for ever
    monkeypatch.setattr("os.getpid", lambda: -1)
    if not searched:
        getattr(tracker, call)(*given)
        return
    with pytest.raises(UserError, match="scripted runs in another process: load it in the process that uses it"):
        getattr(tracker, call)(*given)


def test_in_a_forked_process_trackers_that_share_the_thread_say_so(tracker, worker, clock, monkeypatch):
    """The one that had not searched before the fork was carried by optical flow for ever."""
    other = RealtimeTracker(Scripted(), worker, clock)
    follow(tracker, clock, 1, 1)
    worker.run()
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(UserError, match="runs in another process"):
        other.init(frame(2), box_at(2))


@pytest.mark.parametrize("call", ["init", "update"])
def test_pictures_without_colours_are_refused_before_the_tracker_sees_them(tracker, inner, call):
    """Optical flow needs three channels, though OpenCV's trackers also take grey pictures."""
    inner.init = inner.update = lambda *_: pytest.fail("the tracker has been asked")
    grey = np.zeros((240, 320), np.uint8)
    with pytest.raises(UserError, match=r"shape \(240, 320\): give height x width x 3"):
        tracker.init(grey, (10, 10, 20, 20)) if call == "init" else tracker.update(grey)


def test_after_a_recenter_the_old_velocity_is_forgotten(tracker, inner, worker, clock):
    """The box is moved by hand to another place: it has not moved there by itself."""
    follow(tracker, clock, 1, 8)
    moving = tracker._flow.velocity
    assert abs(moving.x) + abs(moving.y) > 1
    worker.run()  # it waits for the running search
    tracker.recenter(Box(4, 90, 20, 20))
    assert tracker._flow.velocity == type(moving)()
