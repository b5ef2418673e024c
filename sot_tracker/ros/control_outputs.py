"""Topics for a controller: `predicted`, and `bearing` and `bearing_rate` where `camera_info` is there."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import Vector3, Vector3Stamped
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D

from sot_tracker.errors import UserError
from sot_tracker.ros import messages
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream import control
from sot_tracker.stream.follower import Result, Warn

MAX_TARGETS = 64
"""Of which a motion is remembered: those that were seen last."""
_QOS = QoSProfile(depth=10)


class ControlOutputs:
    """Publishers and the subscription of `camera_info`; see docs/ros.md. Silent unless the node is active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._predicted = node.create_lifecycle_publisher(Detection2D, "predicted", _QOS)
        self._bearing = node.create_lifecycle_publisher(Vector3Stamped, "bearing", _QOS)
        self._rate = node.create_lifecycle_publisher(Vector3Stamped, "bearing_rate", _QOS)
        kinds = {"sensor_msgs/msg/CameraInfo": CameraInfo}
        # Best effort matches reliable publishers too.
        self._info = MatchingSubscription(node, info_topic(node), kinds, self._on_info, 1, "best_effort")
        self._info.watch()
        self._camera: control.Camera | None = None
        self._seen: tuple[Any, ...] = ()  # fields of the last camera_info: one comes with every picture
        self._refusal = ""  # the last one that was logged
        self._motions: dict[str, control.Motion] = {}  # target -> its motion; of those seen last

    def publish(self, result: Result) -> None:
        """For a frame whose box is reported: where the target is now, and in which direction it was in the frame."""
        found, stamp = result.detection, result.frame.stamp
        if found is None:
            return
        toward, motion = self._direction(result), self._motions.pop(result.target_id, None)
        if stamp:
            motion = self._motions[result.target_id] = control.updated(motion, stamp, found.box, toward)
            if len(self._motions) > MAX_TARGETS:
                del self._motions[next(iter(self._motions))]
            self._publish_predicted(motion, found.confidence, result)
        if toward is not None:
            header = result.frame.header
            self._bearing.publish(Vector3Stamped(header=header, vector=_vector(toward)))
            if stamp and motion is not None:
                self._rate.publish(Vector3Stamped(header=header, vector=_vector(motion.rate)))

    def watch(self, warn: Warn) -> None:
        """Warn where `camera_info` carries another message type. Call it regularly."""
        self._info.watch()
        if text := self._info.complaint():
            warn("camera_info type", text)

    def close(self) -> None:
        self._info.close()
        for publisher in (self._predicted, self._bearing, self._rate):
            self._node.destroy_lifecycle_publisher(publisher)

    def _publish_predicted(self, motion: control.Motion, score: float, result: Result) -> None:
        now = self._node.get_clock().now().nanoseconds
        box = control.predicted(motion, now)
        if box is not None:
            header = Header(stamp=Time(nanoseconds=now).to_msg(), frame_id=result.frame.header.frame_id)
            self._predicted.publish(messages.detection_of(box, score, header, result.target_id))

    def _direction(self, result: Result) -> tuple[float, float, float] | None:
        if self._camera is None or result.detection is None:
            return None
        height, width = result.frame.image.shape[:2]
        return control.direction(control.fitted(self._camera, width, height), result.detection.box.center)

    def _on_info(self, info: CameraInfo) -> None:
        fields = messages.camera_fields(info)
        if fields == self._seen:
            return
        self._seen = fields
        try:
            self._camera = control.camera(*fields)
        except UserError as error:
            self._camera = None
            if str(error) != self._refusal:  # fields with NaN differ from themselves, in every message
                self._refusal = str(error)
                self._node.get_logger().warning(f"camera_info cannot be used, no bearing is published: {error}")


def info_topic(node: Node) -> str:
    """`camera_info` where it was remapped, else the one beside the image topic, as camera drivers have it."""
    own = str(node.resolve_topic_name("camera_info"))
    plain = f"{node.get_namespace().rstrip('/')}/camera_info"
    if own != plain:
        return own
    image = str(node.resolve_topic_name("image")).removesuffix("/compressed")
    return f"{image.rpartition('/')[0]}/camera_info"


def _vector(of: tuple[float, float, float]) -> Vector3:
    x, y, z = of
    return Vector3(x=x, y=y, z=z)
