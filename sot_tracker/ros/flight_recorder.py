"""The flight recorder in the node: what is recorded of each frame, `~/dump`, and the dump when a target is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.serialization import serialize_message
from std_srvs.srv import Trigger

from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.ros import messages
from sot_tracker.ros.publishers import Sent
from sot_tracker.stream import bag_messages
from sot_tracker.stream.bag_types import COMPRESSED, DETECTION, STATE
from sot_tracker.stream.follower import Result
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.recorder import FlightRecorder, Limits
from sot_tracker.stream.statistics import StateTimes
from sot_tracker.tracker import State


class NodeRecorder:
    """Records if `record_folder` is set. Otherwise all methods do nothing, and `~/dump` returns an error.

    Raises UserError without rosbags.
    """

    def __init__(self, node: LifecycleNode, config: Config, warn: Callable[[str, str], None]) -> None:
        self._node, self._on_loss = node, config.record_on_loss
        self._range16 = config.range16
        self._since = StateTimes()
        self._recorder: FlightRecorder | None = None
        if config.record_folder:
            self._frames = f"{node.resolve_topic_name('image')}/compressed"
            self._detection, self._state = (node.resolve_topic_name(name) for name in ("detection", "state"))
            topics = {self._frames: COMPRESSED, self._detection: DETECTION, self._state: STATE}
            limits = Limits(
                config.record_seconds, config.record_memory_mb << 20, config.record_disk_mb << 20, config.record_seconds
            )
            folder = Path(config.record_folder).expanduser()
            self._recorder = FlightRecorder(folder, node.get_fully_qualified_name(), topics, limits, warn)
        self._dump = node.create_service(Trigger, "~/dump", self._on_dump)

    def add_frame(self, message: Any) -> None:
        """Record a received Image or CompressedImage; it is encoded in another thread."""
        if self._recorder is not None:
            self._recorder.add_later(self._frames, self._now(), lambda: self._picture(message))

    def add_result(self, result: Result, sent: Sent) -> None:
        """Record what was published for a frame. If its target has just been lost, write the recording to a file."""
        if self._recorder is None:
            return
        now = self._now()
        for topic, message in zip((self._detection, self._state), sent, strict=True):
            if message is not None:
                self._recorder.add(topic, now, serialize_message(message))
        if self._is_new_loss(result, now) and self._on_loss:
            path = self._recorder.dump_automatically("lost", now)
            if path is not None:
                self._node.get_logger().info(f"flight recording of the loss: {path}")

    def close(self) -> None:
        self._node.destroy_service(self._dump)
        if self._recorder is not None:
            self._recorder.close()

    def _is_new_loss(self, result: Result, now: int) -> bool:
        """Whether the target became LOST now (nanoseconds of the node's clock).

        While a simulated clock is paused, each LOST frame counts as a new loss.
        """
        began = self._since.see(result.target_id, result.estimate, now)
        return result.estimate is not None and result.estimate.state is State.LOST and began == now

    def _picture(self, message: Any) -> bytes | memoryview:
        if hasattr(message, "format"):
            return bytes(serialize_message(message))
        image = messages.frame_of(message, Range16(self._range16)).image
        return bag_messages.jpeg(image, bag_messages.header(messages.stamp_of(message.header), message.header.frame_id))

    def _on_dump(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            if self._recorder is None:
                raise UserError("nothing is recorded: set the parameter record_folder before the node is configured")
            response.message = f"writing {self._recorder.dump('asked')}"
            response.success = True
        except UserError as error:
            response.success, response.message = False, str(error)
        self._node.get_logger().info(f"dump: {response.message}")
        return response

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)
