"""The `mavlink` node: a MAVLink camera for a tracker node. docs/mavlink.md describes it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from sot_tracker.errors import UserError
from sot_tracker.mavlink.config import MavlinkNodeConfig
from sot_tracker.mavlink.link import camera_link
from sot_tracker.options import options_of
from sot_tracker.ros import messages, parameters
from sot_tracker.ros.image_input import compressed_topic
from sot_tracker.ros.process import run
from sot_tracker.ros.remote import RemoteTracker, Reports
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream.joining import Joiner
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.reports import Report

WATCH_PERIOD = 0.1
SIZE_PERIOD = 1.0
"""Seconds between two readings of the image size, which is needed because MAVLink's coordinates are fractions of it."""


class FrameSize:
    """Width and height of the frames on `image`. One message per `SIZE_PERIOD` is read; the others are ignored.

    see: called with the size after each reading.
    """

    def __init__(self, node: Node, transport: str, see: Callable[[tuple[int, int]], None]) -> None:
        self._see = see
        topic = compressed_topic(node) if transport == "compressed" else node.resolve_topic_name("image")
        kinds: dict[str, Any] = {
            "sensor_msgs/msg/Image": Image,
            "sensor_msgs/msg/CompressedImage": CompressedImage,
        }
        self._kinds = kinds if transport == "raw" else dict(reversed(kinds.items()))
        self._subscription = MatchingSubscription(
            node, topic, self._kinds, self._take, 1, "auto", eager=False, serialized=True
        )
        self._read_at = 0.0
        self.size: tuple[int, int] | None = None

    def watch(self) -> None:
        self._subscription.watch()

    def _take(self, data: bytes) -> None:
        now = time.monotonic()
        if now - self._read_at < SIZE_PERIOD:
            return
        self._read_at = now
        message = deserialize_message(data, self._kinds[self._subscription.type_name])
        try:
            frame = messages.frame_of(message, Range16(()))
            self.size = frame.size or (frame.image.shape[1], frame.image.shape[0])
            self._see(self.size)
        except UserError:  # a damaged picture has no size; the next one may have
            return


class MavlinkNode(Node):
    """Subscribes to `state`, `detection` and `image`, and passes requests to the tracker node."""

    def __init__(self, **options: Any) -> None:
        """options: of rclpy's Node. Raises UserError where the connection cannot be opened."""
        super().__init__("mavlink", **options)
        self._config = parameters.declare(self, MavlinkNodeConfig, tuple(options_of(MavlinkNodeConfig)))
        self._joiner = Joiner(pictures=False)
        self._tracker = RemoteTracker(self, self._config.tracker, self._joiner.show)
        self._link = camera_link(self._config, self._config.tracker, self._tracker).__enter__()
        self._size = FrameSize(self, self._config.image_transport, self._link.see)
        self._reports = Reports(self, self._joiner, self._receive)
        self.create_timer(WATCH_PERIOD, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        camera = f"MAVLink component {self._config.component} of system {self._config.system}"
        self.get_logger().info(f"{camera} on {self._config.connection}")

    def close(self) -> None:
        self._link.__exit__()

    def _watch(self) -> None:
        self._size.watch()
        self._reports.take(self._joiner.overdue())
        self._tracker.watch()

    def _receive(self, report: Report) -> None:
        self._link.publish(replace(report, size=self._size.size))


def main() -> int:
    with ExitStack() as stack:
        return run(lambda: stack.enter_context(closing(MavlinkNode())))


if __name__ == "__main__":
    sys.exit(main())
