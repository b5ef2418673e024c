"""`follow`: turns a camera (a gimbal, a vehicle) so that the tracked target stays in the middle of its picture.

From `detection` (or `bearing`) and `state` of the tracker node to `cmd_vel`, a TwistStamped. docs/follow.md has the
frames, the rules and the limits. The control law is `sot_tracker.follow.control`.
"""

from __future__ import annotations

import math
import sys
import time
from collections import OrderedDict
from typing import Any

from geometry_msgs.msg import TwistStamped, Vector3Stamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vision_msgs.msg import Detection2D

from sot_tracker.errors import UserError, one_line
from sot_tracker.follow.config import FollowConfig
from sot_tracker.follow.control import Command, Controller, Mode
from sot_tracker.follow.pointing import Direction, camera_of_fov
from sot_tracker.options import options_of
from sot_tracker.ros import messages, parameters
from sot_tracker.ros.control_outputs import info_topic, is_rectified
from sot_tracker.ros.image_input import compressed_topic
from sot_tracker.ros.process import run
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream import control
from sot_tracker.stream.encodings import compressed_picture
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.statistics import Throttle

KEPT = 60  # directions, by the stamp of their frame and the target's id
CAMERA_INFO_S = 2.0  # seconds without camera_info after which the node uses `fov`
PAUSE_S = 1.0  # seconds without a state after which the pictures may have another size, or another target is gone
JUMP_S = 1.0  # a stamp that lies further back than this is another recording or clock, and no late message
STATES = {0: "idle", 1: "tracking", 2: "lost", 3: "uncertain"}
"""TrackerState.state -> what the controller calls it."""


class FollowNode(Node):
    """Publishes a command for each usable state message of its target, and also `rate` times per second.

    A box older than `max_age` gives a zero command.
    """

    def __init__(self, **options: Any) -> None:
        """options: of rclpy's Node. Raises UserError for an impossible parameter, or if TrackerState was not built."""
        super().__init__("follow", **options)
        self._config = parameters.declare(self, FollowConfig, tuple(options_of(FollowConfig)))
        self._controller = Controller(self._config)
        self._throttle = Throttle(5.0)
        self._camera: control.Camera | None = None  # of the pictures that boxes refer to
        self._calibration: control.Camera | None = None  # of the newest camera_info
        self._picture = (0, 0)  # size of the pictures, read from one of them
        self._is_rectified = is_rectified(self)
        self._info: Any = None  # what the newest camera_info said
        self._directions: OrderedDict[tuple[int, str], Direction] = OrderedDict()
        self._state: Any = None  # the newest state message of the target
        self._heard = 0.0  # when it came, by `_now`
        self._other = -math.inf  # when a state of another target came last, by `_now`
        self._target = ""  # the id of the target that is followed, if the option `target` is empty
        self._is_used = True  # whether the newest state has gone into the controller
        self._mode = Mode.IDLE
        self._commands = self.create_publisher(TwistStamped, "cmd_vel", QoSProfile(depth=1))
        self._subscriptions_ = self._subscribe()
        self._size_input: MatchingSubscription | None = None
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._began = time.monotonic()
        self.create_timer(
            1 / self._config.rate, lambda: self._publish(self._controller.command(self._now())), clock=steady
        )
        self.create_timer(0.2, self._watch, clock=steady)
        state, commands = self.resolve_topic_name("state"), self._commands.topic_name
        self.get_logger().info(f"waiting for a tracker on {state}; commands go to {commands}")
        self._watch()

    def _now(self) -> float:
        """Seconds of the steady clock, or of /clock with use_sim_time: then the simulation's speed changes no command.

        The timers always use the steady clock.
        """
        if self.get_clock().ros_time_is_active:
            return float(self.get_clock().now().nanoseconds * 1e-9)
        return time.monotonic()

    def _subscribe(self) -> list[MatchingSubscription]:
        state = messages.state_type()
        if state is None:
            raise UserError("sot_tracker/TrackerState was not generated: build the package with colcon and source it")
        info = info_topic(self)
        kinds = {
            self.resolve_topic_name("state"): ("sot_tracker/msg/TrackerState", state, self._on_state),
            self.resolve_topic_name("detection"): ("vision_msgs/msg/Detection2D", Detection2D, self._on_detection),
            self.resolve_topic_name("bearing"): ("geometry_msgs/msg/Vector3Stamped", Vector3Stamped, self._on_bearing),
            info: ("sensor_msgs/msg/CameraInfo", CameraInfo, self._on_camera_info),
        }
        return [
            MatchingSubscription(self, topic, {name: kind}, receive, 5, "auto", latched=topic == info)
            for topic, (name, kind, receive) in kinds.items()
        ]

    def _watch(self) -> None:
        for subscription in self._subscriptions_:
            subscription.watch()
            if text := subscription.complaint():
                self.get_logger().warning(text)
        if all(self._picture):
            self._end_size_input()
        elif self._calibration is not None or time.monotonic() - self._began > CAMERA_INFO_S:
            self._watch_for_size()

    def _watch_for_size(self) -> None:
        """Read the size of the pictures from one of them."""
        topic, compressed = self.resolve_topic_name("image"), compressed_topic(self)
        if not self.count_publishers(topic) and self.count_publishers(compressed):
            topic = compressed
        if self._size_input is None or self._size_input.topic != topic:
            self._end_size_input()
            kinds = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
            self._size_input = MatchingSubscription(self, topic, kinds, self._on_image, 1, "auto", eager=False)
        self._size_input.watch()

    def _end_size_input(self) -> None:
        if self._size_input is not None:
            self._size_input.close()
            self._size_input = None

    # ---- the camera

    def _on_camera_info(self, message: CameraInfo) -> None:
        """One comes with every picture; a new calibration, or another size, is taken over."""
        fields = messages.camera_fields(message, self._is_rectified)
        if fields == self._info:
            return
        size = fields[-1].picture_size
        if self._info is not None and size != self._info[-1].picture_size:
            self._picture = (0, 0)  # read it again
        self._info = fields
        try:
            self._calibration = self._camera = control.camera(*fields)
            focal = self._calibration.matrix[0, 0]
            self.get_logger().info(f"camera_info: {size[0]}x{size[1]}, focal length {focal:.0f} pixels")
        except UserError as error:
            self._calibration = None
            self._take_field_of_view(size, error)
        if all(self._picture):
            self._fit()

    def _on_image(self, message: Any) -> None:
        if all(self._picture):
            return
        try:
            if hasattr(message, "format"):
                picture = compressed_picture(message.data, message.format, Range16(()))
                height, width = picture.shape[:2]
            else:
                height, width = message.height, message.width
        except UserError as error:
            self._warn("image", str(error))
            return
        if min(width, height) > 0:
            self._picture = (width, height)
            self._fit()

    def _fit(self) -> None:
        """Choose the camera for pictures whose size is known."""
        width, height = self._picture
        if self._calibration is not None:
            try:
                self._camera = control.for_pictures(self._calibration, width, height)
            except UserError as error:
                self._take_field_of_view(self._picture, error)
            return
        self._camera = camera_of_fov(width, height, self._config.fov)
        if self._info is None:
            view = f"a field of view of {self._config.fov:g} degrees"
            self.get_logger().info(f"nobody publishes camera_info: taking {view} for pictures of {width}x{height}")

    def _take_field_of_view(self, size: tuple[int, int], error: UserError) -> None:
        """Without a usable camera_info."""
        self._warn(
            "camera_info",
            f"camera_info cannot be used: {error}; taking a field of view of {self._config.fov:g} degrees",
        )
        self._camera = camera_of_fov(*size, self._config.fov) if min(size) > 0 else self._camera

    # ---- the target

    def _on_detection(self, message: Detection2D) -> None:
        box = messages.box_of(message)
        if self._camera is None and time.monotonic() - self._began > 2 * CAMERA_INFO_S:
            topics = f"{info_topic(self)} nor {self.resolve_topic_name('image')}"
            self._warn("camera", f"boxes turn nothing: neither {topics} comes, so nothing is known of the camera")
        if self._camera is None or not box.is_valid:
            return
        direction = Direction.of_point(self._camera, box.center)
        if direction is not None:
            self._keep(messages.stamp_of(message.header), message.id, direction)

    def _on_bearing(self, message: Vector3Stamped) -> None:
        """A direction from a tracker node that has a usable camera_info.

        The message has no target id. So it is used only for a frame without a usable detection of the target, and only
        while no other target is tracked. A target that starts now comes after the others in its first frame: there the
        first bearing counts.
        """
        try:
            direction = Direction.of_ray(message.vector.x, message.vector.y, message.vector.z)
        except UserError as error:
            self._warn("bearing", f"bearing refused: {error}")
            return
        stamp = messages.stamp_of(message.header)
        self._keep(stamp, "", self._directions.get((stamp, ""), direction))

    def _keep(self, stamp: int, target_id: str, direction: Direction) -> None:
        self._directions[stamp, target_id] = direction
        while len(self._directions) > KEPT:
            self._directions.popitem(last=False)
        if not self._is_used and stamp == messages.stamp_of(self._state.header):
            self._see(self._direction())

    def _on_state(self, message: Any) -> None:
        if self._state is not None:
            behind = messages.stamp_of(self._state.header) - messages.stamp_of(message.header)
            if 0 < behind < JUMP_S * 1e9:
                return  # an older frame's
        if not self._is_ours(message):
            self._other = self._now()
            return
        if self._may_be_given_anew(message) or abs(self._now() - self._heard) > PAUSE_S:
            self._picture = (0, 0)  # read it again: a target in pictures of a new size is given anew
        self._state, self._is_used, self._heard = message, False, self._now()
        direction = self._direction()
        if message.state != message.TRACKING or direction is not None:
            self._see(direction)

    def _may_be_given_anew(self, message: Any) -> bool:
        """Whether a TRACKING state begins, as it does when the target is given anew or is found again."""
        if self._state is None or message.target_id != self._state.target_id:
            return True
        return bool(message.state == message.TRACKING and message.since != self._state.since)

    def _is_ours(self, message: Any) -> bool:
        """Whether a state message is about the target to follow. May change `_target`.

        With the option `target`: that id, or no id, which means idle. Otherwise the first id that is received; another
        one takes over once no state of the current one has come for `max_age`. No id is accepted too, and clears it.
        """
        wanted = self._config.target
        if wanted:
            return bool(message.target_id == wanted or not message.target_id)
        is_gone = abs(self._now() - self._heard) > self._config.max_age
        if message.target_id and (not self._target or is_gone) and message.target_id != self._target:
            self._target, self._other = message.target_id, -math.inf
            self.get_logger().info(f"target {one_line(self._target)}")
        elif not message.target_id:
            self._target = ""
        return bool(message.target_id == self._target)

    def _direction(self) -> Direction | None:
        """Of the newest state's target in its frame."""
        stamp = messages.stamp_of(self._state.header)
        found = self._directions.get((stamp, self._state.target_id))
        if found is None and abs(self._now() - self._other) > PAUSE_S:
            found = self._directions.get((stamp, ""))
        return found

    def _see(self, direction: Direction | None) -> None:
        """Give the newest state to the controller, unless it is TRACKING and its detection has not come yet."""
        if self._state.state == self._state.TRACKING and direction is None:
            return  # its detection has not come yet
        self._is_used = True
        now, state = self._now(), self._state
        age = state.frame_age_ms * 1e-3 + now - self._heard
        if state.state == state.TRACKING and math.isnan(age):
            self._warn("age", "the box drives nothing, since its age is not known: the camera must stamp its frames")
        elif state.state == state.TRACKING and abs(age) > self._config.max_age:
            self._warn(
                "age",
                f"the box is {age:.2f} s old, more than max_age ({self._config.max_age:g}) allows, so the camera is "
                "not turned: the tracker or the camera is slow, or the camera stamps its frames by another clock than "
                "the tracker node's",
            )
        self._publish(self._controller.see(now, STATES.get(state.state, "lost"), direction, age))

    def _publish(self, command: Command) -> None:
        message = TwistStamped()
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = self._config.frame_id
        # x forward, y left, z up: a turn to the right is negative about z, a turn down is positive about y.
        message.twist.angular.z, message.twist.angular.y = -command.yaw, command.pitch
        self._commands.publish(message)
        mode = self._controller.mode
        if mode is not self._mode:
            self._mode = mode
            if self._throttle.ready(mode.value):
                self.get_logger().info(mode.value)

    def _warn(self, kind: str, text: str) -> None:
        if self._throttle.ready(kind):
            self.get_logger().warning(text)


def main() -> int:
    return run(FollowNode)


if __name__ == "__main__":
    sys.exit(main())
