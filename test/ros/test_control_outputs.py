"""Topics for a controller, with a node that only records."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.stream.follower import Result
from sot_tracker.stream.frame import Frame
from sot_tracker.tracker import Estimate, State

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from rclpy.time import Time  # noqa: E402
from sensor_msgs.msg import CameraInfo, RegionOfInterest  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from sot_tracker.ros import messages  # noqa: E402
from sot_tracker.ros.control_outputs import ControlOutputs, info_topic  # noqa: E402

MS = 1_000_000
PERIOD = 40 * MS
START = 10**18


class Node:
    """Records what is published and said; its clock is set by hand."""

    def __init__(self, namespace: str = "/cam", topics: dict[str, str] | None = None) -> None:
        self.now = START
        self.sent: dict[str, list[Any]] = {}
        self.warnings: list[str] = []
        self.publishers: list[str] = []  # types on camera_info
        self.destroyed = 0
        self._namespace, self._topics = namespace, topics or {}

    def create_lifecycle_publisher(self, kind: Any, name: str, qos: Any) -> Any:
        return SimpleNamespace(publish=self.sent.setdefault(name, []).append)

    def create_subscription(self, kind: Any, name: str, callback: Any, qos: Any, raw: bool) -> str:
        self.topic, self.send_info = name, callback
        return name

    def get_publishers_info_by_topic(self, name: str) -> list[Any]:
        return [SimpleNamespace(topic_type=kind) for kind in self.publishers]

    def resolve_topic_name(self, name: str, only_expand: bool = False) -> str:
        plain = f"{self._namespace.rstrip('/')}/{name}"
        return plain if only_expand else self._topics.get(name, plain)

    def get_namespace(self) -> str:
        return self._namespace

    def get_clock(self) -> Any:
        return SimpleNamespace(now=lambda: Time(nanoseconds=self.now))

    def get_logger(self) -> Any:
        return SimpleNamespace(warning=self.warnings.append)

    def destroy_subscription(self, of: Any) -> None:
        self.destroyed += 1

    destroy_lifecycle_publisher = destroy_subscription


def info(**changes: Any) -> CameraInfo:
    fields = {"width": 320, "height": 240, "distortion_model": "plumb_bob", "d": [0.0] * 5}
    matrix = [200.0, 0.0, 159.5, 0.0, 200.0, 119.5, 0.0, 0.0, 1.0]
    return CameraInfo(**{**fields, "k": matrix, **changes})


def result(index: int, state: State = State.TRACKING, stamped: bool = True, target: str = "1") -> Result:
    """A target at 10 pixels per frame to the right, from the middle on."""
    stamp = START + index * PERIOD if stamped else 0
    header = Header(stamp=Time(nanoseconds=stamp).to_msg(), frame_id="eye")
    frame = Frame(stamp, lambda: np.zeros((240, 320, 3), np.uint8), 0, header=header)
    return Result(frame, target, Estimate(Box(150 + 10 * index, 110, 20, 20), 0.8, state))


def follow(outputs: ControlOutputs, node: Node, frames: int, late: int = 20 * MS, **more: Any) -> None:
    for index in range(frames):
        node.now = START + index * PERIOD + late
        outputs.publish(result(index, **more))


def test_the_prediction_is_for_the_time_at_which_it_is_published() -> None:
    node = Node()
    follow(ControlOutputs(node), node, 12)  # type: ignore[arg-type]
    sent = node.sent["predicted"]
    assert len(sent) == 12
    assert messages.stamp_of(sent[-1].header) == node.now
    assert (sent[-1].header.frame_id, sent[-1].id) == ("eye", "1")
    assert messages.box_of(sent[-1]).x == pytest.approx(150 + 110 + 5, abs=0.2)
    assert sent[-1].results[0].hypothesis.score == 0.8
    assert not node.sent["bearing"], "no camera_info"


def test_bearing_and_rate_carry_the_frames_header() -> None:
    node = Node()
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    node.send_info(info())
    follow(outputs, node, 12)
    first, last = node.sent["bearing"][0], node.sent["bearing"][-1]
    assert (first.vector.x, first.vector.y, first.vector.z) == pytest.approx((0, 0, 1))
    assert messages.stamp_of(last.header) == START + 11 * PERIOD
    assert last.vector.x / last.vector.z == pytest.approx(110 / 200)
    rate = node.sent["bearing_rate"][-1].vector
    assert (rate.x, rate.z) == pytest.approx((0, 0), abs=1e-6)
    assert 0.8 < rate.y < 1.25, "10 pixels of 200 in 40 ms, less towards the side"
    assert not node.warnings


@pytest.mark.parametrize(
    ("more", "late"),
    [({"state": State.LOST}, 20 * MS), ({"stamped": False}, 20 * MS), ({}, -5 * MS), ({}, 3_000 * MS)],
    ids=["lost", "no stamps", "a clock that is behind", "a clock that is ahead"],
)
def test_what_cannot_be_predicted_is_not(more: dict[str, Any], late: int) -> None:
    node = Node()
    follow(ControlOutputs(node), node, 3, late, **more)  # type: ignore[arg-type]
    assert not node.sent["predicted"]


def test_a_new_target_has_no_velocity_of_the_old_one() -> None:
    node = Node()
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    follow(outputs, node, 12)
    node.now = START + 12 * PERIOD + 20 * MS
    outputs.publish(result(12, target="2"))
    assert messages.box_of(node.sent["predicted"][-1]).x == pytest.approx(150 + 120)


@pytest.mark.parametrize("state", [State.TRACKING, State.LOST])
def test_a_target_that_is_given_anew_has_not_moved_from_its_old_box(state: State) -> None:
    node = Node()
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    node.send_info(info())
    follow(outputs, node, 3)
    elsewhere = Estimate(Box(20, 20, 20, 20), 0.8, state)
    node.now = START + 4 * PERIOD + 20 * MS
    outputs.publish(replace(result(3), estimate=elsewhere, is_start=True))
    outputs.publish(replace(result(4), estimate=replace(elsewhere, state=State.TRACKING)))
    rate = node.sent["bearing_rate"][-1].vector
    assert (rate.x, rate.y, rate.z) == (0, 0, 0)
    assert messages.box_of(node.sent["predicted"][-1]).x == pytest.approx(20)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"distortion_model": "magic"}, "magic"),
        ({"d": [0.1] * 3}, "3 distortion"),
        ({"k": [math.nan] * 9}, "not calibrated"),
    ],
)
def test_a_bad_camera_info_is_one_warning(bad: dict[str, Any], message: str) -> None:
    node = Node()
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    for _ in range(5):
        node.send_info(info(**bad))
    follow(outputs, node, 3)
    assert len(node.warnings) == 1
    assert message in node.warnings[0]
    assert not node.sent["bearing"]
    assert len(node.sent["predicted"]) == 3
    node.send_info(info())
    follow(outputs, node, 3)
    assert len(node.sent["bearing"]) == 3


def test_the_part_of_the_sensor_that_is_read_counts() -> None:
    node = Node()
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    roi = RegionOfInterest(x_offset=100, y_offset=50, width=320, height=240)
    node.send_info(info(width=640, height=480, roi=roi))
    follow(outputs, node, 1)
    vector = node.sent["bearing"][0].vector
    assert vector.x / vector.z == pytest.approx((160 + 100 - 160) / 200)
    assert vector.y / vector.z == pytest.approx((120 + 50 - 120) / 200)


@pytest.mark.parametrize(("width", "height"), [(240, 320), (320, 180)], ids=["rotated", "cropped"])
def test_pictures_that_camera_info_does_not_describe_have_no_bearing(width: int, height: int) -> None:
    node = Node()
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    node.send_info(info(width=width, height=height))
    follow(outputs, node, 3)
    assert not node.sent["bearing"]
    assert len(node.sent["predicted"]) == 3
    (warning,) = node.warnings
    assert f"it describes pictures of {width}x{height}, but they are 320x240" in warning
    node.send_info(info())
    follow(outputs, node, 3)
    assert len(node.sent["bearing"]) == 3


def test_pictures_of_half_the_size_have_the_same_bearing() -> None:
    node = Node()
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    node.send_info(info(width=640, height=480, k=[400.0, 0.0, 319.5, 0.0, 400.0, 239.5, 0.0, 0.0, 1.0]))
    follow(outputs, node, 3)
    vector = node.sent["bearing"][-1].vector
    assert (vector.x / vector.z, vector.y) == pytest.approx((20 / 200, 0))


@pytest.mark.parametrize(
    ("image", "x"), [("/front/image_raw", 0.0), ("/front/image_rect", 0.1), ("/front/image_rect_color/compressed", 0.1)]
)
def test_rectified_pictures_are_not_undistorted_again(image: str, x: float) -> None:
    """P here looks 20 pixels to the left of K: only where P is used the target is to the right."""
    node = Node(topics={"image": image})
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    p = [200.0, 0.0, 139.5, 0.0, 0.0, 200.0, 119.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    node.send_info(info(d=[0.3, 0.0, 0.0, 0.0, 0.0], p=p))
    follow(outputs, node, 1)
    vector = node.sent["bearing"][0].vector
    assert (vector.x / vector.z, vector.y) == pytest.approx((x, 0), abs=1e-9)


def test_camera_info_of_another_type_is_named_once() -> None:
    node, said = Node(), []
    outputs = ControlOutputs(node)  # type: ignore[arg-type]
    outputs.watch(lambda kind, text: said.append(text))
    assert said == []
    node.publishers = ["std_msgs/msg/String"]
    for _ in range(5):
        outputs.watch(lambda kind, text: said.append(text))
    text = "/cam/camera_info carries std_msgs/msg/String, but sensor_msgs/msg/CameraInfo is needed"
    assert said == [f"{text}: change the publisher or remap this topic"]


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ({}, "/cam/camera_info"),
        ({"image": "/front/image_raw"}, "/front/camera_info"),
        ({"image": "/front/image_raw/compressed"}, "/front/camera_info"),
        ({"image/compressed": "/front/image_raw/compressed"}, "/front/camera_info"),
        ({"image/compressed": "/front/jpeg"}, "/front/camera_info"),
        ({"image": "/front/image_raw", "camera_info": "/my/info"}, "/my/info"),
    ],
)
def test_where_camera_info_is(topics: dict[str, str], expected: str) -> None:
    assert info_topic(Node(topics=topics)) == expected  # type: ignore[arg-type]


def test_everything_ends_with_it() -> None:
    node = Node()
    ControlOutputs(node).close()  # type: ignore[arg-type]
    assert node.destroyed == 4
