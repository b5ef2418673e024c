"""The node's publishers, and what they publish for each frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray

from sot_tracker.box import Box
from sot_tracker.ros import messages
from sot_tracker.ros.control_outputs import ControlOutputs
from sot_tracker.stream.draw import draw_beside, draw_small
from sot_tracker.stream.follower import Result, Warn
from sot_tracker.stream.statistics import Reminder, StateTimes

Sent = tuple[Any | None, Any | None]
"""The Detection2D and the TrackerState that were published for a target in one frame, each None if it was not."""


class Outputs:
    """Publishers of `detection`, `detections`, `state`, `debug_image` and the topics for a controller.

    They publish nothing unless the node is active.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._state_type = messages.state_type()
        self._detection = node.create_lifecycle_publisher(Detection2D, "detection", QoSProfile(depth=10))
        self._detections = node.create_lifecycle_publisher(Detection2DArray, "detections", QoSProfile(depth=10))
        self._debug = node.create_lifecycle_publisher(Image, "debug_image", QoSProfile(depth=1))
        self._state: Any = None
        self._since = StateTimes()
        self._reminder = Reminder()
        self._control = ControlOutputs(node)
        if self._state_type is None:
            node.get_logger().warning(
                "running without the `state` topic, because sot_tracker/TrackerState was not generated: build this "
                "package with colcon"
            )
        else:
            self._state = node.create_lifecycle_publisher(self._state_type, "state", QoSProfile(depth=10))

    @property
    def debug_is_watched(self) -> bool:
        """Whether `debug_image` has a subscriber, so that every frame has to be decoded."""
        return bool(self._debug.get_subscription_count() > 0)

    def publish(self, result: Result, stages: Mapping[str, float], age_ms: float, counts: tuple[int, int, int]) -> Sent:
        """Publish the state of one frame, and the detection if its box may be reported."""
        header, found, detection, state = result.frame.header, result.detection, None, None
        if found is not None:
            detection = messages.detection_of(found.box, found.confidence, header, result.target_id)
            self._detection.publish(detection)
        self._control.publish(result)
        now = self._node.get_clock().now().nanoseconds
        if result.is_start:
            self._since.forget(result.target_id)
        since = self._since.see(result.target_id, result.estimate, now)
        if since > now:  # a simulated clock was set back, as by a bag that loops
            self._since = StateTimes()
            since = self._since.see(result.target_id, result.estimate, now)
        if self._state is not None:
            state = messages.state_of(self._state_type, result, stages, age_ms, counts, since)
            self._state.publish(state)
        return detection, state

    def publish_all(self, results: Sequence[Result]) -> None:
        """Publish the detections of all targets of a frame in one message, after `publish` for each target."""
        self._detections.publish(messages.detections_of(results))

    def publish_debug(self, results: Sequence[Result], name: str, max_width: int, proposal: Box | None = None) -> None:
        """Draw all targets and publish the picture, if it has a subscriber.

        Raises FrameError if it cannot be decoded.
        """
        if self.debug_is_watched:
            first, *others = results
            image = draw_small(first.frame.image, first.estimate, f"{name} {first.target_id}", max_width, proposal)
            scale = image.shape[1] / first.frame.image.shape[1]
            for other in others:
                if other.estimate is not None:
                    draw_beside(image, other.estimate, other.target_id, scale)
            self._debug.publish(messages.fill_image(Image(header=first.frame.header), image))

    def watch(self, warn: Warn) -> None:
        """Warn if `camera_info` has another message type, or if another tracker publishes the same topics.

        Call this regularly.
        """
        self._control.watch(warn)
        if self._state is None or self._node.count_publishers(self._state.topic_name) < 2:
            self._reminder.clear()
        elif self._reminder.is_due("twin"):
            warn(
                "twin",
                f"another node publishes {self._state.topic_name} too (or one was killed just now), so their results "
                "are mixed: start each tracker node in a namespace of its own, for example with -r __ns:=/left",
            )

    def close(self) -> None:
        self._control.close()
        for publisher in (self._detection, self._detections, self._debug, self._state):
            if publisher is not None:
                self._node.destroy_lifecycle_publisher(publisher)
