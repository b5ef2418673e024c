"""Topics for a controller: `predicted`, and, if `camera_info` is published, `bearing` and `bearing_rate`."""

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
from sot_tracker.ros.image_input import compressed_topic
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream import control
from sot_tracker.stream.follower import Result, Warn

MAX_TARGETS = 64
"""Number of targets whose motion is kept: those that were seen last."""
_QOS = QoSProfile(depth=10)


class ControlOutputs:
    """The publishers and the subscription of `camera_info`; see docs/ros.md.

    Nothing is published by an inactive node.
    """

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._predicted = node.create_lifecycle_publisher(Detection2D, "predicted", _QOS)
        self._bearing = node.create_lifecycle_publisher(Vector3Stamped, "bearing", _QOS)
        self._rate = node.create_lifecycle_publisher(Vector3Stamped, "bearing_rate", _QOS)
        kinds = {"sensor_msgs/msg/CameraInfo": CameraInfo}
        # Best effort matches reliable publishers too.
        topic = info_topic(node)
        self._info = MatchingSubscription(node, topic, kinds, self._on_info, 1, "best_effort", latched=True)
        self._info.watch()
        self._is_rectified = is_rectified(node)
        self._camera: control.Camera | None = None
        self._size = (0, 0)  # of the pictures that `_fitted` is for
        self._fitted: control.Camera | None = None
        self._last_info: tuple[Any, ...] = ()  # its fields: drivers send the same message with every picture
        self._refusal = ""  # the last one that was logged
        self._motions: dict[str, control.Motion] = {}  # by target id, least recently seen first

    def publish(self, result: Result) -> None:
        """If the box of a frame is reported, publish its prediction, its bearing in that frame, and the rate."""
        found, stamp = result.detection, result.frame.stamp
        if result.is_start:  # from the old box to the new one nothing moved
            self._motions.pop(result.target_id, None)
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
        """Warn if `camera_info` has another message type. Call this regularly."""
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
        if (width, height) != self._size:
            self._fit(self._camera, width, height)
        return None if self._fitted is None else control.direction(self._fitted, result.detection.box.center)

    def _fit(self, camera: control.Camera, width: int, height: int) -> None:
        """Scale the camera to pictures of this size."""
        self._size, self._fitted = (width, height), None
        try:
            self._fitted = control.for_pictures(camera, width, height)
        except UserError as error:
            self._refuse(error)

    def _on_info(self, info: CameraInfo) -> None:
        fields = messages.camera_fields(info, self._is_rectified)
        if fields == self._last_info:
            return
        self._last_info, self._size = fields, (0, 0)
        try:
            self._camera = control.camera(*fields)
        except UserError as error:
            self._camera = None
            self._refuse(error)

    def _refuse(self, error: UserError) -> None:
        if str(error) != self._refusal:  # needed since fields with NaN never compare equal
            self._refusal = str(error)
            self._node.get_logger().warning(f"camera_info cannot be used, no bearing is published: {error}")


def info_topic(node: Node) -> str:
    """`camera_info` if it was remapped, else `camera_info` in the image topic's namespace, as drivers publish it."""
    own = str(node.resolve_topic_name("camera_info"))
    plain = f"{node.get_namespace().rstrip('/')}/camera_info"
    if own != plain:
        return own
    return f"{_image_topic(node).rpartition('/')[0]}/camera_info"


def is_rectified(node: Node) -> bool:
    """Whether the image topic has the name of pictures that image_proc has undistorted."""
    return _image_topic(node).rpartition("/")[2] in ("image_rect", "image_rect_color")


def _image_topic(node: Node) -> str:
    """Without `/compressed`. `image` or, if only that was remapped, `image/compressed`."""
    image = str(node.resolve_topic_name("image"))
    if image == f"{node.get_namespace().rstrip('/')}/image":
        image = compressed_topic(node)
    return image.removesuffix("/compressed")


def _vector(of: tuple[float, float, float]) -> Vector3:
    x, y, z = of
    return Vector3(x=x, y=y, z=z)
