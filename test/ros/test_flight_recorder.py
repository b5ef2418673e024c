"""The node in this process with a flight recorder: what a file holds, when it is written, and that nothing waits."""

from __future__ import annotations

import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.tracker import Estimate, Policy, State, TrackerInfo

from ros_clips import box_at, frame

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")
pytest.importorskip("rosbags", reason="writes recordings")

from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from sot_tracker.ros import messages  # noqa: E402
from sot_tracker.ros import node as node_module  # noqa: E402
from sot_tracker.ros.node import TrackerNode  # noqa: E402
from sot_tracker.stream import bag_types  # noqa: E402
from sot_tracker.stream.follower import Result  # noqa: E402
from sot_tracker.stream.statistics import StateTimes  # noqa: E402


class Fake:
    info = TrackerInfo("fake", "none", "", "cpu", "a stand-in")

    def __init__(self) -> None:
        self.policy, self.state = Policy(), State.TRACKING

    def init(self, image: Any, box: Box, stamp_ns: int | None = None) -> Estimate:
        return Estimate(box, 1.0, State.TRACKING)

    def update(self, image: Any, stamp_ns: int | None = None) -> Estimate:
        return Estimate(box_at(0), 0.25, self.state)


class Setup:
    def __init__(self, **parameters: Any) -> None:
        given = [Parameter(name, value=value) for name, value in {"autostart": False, **parameters}.items()]
        self.node = TrackerNode(namespace="/inside", parameter_overrides=given)
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.pipeline = self.node._pipeline
        self.recorder = self.pipeline._recorder
        self.stamp = 0

    def send(self, count: int = 1, compressed: bool = False) -> None:
        for _ in range(count):
            self.stamp += 1
            image = frame(0)
            if compressed:
                message: Any = CompressedImage(format="png")
                message.data.frombytes(cv2.imencode(".png", image)[1].tobytes())
            else:
                message = Image(encoding="bgr8", height=image.shape[0], width=image.shape[1], step=image.strides[0])
                message.data = array("B", image.tobytes())
            message.header.stamp.nanosec = self.stamp
            message.header.frame_id = "front"
            self.pipeline._on_image(message)

    def start(self) -> None:
        self.pipeline._on_init_box(messages.detection_of(box_at(0), 1.0, Image().header, "a"))

    def dump(self) -> Any:
        return self.recorder._on_dump(Trigger.Request(), Trigger.Response())

    def close(self) -> None:
        """Deactivates, which waits for the recorder's threads."""
        if self.node._pipeline is not None:
            self.node.trigger_deactivate()


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: list[Setup] = []

    def make(**parameters: Any) -> Setup:
        made.append(Setup(**parameters))
        return made[-1]

    monkeypatch.setattr(node_module, "load_trackers", lambda config, **_: [Fake()])
    yield make
    for one in made:
        one.close()
        one.node.destroy_node()


def read(path: Path) -> list[tuple[str, Any]]:
    make_reader = pytest.importorskip("mcap.reader").make_reader
    factory = pytest.importorskip("mcap_ros2.decoder").DecoderFactory
    with path.open("rb") as file:
        found = make_reader(file, decoder_factories=[factory()]).iter_decoded_messages()
        return [(channel.topic, decoded) for _, channel, _, decoded in found]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_lost_target_writes_what_led_to_it(
    setup: Any, tmp_path: Path, compressed: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    one = setup(record_folder=str(tmp_path))
    one.start()
    for _ in range(4):
        one.send(1, compressed)
        wait_for_pictures(one, one.stamp)
    assert list(tmp_path.iterdir()) == []
    one.pipeline._trackers[0].state = State.LOST
    one.send(3, compressed)
    one.close()
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("flight_inside-tracker-node_")
    assert path.name.endswith("_lost.mcap")
    assert f"flight recording of the loss: {path}" in capfd.readouterr().err
    found = read(path)
    assert Counter(topic for topic, _ in found) >= Counter(
        {"/inside/image/compressed": 4, "/inside/detection": 4, "/inside/state": 5}
    )
    states = [message for topic, message in found if topic.endswith("state")]
    assert [message.state for message in states[:5]] == [1, 1, 1, 1, 2]
    assert (states[1].score, states[1].target_id) == (0.25, "a")
    picture = next(message for topic, message in found if topic.endswith("compressed"))
    assert (picture.header.frame_id, picture.header.stamp.nanosec) == ("front", 1)
    pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert abs(pixels.astype(int) - frame(0)).mean() < 8


def test_on_request(setup: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = setup(record_folder=str(tmp_path), record_on_loss=False)
    assert (one.dump().success, one.dump().message) == (False, "nothing was recorded yet")
    one.start()
    one.pipeline._trackers[0].state = State.LOST
    one.send(3)
    answer = one.dump()
    assert answer.success
    one.close()
    (path,) = tmp_path.iterdir()
    assert answer.message == f"writing {path}"
    assert path.name.endswith("_asked.mcap")


def test_off_by_default(setup: Any) -> None:
    one = setup()
    one.start()
    one.send(2)
    answer = one.dump()
    advice = "set the parameter record_folder before the node is configured"
    assert (answer.success, answer.message) == (False, f"nothing is recorded: {advice}")


def test_a_missing_folder_is_one_warning_and_the_node_lives(
    setup: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = setup(record_folder=str(tmp_path / "gone"))
    one.start()
    one.send()
    one.pipeline._trackers[0].state = State.LOST
    one.send(3)
    assert not one.dump().success
    reported = [line for line in capfd.readouterr().err.splitlines() if line.startswith("[WARN]") and "gone'" in line]
    assert len(reported) == 1
    assert "gone' for flight recordings does not exist: make it" in reported[0]
    assert one.node._state_machine.current_state[1] == "active"


def test_without_rosbags_the_node_says_what_to_install(
    setup: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    bag_types.types.cache_clear()
    given = [Parameter("autostart", value=False), Parameter("record_folder", value=str(tmp_path))]
    node = TrackerNode(namespace="/inside", parameter_overrides=given)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert "pip install 'rosbags>=" in capfd.readouterr().err
    node.destroy_node()


def wait_for_pictures(one: Setup, count: int) -> None:
    """Until the encoder has taken them all and put them in."""
    deadline = time.monotonic() + 10
    recent = one.recorder._recorder._recent
    while sum(entry.topic.endswith("compressed") for entry in recent.copy()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_loss_is_new_once_and_old_targets_are_forgotten(setup: Any) -> None:
    """A detector may start a target with an id of its own for days."""
    one = setup()

    def is_new(target: str, state: State, now: int) -> bool:
        estimate = Estimate(box_at(0), 0.25, state)
        return bool(one.recorder._is_new_loss(Result(None, target, estimate), now))  # type: ignore[arg-type]

    assert not is_new("a", State.TRACKING, 1)
    assert is_new("a", State.LOST, 2)
    assert not is_new("a", State.LOST, 3)
    for number in range(StateTimes.MAX):
        assert not is_new(str(number), State.TRACKING, 4 + number)
    assert is_new("a", State.LOST, 1000), "as of a target that was never seen"
