"""The node in this process, fed by hand: what a frame may do to it, what it costs, and what it gives back."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from array import array
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.tracker import Estimate, Policy, State, TrackerInfo
from sot_tracker.tracking.realtime import RealtimeTracker

from ros_clips import box_at, frame

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import qos_profile_sensor_data  # noqa: E402
from rclpy.time import Time  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from vision_msgs.msg import Detection2D, Detection2DArray  # noqa: E402

from sot_tracker.ros import messages, publishers  # noqa: E402
from sot_tracker.ros import node as node_module  # noqa: E402
from sot_tracker.ros.node import TrackerNode  # noqa: E402
from sot_tracker.ros.pipeline import BOXES_REPORTED, MAX_FAILURES  # noqa: E402
from sot_tracker.stream.object_search import Found  # noqa: E402

DONE = TransitionCallbackReturn.SUCCESS


class Network:
    """Stands for the memory that a model takes."""


class Fake:
    """A tracker that fails as told."""

    info = TrackerInfo("fake", "none", "", "cpu", "a stand-in")

    def __init__(self) -> None:
        self.network = Network()
        self.policy = Policy()
        self.error: Exception | None = None
        self.seconds = 0.0
        self.started = 0

    def init(self, image: Any, box: Box, stamp_ns: int | None = None) -> Estimate:
        self.started += 1
        return Estimate(box, 1.0, State.TRACKING)

    def update(self, image: Any, stamp_ns: int | None = None) -> Estimate:
        if self.error is not None:
            raise self.error
        time.sleep(self.seconds)
        return Estimate(box_at(0), 1.0, State.TRACKING, {"track": self.seconds * 1e3})


class Record:
    """In place of the publishers."""

    debug_is_watched = False

    def __init__(self, _: Any) -> None:
        self.stages: list[dict[str, float]] = []
        self.states: list[State | None] = []
        self.together: list[list[str]] = []
        self.counts = (0, 0, 0)

    def publish(self, result: Any, stages: Any, age_ms: float, counts: tuple[int, int, int]) -> tuple[None, None]:
        self.stages.append(dict(stages))
        self.states.append(result.estimate.state if result.estimate else None)
        self.counts = counts
        return None, None

    def publish_all(self, results: Any) -> None:
        self.together.append([result.target_id for result in results if result.estimate])

    def publish_debug(self, results: Any, name: str, max_width: int, proposal: Any = None) -> None:
        if self.debug_is_watched:
            assert results[0].frame.image.shape[2] == 3

    def watch(self, warn: Any) -> None:
        pass

    def close(self) -> None:
        pass


class Setup:
    def __init__(self, **parameters: Any) -> None:
        given = [Parameter(name, value=value) for name, value in {"autostart": False, **parameters}.items()]
        self.node = TrackerNode(namespace="/inside", parameter_overrides=given)
        self.stamp = 0

    @property
    def tracker(self) -> Any:
        return self.node._trackers[0] if self.node._trackers else None

    @property
    def record(self) -> Any:
        return self.node._outputs

    def go(self, *steps: str) -> None:
        for step in steps:
            assert getattr(self.node, f"trigger_{step}")() == DONE

    def send(self, message: Any = None) -> None:
        if message is None:
            image = frame(0)
            message = Image(encoding="bgr8", height=image.shape[0], width=image.shape[1], step=image.strides[0])
            message.data = array("B", image.tobytes())
        self.stamp += 1
        message.header.stamp.nanosec = self.stamp
        self.node._pipeline._on_image(message)

    def box(self, box: Box) -> None:
        self.node._pipeline._on_init_box(messages.detection_of(box, 1.0, Image().header, ""))

    def state(self) -> str:
        return str(self.node._state_machine.current_state[1])


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes a node with these parameters."""
    made: list[Setup] = []

    def make(**parameters: Any) -> Setup:
        made.append(Setup(**parameters))
        return made[-1]

    monkeypatch.setattr(
        node_module, "load_trackers", lambda config, realtime: [Fake() for _ in range(config.max_targets)]
    )
    monkeypatch.setattr(node_module, "Outputs", Record)
    yield make
    for one in made:
        one.node.destroy_node()


def jpeg(width: int = 1280, height: int = 720) -> CompressedImage:
    message = CompressedImage(format="jpeg")
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    message.data.frombytes(cv2.imencode(".jpg", picture)[1].tobytes())
    return message


def test_the_stages_add_up_to_the_whole(setup: Any) -> None:
    one = setup()
    one.go("configure", "activate")
    one.box(box_at(0))
    one.tracker.seconds = 0.005
    for _ in range(6):
        one.send(jpeg())
    for stages in one.record.stages[1:]:
        parts = sum(ms for name, ms in stages.items() if name != "process")
        assert parts <= stages["process"]
    best = max(
        sum(ms for name, ms in stages.items() if name != "process") / stages["process"]
        for stages in one.record.stages[1:]
    )
    assert best > 0.9, "what is in no stage is the rest of the callback, well below a millisecond"
    assert min(stages["convert"] for stages in one.record.stages) > 2, "decoding a 720p JPEG of noise takes its time"


@pytest.mark.parametrize("error", [cv2.error("broken"), RuntimeError("CUDA out of memory"), MemoryError()])
def test_an_unexpected_error_costs_its_frame(setup: Any, capfd: pytest.CaptureFixture[str], error: Exception) -> None:
    one = setup()
    one.go("configure", "activate")
    one.box(box_at(0))
    one.send()
    one.tracker.error = error
    for _ in range(MAX_FAILURES - 1):
        one.send()
    one.tracker.error = None
    one.send()
    one.node._pipeline._watch()
    assert one.state() == "active"
    assert one.record.states == [State.TRACKING] * 2
    reported = [line for line in capfd.readouterr().err.splitlines() if "frame failed" in line]
    assert len(reported) == 1
    assert type(error).__name__ in reported[0]
    status = one.node._pipeline._health.report(0, {})[0].status[0]
    assert status.message.startswith(f"9 of 11 frames refused: {type(error).__name__}")


def test_errors_frame_after_frame_end_in_unconfigured_and_can_be_tried_again(
    setup: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    one = setup()
    one.go("configure", "activate")
    one.box(box_at(0))
    one.send()
    one.tracker.error = RuntimeError("device lost")
    for _ in range(MAX_FAILURES):
        one.send()
    one.node._pipeline._watch()
    assert one.state() == "unconfigured"
    assert one.tracker is None
    reported = capfd.readouterr().err
    assert "10 frames in a row failed, the last with RuntimeError: device lost" in reported
    assert "configure and activate it to try again" in reported
    one.go("configure", "activate")
    one.box(box_at(0))
    one.send()
    assert one.record.states == [State.TRACKING]


def test_the_last_diagnostics_of_a_node_that_gives_up_are_an_error_with_the_reason(setup: Any) -> None:
    one = setup()
    monitor = rclpy.create_node("monitor")
    heard: list[Any] = []
    monitor.create_subscription(DiagnosticArray, "/diagnostics", lambda message: heard.extend(message.status), 10)
    one.go("configure", "activate")
    deadline = time.monotonic() + 20
    while one.node._pipeline._diagnostics.get_subscription_count() == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    one.box(box_at(0))
    one.send()
    one.node._pipeline._on_second()
    one.tracker.error = RuntimeError("device lost")
    for _ in range(MAX_FAILURES):
        one.send()
    one.node._pipeline._watch()
    while len(heard) < 2 and time.monotonic() < deadline - 10:
        rclpy.spin_once(monitor, timeout_sec=0.1)
    monitor.destroy_node()
    assert [status.level for status in heard] == [DiagnosticStatus.OK, DiagnosticStatus.ERROR]
    assert heard[1].message == "10 frames in a row failed, the last with RuntimeError: device lost"
    assert heard[1].name == heard[0].name


def test_a_frame_that_the_tracker_refuses_is_no_failure(setup: Any) -> None:
    one = setup()
    one.go("configure", "activate")
    one.box(box_at(0))
    one.send()
    one.tracker.error = UserError("of another size")
    for _ in range(2 * MAX_FAILURES):
        one.send()
    one.node._pipeline._watch()
    assert one.state() == "active"


def test_damaged_frames_are_refused_while_somebody_watches_without_a_target(setup: Any) -> None:
    one = setup()
    one.go("configure", "activate")
    one.record.debug_is_watched = True
    one.send(jpeg(64, 48))
    one.send(CompressedImage(format="jpeg", data=b"no picture"))
    one.send(jpeg(64, 48))
    assert one.record.counts == (2, 0, 1)
    assert one.record.states == [None, None]


@pytest.mark.parametrize("active", [True, False])
def test_cleanup_frees_the_network_at_once(setup: Any, active: bool) -> None:
    one = setup(init_box=[10.0, 10.0, 20.0, 20.0])
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            one.go("configure", "activate")
            network = weakref.ref(one.tracker.network)
            one.send()
            one.send()
            one.go("deactivate")
            assert network() is not None
            if active:
                one.go("activate")
                one.send()
                one.go("deactivate")
            one.go("cleanup")
            assert network() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("steps", [("configure", "activate"), ("configure",), ()])
def test_a_node_that_is_destroyed_without_a_cleanup_holds_nothing(
    setup: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    pytest.importorskip("rosbags")
    monkeypatch.setattr(node_module, "load_trackers", lambda config, realtime: [RealtimeTracker(Fake())])
    monkeypatch.setattr(node_module, "Outputs", publishers.Outputs)
    before = set(threading.enumerate())
    one = setup(record_folder=str(tmp_path))
    one.go(*steps)
    network = None
    if steps:
        network = weakref.ref(one.tracker._inner.network)
    if "activate" in steps:
        one.box(box_at(0))
        for _ in range(3):
            one.send()
        one.node._pipeline._inputs._click(60, 60, 0)  # a search for an object runs
        one.node._pipeline._recorder._recorder.dump("asked")
        names = {thread.name.partition("_")[0] for thread in set(threading.enumerate()) - before}
        assert {"search", "object"} <= names
    one.node.destroy_node()
    deadline = time.monotonic() + 10  # a search that runs is not waited for
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before
    assert network is None or network() is None
    assert len(list(tmp_path.glob("*.mcap"))) == ("activate" in steps)


def test_the_box_parameter_starts_one_target_per_configure(setup: Any) -> None:
    one = setup(init_box=[10.0, 10.0, 20.0, 20.0])
    one.go("configure", "activate", "deactivate", "activate")
    one.send()
    assert one.tracker.started == 1, "it waited through an activation without frames"
    one.go("deactivate", "activate")
    one.send()
    one.send()
    assert one.tracker.started == 1, "the target is elsewhere by now"
    one.go("deactivate", "cleanup", "configure", "activate")
    one.send()
    assert one.tracker.started == 1


def test_the_history_is_bounded_in_bytes(setup: Any) -> None:
    one = setup(frame_history=300, frame_history_mb=1)
    one.go("configure", "activate")
    for _ in range(60):
        one.send()
    assert len(frame(0).tobytes()) * 60 > 2 << 20
    assert one.node._pipeline._follower.history.nbytes <= 1 << 20


# ---- many targets


stop_type = messages.stop_type()
needs_services = pytest.mark.skipif(stop_type is None, reason="services were not generated")


def started(setup: Any, **parameters: Any) -> Setup:
    one: Setup = setup(**parameters)
    one.go("configure", "activate")
    return one


def boxes(one: Setup, *names: str) -> None:
    header = Image().header
    detections = [messages.detection_of(box_at(0), 1.0, header, name) for name in names]
    one.node._pipeline._many._on_boxes(Detection2DArray(detections=detections))  # type: ignore[union-attr]


def stop(one: Setup, name: str) -> Any:
    assert stop_type is not None
    request = stop_type.Request(target_id=name)
    return one.node._pipeline._many._on_stop(request, stop_type.Response())  # type: ignore[union-attr]


def test_boxes_that_find_room_are_followed_and_the_rest_refused_once(
    setup: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    one = started(setup, max_targets=2)
    boxes(one, "a", "b", "c", "d")
    one.send()
    one.send()
    assert one.record.together == [["a", "b"], ["a", "b"]]
    assert len(one.record.states) == 4, "one state for each target and frame"
    reported = [line for line in capfd.readouterr().err.splitlines() if "refused" in line]
    assert len(reported) == 1
    assert "2 of 4 boxes refused: max_targets=2 are followed (a, b)" in reported[0]
    assert one.record.counts[0] == 2, "frames, not targets, are counted"


def test_a_target_is_reported_as_new_once(setup: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Also where the next one starts in a frame that has been worked on, as by `~/init`."""
    one = started(setup, max_targets=3)
    one.send()
    for name in ("a", "b"):
        box = messages.detection_of(box_at(0), 1.0, Image().header, name)
        box.header.stamp.nanosec = one.stamp
        one.node._pipeline._on_init_box(box)  # type: ignore[union-attr]
    one.send()
    reported = capfd.readouterr().err
    assert [reported.count(f"tracking target {name}") for name in ("a", "b")] == [1, 1]


def test_a_target_that_starts_in_a_published_frame_is_reported_together_with_the_others(setup: Any) -> None:
    one = started(setup, max_targets=3)
    boxes(one, "a", "b")
    one.send()
    for name in ("c", "a"):
        box = messages.detection_of(box_at(0), 1.0, Image().header, name)
        box.header.stamp.nanosec = one.stamp
        one.node._pipeline._on_init_box(box)  # type: ignore[union-attr]
    stop(one, "b")
    box.id = "c"
    one.node._pipeline._on_init_box(box)  # type: ignore[union-attr]
    one.send()
    together = [sorted(names) for names in one.record.together]
    assert together == [["a", "b"], ["a", "b", "c"], ["a", "b", "c"], ["a", "c"], ["a", "c"]]


@pytest.mark.parametrize(("behind_s", "message"), [(0.5, " ms old"), (1e9, "started from a frame")])
def test_the_age_of_a_frame_of_another_clock_is_not_told(
    setup: Any, capfd: pytest.CaptureFixture[str], behind_s: float, message: str
) -> None:
    one = started(setup)
    stamp = Time(nanoseconds=one.node.get_clock().now().nanoseconds - int(behind_s * 1e9)).to_msg()
    image = frame(0)
    picture = Image(encoding="bgr8", height=image.shape[0], width=image.shape[1], step=image.strides[0])
    picture.data, picture.header.stamp = array("B", image.tobytes()), stamp
    one.node._pipeline._on_image(picture)  # type: ignore[union-attr]
    box = messages.detection_of(box_at(0), 1.0, picture.header, "")
    one.node._pipeline._on_init_box(box)  # type: ignore[union-attr]
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "init_box (" in line]
    assert line.endswith(message)


@pytest.mark.parametrize("reliability", ["auto", "reliable", "best_effort"])
def test_boxes_come_from_any_publisher_whatever_is_set_for_images(setup: Any, reliability: str) -> None:
    one = started(setup, reliability=reliability)
    pipeline: Any = one.node._pipeline
    topics = {"init_box": Detection2D, "init_boxes": Detection2DArray}
    made = [one.node.create_publisher(kind, name, qos_profile_sensor_data) for name, kind in topics.items()]
    deadline = time.monotonic() + 40.0
    while [pipeline._init_box.reliability, pipeline._many._boxes.reliability] != ["best_effort"] * 2:
        assert time.monotonic() < deadline
        pipeline._watch()
    for publisher in made:
        one.node.destroy_publisher(publisher)


def test_refused_boxes_do_not_flood_the_log(setup: Any, capfd: pytest.CaptureFixture[str]) -> None:
    one = started(setup)
    for _ in range(200):
        one.box(Box(1, 1, 0, 0))
    assert BOXES_REPORTED <= capfd.readouterr().err.count("init_box refused") < 100


@needs_services
def test_ids_cannot_write_into_the_log(setup: Any, capfd: pytest.CaptureFixture[str]) -> None:
    one = started(setup, max_targets=1)
    boxes(one, "a\n\x1b[31m")
    one.send()
    assert stop(one, "b").message == r"there is no target 'b'; tracked are a\n\x1b[31m"
    two = started(setup, max_targets=2)
    boxes(two, "a\n\x1b[31m", "b", "c")
    assert r"(a\n\x1b[31m, b)" in capfd.readouterr().err


def test_with_one_target_a_new_box_replaces_it(setup: Any) -> None:
    one = started(setup)
    boxes(one, "a")
    one.send()
    one.box(box_at(0))
    one.send()
    assert one.record.together == [["a"], ["1"]]


@needs_services
def test_stop_one_and_all(setup: Any) -> None:
    one = started(setup, max_targets=3)
    boxes(one, "a", "b", "c")
    one.send()
    assert stop(one, "b").success
    one.send()
    refused = stop(one, "b")
    assert (refused.success, refused.message) == (False, "there is no target 'b'; tracked are a, c")
    assert stop(one, "").success
    one.send()
    nobody = stop(one, "")
    assert (nobody.success, nobody.message) == (False, "there is no target")
    assert one.record.together == [["a", "b", "c"], ["a", "c"], []]


def test_a_stopped_node_forgets_all(setup: Any) -> None:
    one = started(setup, max_targets=2)
    boxes(one, "a", "b")
    one.send()
    one.go("deactivate", "activate")
    one.send()
    assert one.record.together == [["a", "b"], []]
    one.go("deactivate", "cleanup")
    assert one.tracker is None


def test_detections_are_those_that_the_tracker_accepts() -> None:
    from sot_tracker.stream.follower import Result
    from sot_tracker.stream.frame import Frame
    from sot_tracker.tracker import Estimate, State

    header = Image().header
    header.frame_id = "camera"
    frame = Frame(0, lambda: None, header=header)  # type: ignore[arg-type, return-value]
    states = {"a": State.TRACKING, "b": State.LOST, "c": State.TRACKING}
    results = [Result(frame, name, Estimate(box_at(0), 0.5, state)) for name, state in states.items()]
    message = messages.detections_of(results)
    assert message.header.frame_id == "camera"
    assert [one.id for one in message.detections] == ["a", "c"]
    assert messages.detections_of([Result(frame)]).detections == []


def test_detection_and_detections_have_one_score(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from sot_tracker.ros.publishers import Outputs
    from sot_tracker.stream.follower import Result
    from sot_tracker.stream.frame import Frame

    sent: dict[str, Any] = {}
    node = SimpleNamespace(
        create_lifecycle_publisher=lambda kind, name, qos: SimpleNamespace(publish=partial(sent.__setitem__, name)),
        get_clock=lambda: SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=0)),
    )
    monkeypatch.setattr(publishers, "ControlOutputs", lambda node: SimpleNamespace(publish=lambda result: None))
    outputs = Outputs(node)  # type: ignore[arg-type]
    frame = Frame(0, lambda: None, header=Image().header)  # type: ignore[arg-type, return-value]
    result = Result(frame, "1", Estimate(box_at(0), 0.5, State.TRACKING, probability=0.9))
    outputs.publish(result, {}, 0.0, (1, 0, 0))
    outputs.publish_all([result])
    assert sent["detections"].detections == [sent["detection"]]


def test_no_state_begins_in_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated clock that is set back, as by a bag that loops, would give states a negative age."""
    from types import SimpleNamespace

    from sot_tracker.ros.publishers import Outputs
    from sot_tracker.stream.follower import Result
    from sot_tracker.stream.frame import Frame

    sent: list[Any] = []
    clock = SimpleNamespace(nanoseconds=0)
    node = SimpleNamespace(
        create_lifecycle_publisher=lambda kind, name, qos: SimpleNamespace(
            publish=sent.append if name == "state" else lambda message: None
        ),
        get_clock=lambda: SimpleNamespace(now=lambda: clock),
    )
    monkeypatch.setattr(publishers, "ControlOutputs", lambda node: SimpleNamespace(publish=lambda result: None))
    outputs = Outputs(node)  # type: ignore[arg-type]
    frame = Frame(0, lambda: None, header=Image().header)  # type: ignore[arg-type, return-value]
    began = []
    for clock.nanoseconds in (100, 104, 50, 54):
        for name in ("a", "b"):
            outputs.publish(Result(frame, name, Estimate(box_at(0), 0.5, State.TRACKING)), {}, 0.0, (1, 0, 0))
            began.append(sent[-1].since.nanosec)
    assert began == [100, 100, 100, 100, 50, 50, 50, 50]


def test_the_state_of_a_target_that_is_given_anew_begins_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a deactivation, where no frame without a target came in between."""
    from types import SimpleNamespace

    from sot_tracker.ros.publishers import Outputs
    from sot_tracker.stream.follower import Result
    from sot_tracker.stream.frame import Frame

    sent: list[Any] = []
    clock = SimpleNamespace(nanoseconds=0)
    node = SimpleNamespace(
        create_lifecycle_publisher=lambda kind, name, qos: SimpleNamespace(
            publish=sent.append if name == "state" else lambda message: None
        ),
        get_clock=lambda: SimpleNamespace(now=lambda: clock),
    )
    monkeypatch.setattr(publishers, "ControlOutputs", lambda node: SimpleNamespace(publish=lambda result: None))
    outputs = Outputs(node)  # type: ignore[arg-type]
    frame = Frame(0, lambda: None, header=Image().header)  # type: ignore[arg-type, return-value]
    tracked = Result(frame, "1", Estimate(box_at(0), 0.5, State.TRACKING))
    for clock.nanoseconds, is_start in ((100, True), (140, False), (180, True), (220, False)):
        outputs.publish(replace(tracked, is_start=is_start), {}, 0.0, (1, 0, 0))
    assert [state.since.nanosec for state in sent] == [100, 100, 180, 180]


def test_the_loss_of_every_target_is_logged(setup: Any, capfd: pytest.CaptureFixture[str]) -> None:
    one = started(setup, max_targets=2)
    boxes(one, "a", "b")
    one.send()
    for tracker in one.node._trackers:
        tracker.update = lambda image, stamp_ns=None: Estimate(box_at(0), 0.0, State.LOST)
    one.send()
    reported = capfd.readouterr().err
    assert [f"target {name} lost" in reported for name in "ab"] == [True, True]


@pytest.mark.parametrize("stamp", [0, 1])
def test_a_click_without_a_stamp_is_in_the_newest_frame(setup: Any, stamp: int) -> None:
    one = setup()
    one.go("configure", "activate")
    for _ in range(3):
        one.stamp = one.stamp if stamp else -1
        one.send()
    inputs = one.node._pipeline._inputs
    assert inputs._frames_from(0) == [inputs._history.newest]


@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({"select": "best"}, True),
        ({"select_value": "7"}, True),
        ({"select": "largest"}, False),
        ({"select": "best", "lost_threshold": "high"}, False),  # refused together
        ({"lost_threshold": 0.5}, False),
    ],
)
def test_only_a_rule_that_is_taken_asks_for_one_more_target(setup: Any, changes: dict[str, Any], asks: bool) -> None:
    one = setup(select="best")
    one.go("configure", "activate")
    one.send()
    one.node._pipeline._inputs.stop()
    answer = one.node.set_parameters_atomically([Parameter(name, value=value) for name, value in changes.items()])
    assert answer.successful == (asks or changes == {"lost_threshold": 0.5})
    one.node._pipeline._inputs._on_detections(
        Detection2DArray(detections=[messages.detection_of(box_at(0), 0.5, Image().header, "")])
    )
    one.send()
    assert one.tracker.started == int(asks)


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        ("off", "", "select is off, so none of them starts a target"),
        ("class", "dog", "no detection has the class 'dog': there are 'target'"),
        ("id", "8", "no detection has the id '8': there are '7'"),
    ],
)
def test_why_no_detection_starts_a_target_is_told_once(
    setup: Any, capfd: pytest.CaptureFixture[str], rule: str, value: str, message: str
) -> None:
    one = started(setup, select=rule, select_value=value)
    one.send()
    found = Detection2DArray(detections=[messages.detection_of(box_at(0), 0.5, Image().header, "7")])
    for _ in range(5):
        one.node._pipeline._inputs._on_detections(found)  # type: ignore[union-attr]
    assert 1 <= capfd.readouterr().err.count(f"init_detections: {message}") < 5
    one.node.set_parameters([Parameter("select", value=rule)])
    one.node._pipeline._inputs._on_detections(found)  # type: ignore[union-attr]
    assert message in capfd.readouterr().err, "it was set again"


@needs_services
def test_a_stopped_target_is_not_selected_again(setup: Any) -> None:
    """Also where no detection came while it was followed."""
    one = started(setup, select="best")
    found = Detection2DArray(detections=[messages.detection_of(box_at(0), 0.5, Image().header, "7")])
    one.send()
    one.node._pipeline._inputs._on_detections(found)  # type: ignore[union-attr]
    one.send()
    assert stop(one, "7").success
    one.node._pipeline._inputs._on_detections(found)  # type: ignore[union-attr]
    one.send()
    assert one.record.together == [[], ["7"], []]


def test_a_detector_beside_compressed_frames(setup: Any) -> None:
    """Without a target they are not decoded, and their size is not known."""
    one = started(setup, select="best")
    one.send(jpeg(160, 120))
    found = Detection2DArray(detections=[messages.detection_of(box_at(0), 0.5, Image().header, "7")])
    one.node._pipeline._inputs._on_detections(found)  # type: ignore[union-attr]
    one.send(jpeg(160, 120))
    assert one.record.together == [[], ["7"]]


@pytest.mark.parametrize(("name", "value", "warns"), [("csrt", 0.5, True), ("csrt", -1.0, False), ("fake", 0.5, False)])
def test_a_threshold_without_effect_is_said(
    setup: Any, capfd: pytest.CaptureFixture[str], name: str, value: float, warns: bool
) -> None:
    one = setup()
    one.go("configure", "activate")
    one.tracker.info = replace(Fake.info, name=name)
    one.node.set_parameters([Parameter("lost_threshold", value=value)])
    one.send()
    assert ("csrt gives no score" in capfd.readouterr().err) == warns


def test_frames_that_a_proposal_went_through_keep_no_decoded_picture(setup: Any) -> None:
    one = setup(frame_history=10)
    one.go("configure", "activate")
    packed = cv2.imencode(".png", frame(0))[1].tobytes()
    for _ in range(6):
        one.send(CompressedImage(format="png", data=array("B", packed)))
    inputs = one.node._pipeline._inputs
    frames = list(inputs._history)
    found = Found(60.0, 60.0, frames[0], box_at(0))
    inputs._search.result = lambda: found
    inputs._propose_what_was_found()
    assert inputs.proposal is not None
    assert [kept._image is None for kept in frames] == [True] * 5 + [False]
