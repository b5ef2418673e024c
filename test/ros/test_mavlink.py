"""The MAVLink camera's node beside a real tracker node: real DDS on one side, a ground station on the other."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from sot_tracker.box import Box
from sot_tracker.mavlink.config import MavlinkNodeConfig
from sot_tracker.options import markdown_table

from ros_clips import HEIGHT, WIDTH, box_at, frame

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")
pytest.importorskip("pymavlink", reason="pymavlink is not here: pip install 'sot_tracker[mavlink]'")

from pymavlink.dialects.v20 import common as dialect  # noqa: E402

from sot_tracker.ros_tools import harness  # noqa: E402

from ground import PATIENCE, STATUS, Ground  # noqa: E402
from talker import tracker  # noqa: E402


def test_a_ground_station_starts_reads_and_stops_the_node(tmp_path: Path) -> None:
    ground, log = Ground(), tmp_path / "mavlink.txt"
    words = harness.arguments({"connection": f"udpout:127.0.0.1:{ground.port}"}, "/mav")
    with (
        tracker(tmp_path, "/mav") as (node, _),
        log.open("w") as out,
        harness.process("mavlink", words, stdout=out, stderr=subprocess.STDOUT) as child,
    ):
        ground.until("HEARTBEAT", lambda message: message.type == dialect.MAV_TYPE_CAMERA)
        assert ground.command(dialect.MAV_CMD_SET_MESSAGE_INTERVAL, STATUS, 20_000) == 0
        ground.until("CAMERA_TRACKING_IMAGE_STATUS", lambda message: message.tracking_status == 2)  # no pictures
        corners = (box_at(0).x / WIDTH, box_at(0).y / HEIGHT, box_at(0).xyxy[2] / WIDTH, box_at(0).xyxy[3] / HEIGHT)
        assert ground.command(dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE, *corners) == 1

        node.connected()
        node.until(lambda: node.images.get_subscription_count() == 2, "the camera's look at the pictures")
        node.until(lambda: node.boxes.get_subscription_count() > 0, "the tracker's init_box")
        node.settle()
        node.result(node.send(frame(0)))
        ground.until("CAMERA_TRACKING_IMAGE_STATUS", lambda message: message.tracking_status == 0)
        node.result(node.send(frame(0)))  # the last report must not be old
        while ground.command(dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE, *corners) != 0:  # until its service is known
            node.result(node.send(frame(0)))
        node.said("~/init (")
        for index in range(1, 6):
            node.result(node.send(frame(index)))
        reported = ground.until("CAMERA_TRACKING_IMAGE_STATUS", lambda message: message.tracking_status == 1)
        box = Box.from_xyxy(
            reported.rec_top_x, reported.rec_top_y, reported.rec_bottom_x, reported.rec_bottom_y
        ).scaled(WIDTH, HEIGHT)
        assert max(box.iou(box_at(index)) for index in range(6)) > 0.7

        half = frame(5)[::2, ::2].copy()
        node.until(lambda: node.send(half) and "frame is 80x60 but" in node.log(), "the refusal of another size")
        spoken = node.log().count("~/init (")

        def is_started_anew() -> bool:
            node.send(half)
            node.executor.spin_once(timeout_sec=0.05)
            ground.command(dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE, *corners)
            return node.log().count("~/init (") > spoken

        node.until(is_started_anew, "a target in the new size")
        assert ground.command(dialect.MAV_CMD_CAMERA_STOP_TRACKING) == 0
        node.said("stop: stopped tracking the target")
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE) == 0
    ground.close()
    assert "MAVLink component 100 of system 1" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_the_documented_options_are_those_that_there_are() -> None:
    page = Path(__file__).parents[2] / "docs" / "mavlink.md"
    assert markdown_table(MavlinkNodeConfig) in page.read_text(encoding="utf-8"), (
        "docs/mavlink.md: paste sot_tracker.options.markdown_table(MavlinkNodeConfig)"
    )
