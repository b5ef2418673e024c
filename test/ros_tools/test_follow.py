"""The closed loop over real DDS: range, tracker node and follow node as processes, and somebody who watches."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from geometry_msgs.msg import TwistStamped, Vector3Stamped  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.time import Time  # noqa: E402
from rosgraph_msgs.msg import Clock as ClockMessage  # noqa: E402
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: E402
from sot_tracker.msg import TrackerState  # noqa: E402
from std_msgs.msg import Header  # noqa: E402
from vision_msgs.msg import Detection2D  # noqa: E402

from sot_tracker.follow.control import Mode  # noqa: E402
from sot_tracker.ros import messages  # noqa: E402
from sot_tracker.ros_tools import harness  # noqa: E402
from sot_tracker.ros_tools.follow import FollowNode  # noqa: E402

IDLE, TRACKING, LOST, UNCERTAIN = 0, 1, 2, 3
MS = 1_000_000
PATIENCE = 40.0


def rates(message: TwistStamped) -> tuple[float, float]:
    """About z and about y."""
    return message.twist.angular.z, message.twist.angular.y


class Bench:
    """A follow node in this process, and a node that plays the tracker."""

    def __init__(self, namespace: str, **parameters: Any) -> None:
        given = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = FollowNode(namespace=namespace, parameter_overrides=given)
        self.player = Node("player_of_tracker", namespace=namespace)
        self.executor = SingleThreadedExecutor()
        for node in (self.node, self.player):
            self.executor.add_node(node)
        kinds = {
            "state": TrackerState,
            "detection": Detection2D,
            "bearing": Vector3Stamped,
            "camera_info": CameraInfo,
            "image": Image,
        }
        self.topics = {name: self.player.create_publisher(kind, name, 10) for name, kind in kinds.items()}
        self.commands: list[TwistStamped] = []
        self.player.create_subscription(TwistStamped, "cmd_vel", self.commands.append, 100)
        self.until(lambda: bool(self.commands), "the first command")
        needed = [self.topics[name] for name in ("state", "detection", "bearing", "camera_info")]
        self.until(lambda: all(topic.get_subscription_count() > 0 for topic in needed), "the subscriptions")

    def until(self, condition: Any, what: str, patience: float = PATIENCE) -> None:
        assert harness.spin_until(self.executor, condition, patience), f"{what} did not come"

    def calibrate(self) -> None:
        info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[0.0] * 5)
        info.k = [500.0, 0.0, 319.5, 0.0, 500.0, 239.5, 0.0, 0.0, 1.0]
        self.topics["camera_info"].publish(info)
        self.until(lambda: self.node._camera is not None and self.node._camera.matrix[0, 0] == 500, "the calibration")

    def show(self, width: int, height: int) -> None:
        """Pictures of this size, until the node knows it."""

        def sized() -> bool:
            self.topics["image"].publish(Image(width=width, height=height, encoding="bgr8"))
            self.executor.spin_once(timeout_sec=0.05)
            return self.node._picture == (width, height)

        self.until(sized, "the size of the picture")
        assert self.node._camera is not None
        assert self.node._camera.size == (width, height)

    def frame(
        self,
        state: int,
        box: Box | None = None,
        ray: Any = None,
        age_ms: float = 5.0,
        stamp: int = 0,
        name: str = "1",
        since: int = 0,
    ) -> None:
        """What a tracker says of one target in one frame."""
        now = self.player.get_clock().now().nanoseconds
        header = Header(stamp=Time(nanoseconds=stamp or now).to_msg())
        if box is not None:
            self.topics["detection"].publish(messages.detection_of(box, 1.0, header, name))
        if ray is not None:
            bearing = Vector3Stamped(header=header)
            bearing.vector.x, bearing.vector.y, bearing.vector.z = ray
            self.topics["bearing"].publish(bearing)
        name = "" if state == IDLE else name
        told = TrackerState(header=header, state=state, frame_age_ms=age_ms, target_id=name)
        told.since = Time(nanoseconds=since).to_msg()
        self.topics["state"].publish(told)

    def drive(self, **what: Any) -> tuple[float, float]:
        """Say it until a command that is not zero came; that command."""
        self.commands.clear()

        def moved() -> bool:
            self.frame(TRACKING, **what)
            harness.spin_until(self.executor, lambda: False, 0.03)
            return bool(self.commands) and any(rates(self.commands[-1]))

        self.until(moved, "a command")
        return rates(self.commands[-1])

    def is_still(self, state: int, **what: Any) -> bool:
        """Whether fifteen frames of that kind end in a zero command."""
        for _ in range(15):
            self.frame(state, **what)
            harness.spin_until(self.executor, lambda: False, 0.02)
        return not any(rates(self.commands[-1]))

    def close(self) -> None:
        self.executor.shutdown()
        for node in (self.node, self.player):
            node.destroy_node()


@pytest.fixture
def bench() -> Any:
    made = Bench("/bench", coast=0.05)
    yield made
    made.close()


RIGHT_AND_BELOW, LEFT_AND_ABOVE = Box(500, 400, 40, 40), Box(50, 30, 40, 40)


def test_a_detection_turns_the_camera_and_everything_else_stops_it(bench: Bench) -> None:
    bench.calibrate()
    for state, what in (
        (LOST, {}),
        (IDLE, {}),
        (UNCERTAIN, {"box": RIGHT_AND_BELOW}),
        (TRACKING, {}),  # no detection came with it
        (TRACKING, {"box": RIGHT_AND_BELOW, "age_ms": 900.0}),
        (TRACKING, {"box": Box(float("nan"), 1, 5, 5)}),
        (99, {"box": RIGHT_AND_BELOW}),
    ):
        about_z, about_y = bench.drive(box=RIGHT_AND_BELOW)
        assert about_z < 0 < about_y, "x forward, y left, z up: right is negative, down is positive"
        assert bench.is_still(state, **what), (state, what)
    about_z, about_y = bench.drive(box=LEFT_AND_ABOVE)
    assert about_z > 0 > about_y
    assert bench.commands[-1].header.frame_id == "camera_link"


def test_silence_and_frames_of_the_past_stop_it(bench: Bench) -> None:
    bench.calibrate()
    bench.drive(box=RIGHT_AND_BELOW)
    last = bench.player.get_clock().now().nanoseconds
    bench.until(lambda: not any(rates(bench.commands[-1])), "a stop", 2.0)
    stopped = Time.from_msg(bench.commands[-1].header.stamp).nanoseconds
    assert stopped - last < 1000 * MS
    bench.drive(box=RIGHT_AND_BELOW)
    newest = bench.player.get_clock().now().nanoseconds
    bench.frame(LOST, stamp=newest)
    bench.until(lambda: not any(rates(bench.commands[-1])), "a stop")
    bench.commands.clear()
    for back in (10, 100, 900):
        bench.frame(TRACKING, box=RIGHT_AND_BELOW, stamp=newest - back * MS)
    harness.spin_until(bench.executor, lambda: False, 0.15)
    assert not any(any(rates(message)) for message in bench.commands)


def test_a_camera_that_stamps_no_frame_moves_nothing(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """Without stamps nobody knows how old a box is, nor to which frame it belongs."""
    bench.calibrate()
    bench.drive(box=RIGHT_AND_BELOW)
    assert bench.is_still(TRACKING, box=RIGHT_AND_BELOW, age_ms=float("nan"))
    assert bench.node._controller.mode is Mode.STALE
    assert "its age is not known: the camera must stamp its frames" in capfd.readouterr().err


def test_simulated_time_counts_where_it_is_used() -> None:
    """A simulation at any speed: a box grows old by its clock alone."""
    bench = Bench("/simulated", use_sim_time=True)
    clock = bench.player.create_publisher(ClockMessage, "/clock", 10)
    bench.until(lambda: clock.get_subscription_count() > 0, "the subscription to /clock")

    def at(seconds: float) -> None:
        message = ClockMessage(clock=Time(nanoseconds=int(seconds * 1e9)).to_msg())
        bench.until(lambda: clock.publish(message) or bench.node.get_clock().now().nanoseconds == seconds * 1e9, "it")

    def turns(cycles: int = 60) -> list[bool]:
        """Whether each of so many commands, at 30 per second of the wall's clock, is not zero."""
        bench.commands.clear()
        bench.until(lambda: len(bench.commands) >= cycles, "commands")
        return [any(rates(command)) for command in bench.commands]

    try:
        at(100.0)
        bench.calibrate()
        for _ in range(5):
            at(bench.node.get_clock().now().nanoseconds * 1e-9 + 0.0625)
            bench.drive(box=RIGHT_AND_BELOW, stamp=bench.node.get_clock().now().nanoseconds)
        assert all(turns()), "two seconds of the wall's clock, none of the simulation's"
        at(101.0)
        assert not any(turns()[-30:]), "the box is old by the simulation's clock"
        # No more of the first target: the second is followed. Then the simulation starts again, with a third one.
        bench.until(lambda: bench.drive(box=LEFT_AND_ABOVE, stamp=101 * 10**9, name="2")[0] > 0, "the second target")
        at(50.0)
        bench.frame(TRACKING, box=RIGHT_AND_BELOW, stamp=50 * 10**9, name="3")
        assert not any(turns()[-30:]), "the command for the second target stays"
        at(50.0625)
        assert bench.drive(box=RIGHT_AND_BELOW, stamp=50_062_500_000, name="3")[0] < 0
    finally:
        bench.close()


def test_a_bearing_needs_no_camera(bench: Bench) -> None:
    about_z, about_y = bench.drive(ray=(-0.3, 0.2, 1.0))
    assert about_z > 0
    assert about_y > 0
    assert bench.is_still(TRACKING, ray=(0.0, 0.0, 0.0))


def test_garbage_stops_it_and_it_lives_on(bench: Bench) -> None:
    bench.calibrate()
    nan, huge = float("nan"), 1e300
    for k in ([nan] * 9, [huge] * 9, [-1.0] * 9, [0.0] * 9):
        bench.topics["camera_info"].publish(CameraInfo(k=k, d=[nan], distortion_model="\n", width=2**32 - 1))
    bench.topics["image"].publish(Image(width=2**32 - 1, height=0))
    for box in (Box(huge, huge, huge, huge), Box(-huge, 0, 1, huge), Box(0, 0, -1, -1)):
        assert bench.is_still(TRACKING, box=box)
    for ray in ((nan, 0.0, 1.0), (0.0, 0.0, 0.0), (float("inf"), 0.0, 1.0)):
        assert bench.is_still(TRACKING, ray=ray)
    for age_ms in (nan, float("inf"), -1e30):
        bench.frame(UNCERTAIN, age_ms=age_ms, name="\n")
    bench.calibrate()
    assert bench.drive(box=RIGHT_AND_BELOW)[0] < 0


def test_without_camera_info_one_picture_and_the_field_of_view_do(bench: Bench) -> None:
    def sized() -> bool:
        bench.topics["image"].publish(Image(width=640, height=480, encoding="bgr8"))
        bench.executor.spin_once(timeout_sec=0.05)
        return bench.node._camera is not None

    bench.until(sized, "the size of the picture")
    assert bench.node._camera is not None
    assert bench.node._camera.matrix[0, 0] == pytest.approx(554.26, abs=0.01)
    about_z, _ = bench.drive(box=RIGHT_AND_BELOW)
    assert about_z < 0
    bench.topics["camera_info"].publish(CameraInfo(width=640, height=480))  # not calibrated: changes nothing
    bench.calibrate()
    assert bench.drive(box=RIGHT_AND_BELOW)[0] < 0


def test_the_camera_is_scaled_to_pictures_of_another_size(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.calibrate()
    bench.show(640, 480)
    bench.frame(TRACKING, box=Box(150, 110, 20, 20), name="2")  # a new target: the size is read again
    bench.show(320, 240)
    assert bench.is_still(TRACKING, box=Box(150, 110, 20, 20)), "the middle of these pictures"
    assert bench.drive(box=Box(250, 200, 20, 20))[0] < 0
    info = CameraInfo(width=320, height=320, k=[250.0, 0.0, 159.5, 0.0, 250.0, 159.5, 0.0, 0.0, 1.0])
    bench.topics["camera_info"].publish(info)
    bench.until(lambda: bench.node._camera.size == (320, 320), "the new camera_info")  # type: ignore[union-attr]
    bench.show(320, 240)
    assert "it describes pictures of 320x320, but they are 320x240" in capfd.readouterr().err
    assert bench.is_still(LOST)
    assert bench.is_still(TRACKING, box=Box(150, 110, 20, 20)), "by the field of view"


def test_a_target_that_is_given_anew_may_be_in_pictures_of_another_size(bench: Bench) -> None:
    """Also under its old id and at once, while the state stays TRACKING."""
    bench.calibrate()
    bench.drive(box=RIGHT_AND_BELOW, since=1)
    bench.show(640, 480)
    assert bench.is_still(TRACKING, box=Box(310, 230, 20, 20), since=1), "the middle"
    assert bench.node._picture == (640, 480), "it is the same target"
    bench.frame(TRACKING, box=Box(150, 110, 20, 20), since=2)
    bench.show(320, 240)
    assert bench.is_still(LOST), "from rest"
    assert bench.is_still(TRACKING, box=Box(150, 110, 20, 20), since=2), "the middle of these pictures"


def test_boxes_without_any_camera_are_reported(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    bench.node._began -= 60.0
    said: list[str] = []

    def warned() -> bool:
        bench.frame(TRACKING, box=RIGHT_AND_BELOW)
        bench.executor.spin_once(timeout_sec=0.05)
        said.append(capfd.readouterr().err)
        return "neither /bench/camera_info nor /bench/image comes" in "".join(said)

    bench.until(warned, "the warning")
    assert not any(rates(bench.commands[-1]))


def test_the_size_of_compressed_pictures(bench: Bench) -> None:
    """Of a camera driver that publishes nothing else."""
    bench.player.destroy_publisher(bench.topics.pop("image"))
    images = bench.player.create_publisher(CompressedImage, "image/compressed", 1)
    data = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()

    def sized() -> bool:
        images.publish(CompressedImage(format="jpeg", data=data))
        bench.executor.spin_once(timeout_sec=0.05)
        return bench.node._camera is not None

    bench.until(sized, "the size of the picture")
    assert bench.node._camera is not None
    assert bench.node._camera.size == (64, 48)


def test_of_several_targets_one_is_followed(bench: Bench) -> None:
    bench.calibrate()
    assert bench.drive(box=RIGHT_AND_BELOW)[0] < 0
    for _ in range(10):
        bench.frame(TRACKING, box=RIGHT_AND_BELOW)
        bench.frame(TRACKING, box=LEFT_AND_ABOVE, name="2")
        harness.spin_until(bench.executor, lambda: False, 0.02)
        assert rates(bench.commands[-1])[0] <= 0, "the second one is none of its business"
    bench.until(lambda: turned_left(bench), "the second, when the first is gone")


@pytest.mark.parametrize("followed", ["1", "2"])
@pytest.mark.parametrize("order", ["bbss", "bsbs", "ssbb", "sbsb", "sbbs", "bssb"])
def test_the_bearing_of_another_target_turns_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, followed: str, order: str
) -> None:
    """A bearing has no id. order: in which the bearings (b) and states (s) of targets 1 and 2 come; the topics are not
    in step with one another.
    """
    seen: list[Any] = []
    see = bench.node._controller.see

    def noted(now: float, state: str, direction: Any, age: float) -> Any:
        seen.append(direction)
        return see(now, state, direction, age)

    monkeypatch.setattr(bench.node._controller, "see", noted)
    bench.node._config = replace(bench.node._config, target=followed)
    for stamp in (10**9, 2 * 10**9):
        header = Header(stamp=Time(nanoseconds=stamp).to_msg())
        bearings, states = [], []
        for name, x in (("1", -0.3), ("2", 0.3)):
            bearings.append(Vector3Stamped(header=header))
            bearings[-1].vector.x, bearings[-1].vector.z = x, 1.0
            states.append(TrackerState(header=header, state=TRACKING, frame_age_ms=5.0, target_id=name))
        for kind in order:
            if kind == "b":
                bench.node._on_bearing(bearings.pop(0))
            else:
                bench.node._on_state(states.pop(0))
    assert all((direction.yaw < 0) == (followed == "1") for direction in seen)


def turned_left(bench: Bench) -> bool:
    bench.frame(TRACKING, box=LEFT_AND_ABOVE, name="2")
    harness.spin_until(bench.executor, lambda: False, 0.03)
    return rates(bench.commands[-1])[0] > 0


class Watcher(Node):
    """Notes, by stamps of the system's clock, what the tracker said and what was commanded."""

    def __init__(self, namespace: str) -> None:
        super().__init__("watcher", namespace=namespace)
        self.states: list[tuple[int, int]] = []  # when it was published, and the state
        self.commands: list[tuple[int, bool]] = []  # when, and whether it is zero
        self.seen: dict[int, Box] = {}  # truth by stamp
        self.create_subscription(TrackerState, "state", self._on_state, 1000)
        self.create_subscription(TwistStamped, "cmd_vel", self._on_command, 1000)
        self.create_subscription(Detection2D, "truth", self._on_truth, 1000)
        self.setter = self.create_client(SetParameters, "tracker_node/set_parameters")

    @property
    def heard(self) -> int:
        """Frames of which state and truth came."""
        return min(len(self.states), len(self.seen))

    def _on_state(self, message: TrackerState) -> None:
        self.states.append((messages.stamp_of(message.header) + int(message.frame_age_ms * MS), message.state))

    def _on_command(self, message: TwistStamped) -> None:
        self.commands.append((messages.stamp_of(message.header), not any(rates(message))))

    def forget_target(self) -> None:
        """From now on no score is good enough."""
        change = Parameter("lost_threshold", value=1.0).to_parameter_msg()
        self.setter.call_async(SetParameters.Request(parameters=[change]))

    def _on_truth(self, message: Detection2D) -> None:
        self.seen[messages.stamp_of(message.header)] = messages.box_of(message)


SIZE = (320, 240)
SECONDS, FPS = 10.0, 15.0


def test_a_flight_over_real_topics(tmp_path: Path) -> None:
    """Ten seconds of the scene's time, in lock-step: how busy this machine is must not change what is flown.

    Without look-alikes: which of two similar objects is followed is the tracker's affair.
    """
    pytest.importorskip("onnxruntime")
    scene = {"width": SIZE[0], "height": SIZE[1], "fps": FPS, "seconds": 0.0, "seed": 3, "pictures": "procedural"}
    scene |= {"lookalikes": 0, "occluders": 1, "lockstep": True, "wait": 60.0}
    namespace, watcher, executor = "/flight", Watcher("/flight"), SingleThreadedExecutor()
    executor.add_node(watcher)
    options = {"model": "lite", "propagate": "off"}
    with (
        (tmp_path / "log").open("w") as log,
        harness.process("tracker_node", harness.arguments(options, namespace), stdout=log, stderr=log) as tracker,
        harness.process("follow", harness.arguments({"max_age": 1.0}, namespace), stdout=log, stderr=log),
        harness.process("range", harness.arguments(scene, namespace), stdout=log, stderr=log) as camera,
    ):
        # Both: until each process knows the watcher, which can take seconds, what it publishes does not come here.
        flown = harness.spin_until(executor, lambda: watcher.heard > SECONDS * FPS, 2 * PATIENCE)
        assert flown, (tmp_path / "log").read_text()
        watcher.forget_target()
        is_lost = harness.spin_until(executor, lambda: watcher.states[-1][1] == LOST, PATIENCE)
        assert is_lost, (tmp_path / "log").read_text()
        followed, _ = watcher.states[-1]
        harness.spin_until(executor, lambda: watcher.commands[-1][0] > followed + 500 * MS, PATIENCE)
        tracker.send_signal(signal.SIGKILL)
        end = watcher.states[-1][0]
        late = end + int(1.2e9)
        assert harness.spin_until(executor, lambda: watcher.commands[-1][0] > late, PATIENCE)
        assert camera.poll() is None
    executor.shutdown()
    watcher.destroy_node()
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    assert all(zero for at, zero in watcher.commands if at > late), "an old box drove it"
    check_middle([box for stamp, box in watcher.seen.items() if stamp < followed], text)
    check_losses(watcher, text)


def check_middle(boxes: list[Box], log: str) -> None:
    """At least 80 % with their centre in the middle third: mostly it is 90 to 97 %, an occluder passes."""
    inside = [all(abs(at / side - 0.5) < 1 / 6 for at, side in zip(box.center, SIZE, strict=True)) for box in boxes]
    assert len(inside) > 0.9 * SECONDS * FPS, log
    assert sum(inside) > 0.8 * len(inside), (sum(inside), len(inside), log)


def check_losses(watcher: Watcher, log: str) -> None:
    """A zero command within 200 ms of every LOST, as far as this machine lets processes run: then within a second."""
    lost = [
        at
        for (_, before), (at, state) in zip(watcher.states, watcher.states[1:], strict=False)
        if before != LOST and state == LOST
    ]
    assert lost, log
    waits = [min(when - at for when, zero in watcher.commands if zero and when >= at - 5 * MS) / MS for at in lost]
    print("milliseconds from LOST to a zero command:", waits)
    assert max(waits) < 1000, waits
    assert min(waits) < 200, waits


def test_a_topic_of_another_type_is_named_once(
    bench: Bench, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = [SimpleNamespace(topic_type="std_msgs/msg/String")]
    monkeypatch.setattr(bench.node, "get_publishers_info_by_topic", lambda topic: strange)
    for _ in range(5):
        bench.node._watch()
    text = "camera_info carries std_msgs/msg/String, but sensor_msgs/msg/CameraInfo is needed"
    assert capfd.readouterr().err.count(text) == 1
