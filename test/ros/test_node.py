"""The real node in its own process, asked over real DDS."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box

from ros_clips import box_at, frame, texture

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from sot_tracker.msg import TrackerState  # noqa: E402
from vision_msgs.msg import Detection2D  # noqa: E402

from sot_tracker.ros import messages  # noqa: E402
from sot_tracker.ros_tools import harness  # noqa: E402

from talker import MS, PATIENCE, Talker, tracker  # noqa: E402

IDLE, TRACKING, LOST, UNCERTAIN = 0, 1, 2, 3


class Verbatim(str):
    """A parameter's value as the user types it, without JSON's quotes."""

    __slots__ = ()


@pytest.fixture(scope="module")
def talker(ros_domain: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talker]:
    """One node for all tests that leave it as they found it: alive and, after `stop`, without a target."""
    with tracker(tmp_path_factory.mktemp("node"), "/one", frame_history=5, debug_width=100) as (talker, _):
        yield talker.connected()


@pytest.fixture
def node(talker: Talker) -> Iterator[Talker]:
    talker.stop()
    talker.stamp += 1000 * MS
    yield talker
    talker.result(talker.send(frame(0)))  # whatever was done to it: it lives


def follow(node: Talker, first: int, last: int) -> list[Any]:
    return [node.result(node.send(frame(index))) for index in range(first, last)]


def test_tracks_and_every_message_carries_its_frames_header(node: Talker) -> None:
    node.box(box_at(0))
    for index in range(12):
        stamp = node.send(frame(index))
        state, detection = node.result(stamp), node.detection(stamp)
        assert (state.state, state.target_id, state.score) == (TRACKING, detection.id, 1.0)
        assert state.header == detection.header
        assert detection.header.frame_id == "eye"
        assert detection.results[0].hypothesis.class_id == "target"
        assert detection.results[0].hypothesis.score == 1.0
        assert messages.box_of(detection).iou(box_at(index)) > 0.7
        assert dict(zip(state.stage_names, state.stage_ms, strict=True))["process"] > 0
    assert state.frames_processed > 11
    assert state.frames_dropped == 0


def test_without_a_target_there_is_state_but_no_detection(node: Talker) -> None:
    states = follow(node, 0, 3)
    assert [state.state for state in states] == [IDLE] * 3
    assert not {node.stamp - 40 * MS, node.stamp} & set(node.recording.detections)


def test_the_id_of_the_request_is_kept(node: Talker) -> None:
    node.box(box_at(0), target_id="person 7")
    assert node.detection(node.send(frame(0))).id == "person 7"


def test_stop_forgets_the_target(node: Talker) -> None:
    node.box(box_at(0))
    follow(node, 0, 2)
    assert (node.stop().success, node.stop().message) == (True, "there was no target")
    assert node.result(node.send(frame(2))).state == IDLE


def test_a_past_stamp_starts_there_and_catches_up(node: Talker) -> None:
    follow(node, 0, 8)
    node.box(box_at(4), node.stamp - 3 * 40 * MS)
    assert messages.box_of(node.detection(node.stamp)).iou(box_at(7)) > 0.7


def test_a_stamp_that_is_too_old_is_refused(node: Talker) -> None:
    follow(node, 0, 8)
    node.box(box_at(0), node.stamp - 7 * 40 * MS)
    node.said("older than the oldest of 6 kept")
    assert node.result(node.send(frame(8))).state == IDLE


@pytest.mark.parametrize(
    "box", [Box(500, 10, 20, 20), Box(float("nan"), 5, 20, 20), Box(20, 20, 0, 20), Box(20, 20, -20, 20)]
)
def test_impossible_boxes_change_nothing(node: Talker, box: Box) -> None:
    node.box(box_at(0), target_id="kept")
    follow(node, 0, 2)
    refused = node.log().count("init_box refused")
    node.box(box)
    assert node.log().count("init_box refused") == refused + 1
    state = node.result(node.send(frame(2)))
    assert (state.state, state.target_id) == (TRACKING, "kept")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"encoding": "32FC1"}, "encoding '32FC1' cannot be read"),
        ({"height": 121}, "needs"),
        ({"step": 10}, "step 10 is shorter"),
        ({"height": 0}, "frame is empty"),
        ({"width": 80, "height": 60, "step": 240}, "frame is 80x60 but the target was given in 160x120"),
    ],
)
def test_useless_frames_are_reported_once_and_survived(node: Talker, damage: dict[str, Any], words: str) -> None:
    node.box(box_at(0))
    before = after = follow(node, 0, 2)[-1]
    sent = []

    def refused_three() -> bool:
        """A frame may be overwritten by the next before it is looked at, so send until three were."""
        nonlocal after
        sent.append(node.send(frame(2), **damage))
        node.executor.spin_once(timeout_sec=0.05)
        after = node.result(node.send(frame(3)))
        return bool(after.frames_refused >= before.frames_refused + 3)

    node.until(refused_three, "three refusals")
    assert (after.state, after.target_id) == (TRACKING, before.target_id)
    assert not set(sent) & set(node.recording.states)
    assert node.log().count(words) == 1


def test_padded_rows_and_big_endian_flags_are_fine(node: Talker) -> None:
    node.box(box_at(0))
    padded = np.pad(frame(0).reshape(120, -1), ((0, 0), (0, 20)))
    state = node.result(node.send(padded, width=160, is_bigendian=1))
    assert state.state == TRACKING


def test_stamps_that_jump_back_are_reported_and_tracking_goes_on(node: Talker) -> None:
    node.box(box_at(0))
    follow(node, 0, 3)
    start = node.stamp
    assert node.result(node.send(frame(3), stamp=start - 77 * MS)).state == TRACKING
    node.said("stamp jumped back by 0.077 s")
    node.stamp = start


def test_debug_image_comes_only_to_subscribers_and_is_limited_in_width(node: Talker) -> None:
    pictures: list[Image] = []
    node.box(box_at(0))
    follow(node, 0, 1)
    assert node.recorder.count_subscribers("debug_image") == 0
    listening = node.recorder.create_subscription(Image, "debug_image", pictures.append, 10)
    node.until(lambda: node.recorder.count_publishers("debug_image") > 0, "the publisher of debug_image")

    def shown() -> bool:
        node.result(node.send(frame(1)))
        return bool(pictures)

    node.until(shown, "a debug image")
    picture = pictures[-1]
    assert (picture.width, picture.height, picture.encoding, picture.step) == (100, 75, "bgr8", 300)
    assert picture.header.frame_id == "eye"
    pixels = np.frombuffer(picture.data, np.uint8).reshape(75, 100, 3).astype(int)
    assert (np.abs(pixels - (80, 220, 60)).sum(axis=2) < 60).sum() > 20, "the green box is drawn"
    node.recorder.destroy_subscription(listening)


def test_diagnostics(node: Talker) -> None:
    node.box(box_at(0))

    def reported() -> bool:
        node.result(node.send(frame(0)))
        return node.recording.diagnostics.get("track p50 ms") is not None

    node.until(reported, "diagnostics of a tracked frame")
    values = node.recording.diagnostics
    assert (values["model"], values["engine"], values["device"]) == ("kcf", "opencv", "cpu")
    assert values["image"] == "/one/image"
    assert values["reliability"] == "reliable"
    assert float(values["overhead p95 ms"]) >= float(values["overhead p50 ms"]) > 0
    assert float(values["rate Hz"]) > 0


def test_a_lost_target_is_reported_by_state_alone(node: Talker) -> None:
    node.box(box_at(0))
    follow(node, 0, 3)
    black = np.zeros((120, 160, 3), np.uint8)
    states = [node.result(node.send(texture(120, 160, 90) if k % 2 else black)) for k in range(18)]
    reported = [state.state for state in states]
    assert reported == sorted(reported, key=[TRACKING, UNCERTAIN, LOST].index), "no way back"
    assert {UNCERTAIN, LOST} <= set(reported)
    assert states[-1].score == 0.0
    assert states[-1].reason in (states[-1].SCORE, states[-1].OCCLUDED, states[-1].EDGE)
    assert messages.nanoseconds(states[-1].since) > messages.nanoseconds(states[0].since) > 0
    assert math.isnan(states[-1].probability)
    lost = [messages.stamp_of(state.header) for state in states if state.state == LOST]
    assert not set(lost) & set(node.recording.detections)
    node.said("lost")


@pytest.mark.parametrize("reliable", [True, False])
def test_reliability_is_copied_and_a_box_can_be_a_parameter(tmp_path: Any, reliable: bool) -> None:
    with tracker(tmp_path, "/quality", reliable, init_box=(20, 40, 28, 28)) as (talker, _):
        talker.connected()
        talker.said(f"subscribed to /quality/image ({'reliable' if reliable else 'best_effort'}, ")
        sent = talker.send(frame(40))

        def seen() -> bool:
            """Best effort may lose a frame: the box then starts on the next one, which shows the same."""
            if not talker.recording.states:
                talker.send(frame(40))
            return bool(talker.recording.states)

        if reliable:
            talker.result(sent)
        talker.until(seen, "a state")
        assert next(iter(talker.recording.states.values())).state == TRACKING


def test_compressed_images_of_a_remapped_topic(tmp_path: Any) -> None:
    remap = {"image": "/jpeg/image"}
    with tracker(tmp_path, "/squeezed", remap=remap, image_transport="compressed", init_box=(100, 40, 28, 28)) as (
        talker,
        _,
    ):
        images = talker.recorder.create_publisher(CompressedImage, "/jpeg/image/compressed", 1)
        talker.until(lambda: images.get_subscription_count() > 0, "the subscription")
        talker.until(lambda: talker.recorder.count_publishers("state") > 0, "the state publisher")
        talker.be_known()
        talker.images, talker.stamp = images, 40 * MS
        broken = CompressedImage(format="jpeg", data=b"\xff\xd8 no picture")
        talker.publish(broken)
        talker.said("cannot be decoded")
        message = CompressedImage(format="jpeg")
        message.data.frombytes(cv2.imencode(".jpg", frame(0))[1].tobytes())
        talker.stamp += MS
        assert talker.result(talker.publish(message)).state == TRACKING


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_traceback(tmp_path: Any, number: int) -> None:
    with tracker(tmp_path, "/ended") as (talker, child):
        talker.connected()
        talker.box(box_at(0))
        for index in range(3):
            talker.send(frame(index))
        child.send_signal(number)
        assert child.wait(PATIENCE) == 0
        assert "Traceback" not in talker.log()


@pytest.mark.parametrize(
    "moment", ["rclpy.logging", "sot_tracker.ros.pipeline", "lifecycle_msgs.msg._transition", "model"]
)
def test_an_early_signal_leaves_no_traceback(moment: str) -> None:
    """Interrupted while modules are being imported, ROS is starting, or the node is being made."""
    command = [sys.executable, "-X", "importtime", "scripts/tracker_node", *harness.arguments({"model": "kcf"})]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=harness.environment()) as child:
        assert child.stderr is not None
        reported = next(line for line in child.stderr if moment in line)
        child.send_signal(signal.SIGINT)
        reported += child.communicate(timeout=PATIENCE)[1]
    assert "Traceback" not in reported, reported[reported.index("Traceback") :]
    assert child.returncode in (0, -signal.SIGINT), reported[-500:]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model": "bogus"}, "unknown model 'bogus': known are csrt"),
        ({"engine": "steam"}, "engine='steam' is not possible: choose one of"),
        ({"threads": 1000}, "threads"),
        ({"init_box": [1, 2]}, "init_box=[1.0, 2.0] has 2 numbers"),
        ({"init_box": Verbatim("[.nan, 5.0, 20.0, 20.0]")}, "init_box=[nan, 5.0, 20.0, 20.0] cannot be used"),
        ({"init_box": [5, 5, -20, 20]}, "positive width and height"),
        ({"init_box": ["1", "2", "3", "4"]}, "give a list of numbers"),
        ({"init_box": [True, True, True, True]}, "give a list of numbers"),
        ({"init_box": "1234"}, "give a list of numbers"),
        ({"range16": [9000, 7000]}, "two numbers from 0 to 65535"),
        ({"weights": Verbatim("010")}, "weights was read as 8 and not as a text: to keep the text, quote it twice"),
        ({"weights": Verbatim("1.50")}, "weights was read as 1.5 and not as a text"),
        ({"init_box": Verbatim("[310,120.5,48,96]")}, "give all of them a decimal point, or none"),
        ({"threads": Verbatim("99999999999999999999999")}, "threads"),
        ({"weights": "x" * 3000}, "do not exist: give a model folder"),
        ({"use_sim_time": 1}, "error: Trying to set parameter 'use_sim_time' to '1' of type 'INTEGER'"),
        ({"propagate": Verbatim("on")}, "propagate='on' is not possible: choose one of auto, off"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(parameters: dict[str, Any], words: str) -> None:
    words_given = harness.arguments({k: v for k, v in parameters.items() if not isinstance(v, Verbatim)})
    words_given += ["-p", "select_value:=3"]
    for name, value in parameters.items():
        words_given += ["-p", f"{name}:={value}"] if isinstance(value, Verbatim) else []
    done = subprocess.run(
        [sys.executable, "-m", "sot_tracker.ros.node", *words_given],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=harness.environment(),
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "select_value" not in done.stderr, "a number given as a text is told only where it is the mistake"
    own = [line for line in done.stderr.strip().splitlines() if "[rcl]" not in line]  # which has a word of its own
    assert len(own) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "kcf"], "unknown arguments ['--model', 'kcf']: write --ros-args -p NAME:=VALUE"),
        (["-p", "model:=kcf"], "unknown arguments ['-p']: write --ros-args -p NAME:=VALUE"),
        (["--ros-args", "model:=kcf"], "unknown arguments ['model:=kcf']: write --ros-args -p NAME:=VALUE"),
    ],
)
def test_arguments_that_would_have_no_effect_are_refused(words: list[str], message: str) -> None:
    command = [sys.executable, "scripts/tracker_node", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=harness.environment())
    assert done.returncode == 2
    assert f"error: {message}" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_generated_messages_it_runs_without_state(tmp_path: Any) -> None:
    program = (
        "import sys; sys.modules['sot_tracker.msg'] = None; from sot_tracker.ros.node import main; sys.exit(main())"
    )
    words = harness.arguments({"model": "kcf", "init_box": [100, 40, 28, 28]}, "/bare")
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen([sys.executable, "-c", program, *words], stderr=log, env=harness.environment())
    talker = Talker("/bare", tmp_path / "log")
    try:
        talker.until(lambda: talker.images.get_subscription_count() > 0, "the subscription")
        talker.until(lambda: talker.recorder.count_publishers("detection") > 0, "the detection publisher")
        talker.be_known()
        talker.detection(talker.send(frame(0)))
        assert talker.recorder.count_publishers("state") == 0
        assert talker.log().count("running without the `state` topic") == 1
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE) == 0
        talker.close()


def test_help_helps_instead_of_starting(capsys: pytest.CaptureFixture[str]) -> None:
    for program, option in (("tracker_node", "init_box"), ("player", "init_box"), ("follow", "gain"), ("range", "fov")):
        done = subprocess.run(
            [sys.executable, f"scripts/{program}", "--help"], capture_output=True, text=True, timeout=30
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert f"ros2 run sot_tracker {program} --ros-args" in done.stdout
        assert option in done.stdout


DAMAGED = {
    "a cut JPEG": ("jpeg", cv2.imencode(".jpg", frame(0))[1].tobytes()[:300]),
    "foreign data": ("jpeg", b"no picture at all"),
    "nothing": ("png", b""),
    "a format that is not a picture": ("h264", b"\0\0\0\1\x67"),
    "a header that claims any size": (
        "bmp",
        b"BM" + bytes(8) + b"\x36\0\0\0\x28\0\0\0" + b"\x60\xea\0\0" * 2 + bytes(40),
    ),
}


def jpeg(index: int) -> CompressedImage:
    message = CompressedImage(format="jpeg")
    message.data.frombytes(cv2.imencode(".jpg", frame(index))[1].tobytes())
    return message


def test_damaged_frames_while_somebody_watches_the_debug_image(tmp_path: Any) -> None:
    """On `image` remapped to a compressed topic though the transport is raw: it is taken for what it carries."""
    remap = {"image": "/eye/image_raw/compressed"}
    with tracker(tmp_path, "/watched", remap=remap, frame_history=3) as (talker, child):
        images = talker.recorder.create_publisher(CompressedImage, "/eye/image_raw/compressed", 1)
        pictures: list[Image] = []
        talker.recorder.create_subscription(Image, "debug_image", pictures.append, 10)
        talker.images = images
        talker.until(lambda: images.get_subscription_count() > 0, "the subscription")
        talker.until(lambda: talker.recorder.count_publishers("debug_image") > 0, "the debug publisher")
        talker.said("sensor_msgs/msg/CompressedImage")

        def shown() -> bool:
            talker.stamp += MS
            talker.publish(jpeg(0))
            talker.executor.spin_once(timeout_sec=0.05)
            return bool(pictures)

        talker.until(shown, "a debug image")
        for text, data in DAMAGED.values():
            refused = talker.result(talker.publish_next(jpeg(0))).frames_refused

            def counted(text: str = text, data: bytes = data, refused: int = refused) -> bool:
                talker.publish_next(CompressedImage(format=text, data=data))
                return bool(talker.result(talker.publish_next(jpeg(0))).frames_refused > refused)

            talker.until(counted, "a refusal")
            assert child.poll() is None
        assert talker.log().count("frame refused") < 3, "one throttled warning"
        # A box for the next frame while the newest one is damaged.
        talker.publish_next(CompressedImage(format="jpeg", data=b"no picture"))
        talker.settle()
        talker.box(box_at(0))
        assert talker.result(talker.publish_next(jpeg(0))).state == TRACKING


def test_a_topic_of_another_type_is_named(tmp_path: Any) -> None:
    from std_msgs.msg import String

    with tracker(tmp_path, "/foreign") as (talker, _):
        talker.recorder.destroy_publisher(talker.images)
        talker.recorder.create_publisher(String, "/foreign/image", 1)
        talker.said("/foreign/image carries std_msgs/msg/String, but sensor_msgs/msg/Image or")


def test_a_camera_that_comes_later_with_compressed_images_is_reported(tmp_path: Any) -> None:
    with tracker(tmp_path, "/absent") as (talker, _):
        talker.recorder.destroy_publisher(talker.images)
        talker.said("nobody publishes /absent/image")
        talker.recorder.create_publisher(CompressedImage, "/absent/image/compressed", 1)
        talker.said("/absent/image/compressed is there: use image_transport:=compressed")
        assert talker.log().count("nobody publishes") <= 3, "once for what is there"


def test_a_best_effort_box_a_size_change_and_a_box_of_the_future(tmp_path: Any) -> None:
    with tracker(tmp_path, "/boxes", init_box_timeout=0.3) as (talker, _):
        talker.connected()
        talker.recorder.destroy_publisher(talker.boxes)
        quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        talker.boxes = talker.recorder.create_publisher(Detection2D, "init_box", quality)
        talker.said("init_box subscribed as best_effort")
        talker.until(lambda: talker.boxes.get_subscription_count() > 0, "the new subscription")
        talker.settle()
        talker.box(box_at(0))
        assert talker.result(talker.send(frame(0))).state == TRACKING
        talker.said("tracking target 1")
        # The camera changes to twice the size: refused until a box is given in the new size.
        talker.send(frame(1, 320, 240))
        talker.said("frame is 320x240 but the target was given in 160x120")
        talker.box(Box(200, 150, 28, 28), target_id="big")
        state = talker.result(talker.send(frame(2, 320, 240)))
        assert (state.state, state.target_id) == (TRACKING, "big")
        # A stamp that no frame will have.
        talker.box(box_at(0), stamp=talker.stamp + 10**6 * MS)

        def refused() -> bool:
            talker.result(talker.send(frame(3, 320, 240)))
            return "init_box refused after a wait of 0.3 s" in talker.log()

        talker.until(refused, "the end of the wait")
        talker.said("later than the newest frame's; ")
        talker.said("send the box with stamp 0")
        talker.said("receiving /boxes/image: 160x120 bgr8 at ")


def test_another_tracker_on_the_same_topics_is_reported(tmp_path: Any) -> None:
    with tracker(tmp_path, "/twin") as (node, _):
        node.connected()
        assert "another node publishes" not in node.log()
        node.recorder.create_publisher(TrackerState, "state", 10)
        node.said("another node publishes /twin/state too")
        assert node.log().count("another node publishes") == 1


def test_an_unknown_parameter_is_warned_of_with_the_nearest(tmp_path: Any) -> None:
    with tracker(tmp_path, "/typo", lost_treshold=0.5, whatever=3) as (talker, _):
        talker.said("there is no parameter 'lost_treshold'; did you mean lost_threshold?")
        talker.said("there is no parameter 'whatever': known are model, ")


@pytest.mark.parametrize("words", [["-r", "__node:=a b"], ["-r", "__ns:=/1x"], ["-r", "image:=/1x/y"]])
def test_names_that_ros_does_not_allow_are_one_line(words: list[str]) -> None:
    command = [sys.executable, "-m", "sot_tracker.ros.node", *harness.arguments({"model": "kcf"}), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=harness.environment())
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
