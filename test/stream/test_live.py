"""A tracker that follows a source in a thread and takes requests meanwhile."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.opencv import OpenCVTracker
from sot_tracker.stream import live
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.live import MAX_FAILURES, MAX_WAITING, LiveFollower
from sot_tracker.stream.reports import IDLE, Report
from sot_tracker.stream.requests import Request

from ros_clips import box_at, frame

PATIENCE = 20.0
STEP = 10_000_000  # nanoseconds between frames


class Clip:
    """Frames of the moving square. `allowed`: the test gives out one item per frame."""

    name, fps, size, files = "clip", 100.0, (160, 120), ()

    def __init__(self, length: int | None = None, live: bool = True) -> None:
        self.length, self.live = length, live
        self.stride = 1
        self.allowed: queue.Queue[int] = queue.Queue()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while self.length is None or index < self.length:
            if self.live and self.allowed.get() < 0:
                return
            image = frame(index)[:: self.stride, :: self.stride]
            yield Frame(index * STEP, lambda image=image: image, image.nbytes)
            index += 1

    def close(self) -> None:
        self.allowed.put(-1)


class Rig:
    """A live follower whose frames the test gives out one by one."""

    def __init__(self, clip: Clip, first: Box | None = None, load=None) -> None:
        self.clip = clip
        self.reports: queue.Queue[Report] = queue.Queue()
        self.said: queue.Queue[str] = queue.Queue()
        self.answers: queue.Queue[str] = queue.Queue()
        self.follower = LiveFollower(
            clip, OpenCVTracker("kcf"), load or OpenCVTracker, self.reports.put, self.said.put, first
        )

    def __enter__(self) -> Rig:
        self.follower.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.clip.close()
        self.follower.__exit__()

    def next(self) -> Report:
        self.clip.allowed.put(1)
        return self.reports.get(timeout=PATIENCE)

    def answer(self) -> str:
        return self.answers.get(timeout=PATIENCE)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(Clip()) as made:
        yield made


def test_without_a_target_frames_are_reported_idle(rig):
    report = rig.next()
    assert (report.state, report.box, report.size, report.stamp) == (IDLE, None, (160, 120), 0)
    assert report.frame.image.shape == (120, 160, 3)
    assert report.latency_ms >= 0


def test_start_follow_stop(rig):
    rig.next()
    rig.follower.start(Request(box_at(1)), rig.answers.put)
    report = rig.next()
    assert rig.answer() == ""
    assert (report.state, report.box, report.target_id) == ("TRACKING", box_at(1), "1")
    for index in range(2, 6):
        assert rig.next().box.iou(box_at(index)) > 0.7
    rig.follower.stop(rig.answers.put)
    assert rig.next().state == IDLE
    assert rig.answer() == ""


def test_a_box_drawn_in_an_older_picture_starts_there_and_catches_up(rig):
    for _ in range(8):
        report = rig.next()
    rig.follower.start(Request(box_at(2), stamp=2 * STEP), rig.answers.put)
    report = rig.next()
    assert rig.answer() == ""
    assert report.state == "TRACKING"
    assert report.box.iou(box_at(8)) > 0.7
    assert report.box.iou(box_at(2)) < 0.7


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda f, a: f.start(Request(Box(500, 500, 9, 9)), a), "outside"),
        (lambda f, a: f.start(Request(Box(1, 1, -9, 9)), a), "cannot be tracked"),
        (lambda f, a: f.stop(a), "no target"),
        (lambda f, a: f.choose("csrtt", a), "csrtt"),
    ],
)
def test_what_cannot_be_done_is_answered_in_one_line(ask, reason):
    def load(name: str) -> OpenCVTracker:
        raise UserError(f"unknown model '{name}'")

    with Rig(Clip(), load=load) as rig:
        rig.next()
        ask(rig.follower, rig.answers.put)
        rig.next()
        assert reason in rig.answer()
        assert rig.next().state == IDLE


def test_another_model_goes_on_with_the_target(rig):
    rig.next()
    rig.follower.start(Request(box_at(1)), rig.answers.put)
    rig.next()
    assert rig.answer() == ""
    rig.follower.choose("csrt", rig.answers.put)
    reports = [rig.next()]
    while rig.answers.empty() and len(reports) < 30:
        reports.append(rig.next())
    assert rig.answer() == ""
    assert rig.follower._follower._tracker.info.name == "csrt"
    index = len(reports) + 1
    last = rig.next()
    assert (last.state, last.target_id) == ("TRACKING", "1")
    assert last.box.iou(box_at(index + 1)) > 0.5


def test_a_second_model_waits_for_the_first():
    gate: queue.Queue[int] = queue.Queue()

    def load(name: str) -> OpenCVTracker:
        gate.get(timeout=PATIENCE)
        return OpenCVTracker("kcf")

    with Rig(Clip(), load=load) as rig:
        rig.follower.choose("csrt", rig.answers.put)
        rig.follower.choose("mil", rig.answers.put)
        assert "wait" in rig.answer()
        gate.put(1)


def test_too_many_requests_are_refused():
    rig = Rig(Clip())  # its thread does not run
    for _ in range(MAX_WAITING + 3):
        rig.follower.stop(rig.answers.put)
    assert all("too many" in rig.answer() for _ in range(3))


def test_a_file_begins_again_with_stamps_of_its_own_and_the_first_box():
    with Rig(Clip(length=4, live=False), first=box_at(0)) as rig:
        reports = [rig.reports.get(timeout=PATIENCE) for _ in range(9)]
    assert rig.said.empty()
    assert [report.stamp for report in reports] == [index * STEP for index in range(9)]
    assert [reports[index].box for index in (0, 4, 8)] == [box_at(0)] * 3
    assert [report.target_id for report in reports] == ["1"] * 4 + ["2"] * 4 + ["3"]


def test_a_file_that_begins_again_forgets_a_target_that_was_started_meanwhile():
    with Rig(Clip(length=30, live=False)) as rig:
        rig.reports.get(timeout=PATIENCE)
        rig.follower.start(Request(box_at(1)), rig.answers.put)
        assert rig.answer() == ""
        assert rig.said.get(timeout=PATIENCE) == "clip begins again: the target is dropped"
        states = [rig.reports.get(timeout=PATIENCE) for _ in range(30)]
        while states[-1].stamp < 31 * STEP:
            states.append(rig.reports.get(timeout=PATIENCE))
    assert states[-1].state == IDLE


def test_a_camera_that_ends_is_said():
    with Rig(Clip()) as rig:
        rig.next()
        rig.clip.allowed.put(-1)
        assert rig.said.get(timeout=PATIENCE) == "clip gives no more pictures"
        rig.follower._thread.join(PATIENCE)
        assert not rig.follower.runs


def test_a_frame_of_another_size_is_refused_and_said(rig):
    rig.next()
    rig.follower.start(Request(box_at(1)), rig.answers.put)
    rig.next()
    rig.clip.stride = 2
    rig.clip.allowed.put(1)
    assert "frame refused" in rig.said.get(timeout=PATIENCE)


class Recorded(Clip):
    """Stamps since 1970, as those of recordings."""

    def __iter__(self) -> Iterator[Frame]:
        for item in super().__iter__():
            yield Frame(item.stamp + 1_700_000_000 * 10**9, lambda item=item: item.image, item.nbytes)


def test_stamps_of_a_recording_go_on_in_the_next_pass() -> None:
    with Rig(Recorded(3, live=False)) as rig:
        stamps = [rig.reports.get(timeout=PATIENCE).stamp for _ in range(7)]
    assert stamps == [1_700_000_000 * 10**9 + i * STEP for i in range(7)]


class Failing(OpenCVTracker):
    """Fails in the next `failures` frames with what no user can mend."""

    failures = 0

    def update(self, image, stamp_ns=None):
        if self.failures:
            self.failures -= 1
            raise RuntimeError("of an engine")
        return super().update(image, stamp_ns)


@pytest.mark.parametrize("failures", [1, MAX_FAILURES])
def test_errors_of_an_engine_cost_their_frames_and_end_it_where_they_go_on(failures):
    with Rig(Clip()) as rig:
        rig.follower._follower = rig.follower._follower_of(Failing("kcf"))
        rig.next()
        rig.follower.start(Request(box_at(1)), rig.answers.put)
        rig.next()
        rig.follower._follower._tracker.failures = failures
        for _ in range(failures):
            rig.clip.allowed.put(1)
        assert rig.said.get(timeout=PATIENCE) == "frame failed: RuntimeError: of an engine"
        if failures < MAX_FAILURES:
            assert rig.next().state == "TRACKING"
            return
        rig.follower._thread.join(PATIENCE)
        assert rig.follower.failure == "10 frames in a row failed, the last with RuntimeError: of an engine"


@pytest.mark.filterwarnings("error")
def test_a_model_that_fails_to_load_is_answered():
    def load(name: str) -> OpenCVTracker:
        raise RuntimeError("of an engine")

    with Rig(Clip(), load=load) as rig:
        rig.follower.choose("csrt", rig.answers.put)
        assert rig.answer() == "csrt cannot be loaded: RuntimeError: of an engine"


@pytest.mark.filterwarnings("error")
def test_a_request_that_fails_unexpectedly_is_answered(rig, monkeypatch):
    def fail(request: Request) -> None:
        raise RuntimeError("of OpenCV")

    rig.next()
    monkeypatch.setattr(rig.follower._follower, "request", fail)
    rig.follower.start(Request(box_at(1)), rig.answers.put)
    rig.clip.allowed.put(1)
    assert rig.answer() == "an unexpected error: RuntimeError: of OpenCV"


def test_another_model_does_not_start_where_a_lost_target_was_last(rig):
    rig.next()
    rig.follower.start(Request(box_at(1)), rig.answers.put)
    report = rig.next()
    rig.follower._last = replace(report, state="LOST", fresh=False)
    rig.follower._exchange(OpenCVTracker("csrt"))
    assert "start it again" in rig.said.get(timeout=PATIENCE)
    assert rig.next().state == IDLE


class Interrupted(Clip):
    """A recording in which the clock was set: a day between two frames."""

    def __iter__(self) -> Iterator[Frame]:
        for number, item in enumerate(super().__iter__()):
            yield Frame(item.stamp + number * 86_400 * 10**9, lambda item=item: item.image, item.nbytes)


def test_a_gap_in_the_stamps_is_cut(monkeypatch):
    monkeypatch.setattr(live, "MAX_GAP_S", 0.01)
    with Rig(Interrupted(3, live=False)) as rig:
        assert [rig.reports.get(timeout=PATIENCE).stamp for _ in range(3)][2] > 2 * 86_400 * 10**9


class Broken(Clip):
    """Gives one frame; the next ends with what no user can mend."""

    def __iter__(self) -> Iterator[Frame]:
        yield next(super().__iter__())
        raise RuntimeError("of a decoder")


def test_an_error_of_a_decoder_is_the_reason_why_it_ended():
    with Rig(Broken()) as rig:
        rig.next()
        assert rig.said.get(timeout=PATIENCE) == "clip ended with RuntimeError: of a decoder"
        assert rig.follower.failure == "clip ended with RuntimeError: of a decoder"


def test_ctrl_c_while_it_starts_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch):
    follower = Rig(Clip(live=False)).follower
    start = follower._thread.start

    def interrupted() -> None:
        start()
        raise KeyboardInterrupt

    monkeypatch.setattr(follower._thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), follower:
        pytest.fail("it has not begun")
    follower._thread.join(1.0)
    assert not follower._thread.is_alive()
