"""`range`: a synthetic flight range as a camera on a mount that obeys rate commands.

Publishes `image`, `camera_info`, `truth` and, once, `init_box`; turns the camera as `cmd_vel` says.
"""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import rclpy
from geometry_msgs.msg import TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection2D

from sot_tracker.errors import UserError
from sot_tracker.options import options_of
from sot_tracker.ros import messages, parameters
from sot_tracker.ros.process import run
from sot_tracker.ros_tools.range_config import RangeConfig
from sot_tracker.synth import builtin_pictures, procedural_pictures
from sot_tracker.synth.flight_range import FlightRange, RangeFrame

POLL = 0.05  # seconds between two looks for those who take part
ASK_S = 1.0  # seconds after which the target's box is sent again to a tracker that has none


class RangeNode(Node):
    """Between two pictures the scene moves on by the time that went by; in lock-step by 1 / fps."""

    def __init__(self, **options: Any) -> None:
        """options: of rclpy's Node. Raises UserError for a parameter that is not possible."""
        super().__init__("range", **options)
        config = self._config = parameters.declare(self, RangeConfig, tuple(options_of(RangeConfig)))
        pictures = builtin_pictures() if config.pictures == "builtin" else procedural_pictures(config.seed)
        self._range = FlightRange(
            config.width, config.height, config.fov, config.seed, config.speed, config.lookalikes, config.occluders,
            pictures,
        )  # fmt: skip
        self._images = self.create_publisher(Image, "image", QoSProfile(depth=1))
        self._infos = self.create_publisher(CameraInfo, "camera_info", QoSProfile(depth=1))
        self._truths = self.create_publisher(Detection2D, "truth", QoSProfile(depth=10))
        self._boxes = self.create_publisher(Detection2D, "init_box", QoSProfile(depth=1)) if config.start else None
        self.create_subscription(TwistStamped, "cmd_vel", self._on_command, QoSProfile(depth=1))
        self._began = self._last = time.monotonic()
        self._is_steered = False  # whether a command ever came
        self._has_target = not config.start
        self._asked = self._began  # when init_box was sent last
        self._answered = self._stamp = 0  # nanoseconds: when the state of the last picture was published; its stamp
        state = messages.state_type()
        if state is None:
            raise UserError("sot_tracker/TrackerState was not generated: build the package with colcon and source it")
        self.create_subscription(state, "state", self._on_state, QoSProfile(depth=10))
        self._count = self._in_middle = 0
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(POLL, self._wait_for_others, clock=self._steady)
        self.get_logger().info(
            f"flight range, seed {config.seed}: {config.width}x{config.height} at {config.fps:g} per second, field of "
            f"view {config.fov:g} degrees, {config.lookalikes} look-alikes, {config.occluders} pillars"
        )

    def _wait_for_others(self) -> None:
        listening = all(p is None or p.get_subscription_count() > 0 for p in (self._images, self._boxes))
        if not (listening and self._is_steered) and time.monotonic() - self._began < self._config.wait:
            return
        self.destroy_timer(self._timer)
        self._last = time.monotonic()
        period = POLL if self._config.lockstep else 1 / self._config.fps
        self._timer = self.create_timer(period, self._tick, clock=self._steady)
        self._show()

    def _on_state(self, message: Any) -> None:
        if messages.stamp_of(message.header) != self._stamp:
            return
        self._has_target = self._has_target or message.state != message.IDLE
        if self._has_target:
            age_ms = message.frame_age_ms if math.isfinite(message.frame_age_ms) else 0.0
            self._answered = self._stamp + int(age_ms * 1e6)

    def _on_command(self, message: TwistStamped) -> None:
        self._is_steered = True
        self._range.mount.command(-message.twist.angular.z, message.twist.angular.y)
        if self._config.lockstep and 0 < self._answered <= messages.stamp_of(message.header):
            self._step(1 / self._config.fps)

    def _tick(self) -> None:
        gone = time.monotonic() - self._last
        if not self._config.lockstep:
            self._step(gone)
        elif not self._has_target and gone > ASK_S:  # the first picture or its box was lost on the way
            self._step(0.0)
        elif gone > self._config.step_timeout:
            self.get_logger().warning(f"no state and command within {self._config.step_timeout:g} s")
            self._step(1 / self._config.fps)

    def _step(self, seconds: float) -> None:
        if not self.context.ok():
            return
        self._range.step(seconds)
        self._last = time.monotonic()
        self._show()
        if self._config.seconds and self._range.time >= self._config.seconds:
            self._finish()

    def _show(self) -> None:
        frame = self._range.look()
        self._count += 1
        self._in_middle += frame.in_middle_third
        self._publish(frame)

    def _publish(self, frame: RangeFrame) -> None:
        message = messages.fill_image(Image(), frame.image)
        message.header.frame_id = self._config.frame_id
        message.header.stamp = self.get_clock().now().to_msg()
        self._stamp, self._answered = messages.stamp_of(message.header), 0
        now = time.monotonic()
        is_due = self._count == 1 or now - self._asked > ASK_S
        if self._boxes is not None and not self._has_target and is_due and frame.box is not None:
            self._asked = now
            self._boxes.publish(messages.detection_of(frame.box, 1.0, message.header, ""))
        self._infos.publish(self._info(message.header))
        self._images.publish(message)
        if frame.box is not None:
            self._truths.publish(messages.detection_of(frame.box, frame.visible, message.header, ""))

    def _info(self, header: Any) -> CameraInfo:
        config, focal = self._config, self._range.focal
        x, y = (config.width - 1) / 2, (config.height - 1) / 2
        info = CameraInfo(header=header, width=config.width, height=config.height, distortion_model="plumb_bob")
        info.d = [0.0] * 5
        info.k = [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0]
        return info

    def _finish(self) -> None:
        share = 100 * self._in_middle / self._count
        told = f"{self._count} pictures, target in the middle third in {share:.1f} % of them"
        self.get_logger().info(f"flight of {self._range.time:.1f} s over: {told}")
        rclpy.try_shutdown()


def main() -> int:
    return run(RangeNode)


if __name__ == "__main__":
    sys.exit(main())
