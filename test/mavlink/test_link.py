"""The camera on loopback, with a ground station made of pymavlink's own connection on the other side."""

from __future__ import annotations

import queue
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.opencv import OpenCVTracker
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.live import LiveFollower
from sot_tracker.stream.reports import Report

from ros_clips import HEIGHT, WIDTH, box_at, frame

pytest.importorskip("pymavlink", reason="pymavlink is not here: pip install 'sot_tracker[mavlink]'")

from pymavlink.dialects.v10 import common as dialect1
from pymavlink.dialects.v20 import common as dialect

from sot_tracker.mavlink.camera import Camera
from sot_tracker.mavlink.config import MavlinkConfig
from sot_tracker.mavlink.link import Link, connect

from ground import PATIENCE, STATUS, Ground

STEP = 40_000_000  # nanoseconds between frames


class Square:
    """The moving square, for ever. still: it does not move."""

    name, fps, size, length, live, files = "square", 1e9 / STEP, (WIDTH, HEIGHT), None, False, ()

    def __init__(self, still: bool) -> None:
        self._still = still

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while True:
            shown = 0 if self._still else index
            yield Frame(index * STEP, lambda shown=shown: frame(shown), size=self.size)
            index += 1

    def close(self) -> None:
        """Nothing is open."""


class Rig:
    """A live tracker behind a camera on UDP, and a ground station that hears it."""

    def __init__(self, loss: float = 0.0, still: bool = False) -> None:
        self.ground, self._still = Ground(loss), still
        config = MavlinkConfig(connection=f"udpout:127.0.0.1:{self.ground.port}", point_size=0.25)
        self.starts: queue.Queue[Box] = queue.Queue()
        self.reports: queue.Queue[Report] = queue.Queue()
        self.follower = LiveFollower(
            Square(still), OpenCVTracker("kcf"), OpenCVTracker, self._publish, lambda text: self.link.say(text)
        )
        camera = Camera(config, "kcf", (0, 1, 0), time.monotonic())
        self.link = Link(camera, config, connect(config), self)

    def _publish(self, report: Report) -> None:
        self.link.publish(report)
        self.reports.put(report)

    def start(self, request: Any, answer: Any) -> None:
        self.starts.put(request.box)
        self.follower.start(request, answer)

    def stop(self, answer: Any) -> None:
        self.follower.stop(answer)

    def choose(self, model: str, answer: Any) -> None:
        raise NotImplementedError

    def __enter__(self) -> Rig:
        self.follower.__enter__()
        self.link.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.link.__exit__()
        self.follower.__exit__()
        self.ground.close()

    def find(self) -> Any:
        """As a ground station: hear the heartbeat, ask what it is, switch on the status."""
        beat = self.ground.until("HEARTBEAT", lambda message: message.type == dialect.MAV_TYPE_CAMERA)
        assert (beat.get_srcSystem(), beat.get_srcComponent()) == (1, 100)
        assert self.ground.command(dialect.MAV_CMD_SET_MESSAGE_INTERVAL, STATUS, 20_000) == 0
        for _ in range(50):
            self.ground.send(dialect.MAV_CMD_REQUEST_MESSAGE, dialect.MAVLINK_MSG_ID_CAMERA_INFORMATION)
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                message = self.ground.receive(0.05)
                if message is not None and message.get_type() == "CAMERA_INFORMATION" and message.resolution_h:
                    return message
        raise AssertionError("no CAMERA_INFORMATION came")

    def draw(self) -> tuple[float, ...]:
        """Corners of the square in the newest frame, in fractions."""
        while True:
            report = self.reports.get(timeout=PATIENCE)
            if self.reports.empty():
                break
        x1, y1, x2, y2 = box_at(0 if self._still else report.stamp // STEP).xyxy
        return (x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT)

    def followed(self) -> float:
        """Best overlap of a reported box with the square within the last few frames."""
        told = self.ground.until("CAMERA_TRACKING_IMAGE_STATUS", lambda message: message.tracking_status == 1)
        box = Box.from_xyxy(told.rec_top_x, told.rec_top_y, told.rec_bottom_x, told.rec_bottom_y).scaled(WIDTH, HEIGHT)
        if self._still:
            return box.iou(box_at(0))
        now = self.reports.get(timeout=PATIENCE).stamp // STEP + self.reports.qsize()
        return max(box.iou(box_at(index)) for index in range(max(0, now - 8), now + 3))


@pytest.mark.parametrize(("loss", "still"), [(0.0, False), (0.3, True)])
def test_a_ground_station_finds_starts_reads_and_stops_even_where_packets_get_lost(loss: float, still: bool) -> None:
    with Rig(loss, still) as rig:
        information = rig.find()
        assert (information.resolution_h, information.resolution_v) == (WIDTH, HEIGHT)
        assert information.flags == 1536
        rig.ground.until("CAMERA_TRACKING_IMAGE_STATUS", lambda message: message.tracking_status == 0)
        assert rig.ground.command(dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE, *rig.draw()) == 0
        assert rig.followed() > 0.3
        assert rig.starts.qsize() == 1
        assert rig.ground.command(dialect.MAV_CMD_CAMERA_STOP_TRACKING) == 0
        rig.ground.until("CAMERA_TRACKING_IMAGE_STATUS", lambda message: message.tracking_status == 0)


def test_a_point_starts_and_a_refusal_comes_with_its_reason() -> None:
    with Rig(still=True) as rig:
        rig.find()
        x1, y1, x2, y2 = rig.draw()
        assert rig.ground.command(dialect.MAV_CMD_CAMERA_TRACK_POINT, (x1 + x2) / 2, (y1 + y2) / 2) == 0
        assert rig.followed() > 0.3  # the object there is a guess
        assert rig.ground.command(dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE, 2, 2, 3, 3) == 2
        assert "fractions" in rig.ground.until("STATUSTEXT").text


def test_another_systems_commands_and_noise_change_nothing() -> None:
    with Rig() as rig:
        rig.find()
        other = dialect.MAVLink(None, 254, 190)
        address = rig.link._connection.port.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
            noise.sendto(random.Random(2).randbytes(1000), ("127.0.0.1", address[1]))
            for target in ((2, 100), (1, 154)):
                message = other.command_long_encode(*target, dialect.MAV_CMD_CAMERA_TRACK_POINT, 0, 0.5, 0.5, *[0] * 5)
                noise.sendto(message.pack(other), ("127.0.0.1", address[1]))
        assert rig.ground.command(dialect.MAV_CMD_CAMERA_STOP_TRACKING) == 0  # after all of these, and still there
        assert rig.starts.empty()


def test_a_mavlink_1_sender_starts_and_gets_an_answer_that_it_understands() -> None:
    with Rig(still=True) as rig:
        rig.find()
        codec = dialect1.MAVLink(None, 250, 190)
        values = (1, 100, dialect.MAV_CMD_CAMERA_TRACK_RECTANGLE, 0, *rig.draw(), 0, 0, 0)
        rig.ground.link.write(codec.command_long_encode(*values).pack(codec))
        rig.starts.get(timeout=PATIENCE)
        acknowledged = rig.ground.until("COMMAND_ACK", lambda message: message.command == 2005)
        assert acknowledged.get_msgbuf()[0] == 0xFE
        assert rig.followed() > 0.5


class Silent:
    """A connection on which nothing ever comes, and that fails when it is told to."""

    def __init__(self) -> None:
        self.sent: queue.Queue[bytes] = queue.Queue()
        self.fails = threading.Event()

    def select(self, timeout: float) -> bool:
        time.sleep(timeout)
        return False

    def recv(self, size: int) -> bytes:
        if self.fails.is_set():
            raise OSError(5, "Input/output error")
        return b""

    def write(self, data: bytes) -> None:
        self.sent.put(data)

    def close(self) -> None:
        pass


def test_silence_and_a_link_that_fails_for_a_while_do_not_end_the_heartbeat(caplog: pytest.LogCaptureFixture) -> None:
    config, silent = MavlinkConfig(), Silent()
    camera = Camera(config, "kcf", (0, 1, 0), time.monotonic())
    with Link(camera, config, silent, None) as link:  # type: ignore[arg-type]
        silent.sent.get(timeout=PATIENCE)
        silent.sent.get(timeout=PATIENCE)
        link._end.wait = lambda timeout=None: silent.fails.clear()  # type: ignore[method-assign, assignment]
        silent.fails.set()
        silent.sent.get(timeout=PATIENCE)
        assert not silent.fails.is_set()
    assert "the MAVLink connection failed: Input/output error" in caplog.text


@pytest.mark.parametrize(
    "connection",
    [
        "udpin:127.0.0.1",
        "udpin:127.0.0.1:x",
        "udpin:127.0.0.1:99999",
        "udpin:203.0.113.77:14550",
        "/dev/nowhere",
        "nonsense",
        "udpout:",
    ],
)
def test_a_connection_that_cannot_be_opened_is_one_line(connection: str) -> None:
    with pytest.raises(UserError, match=f"connection={connection} (cannot be opened|needs 'serial')"):
        connect(MavlinkConfig(connection=connection))


def test_a_host_without_an_address_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    connect(MavlinkConfig(connection="udpout:127.0.0.1:14550")).close()
    assert not caplog.messages
    connect(MavlinkConfig(connection="udpout:no host:14550")).close()
    assert "host 'no host'" in caplog.text
