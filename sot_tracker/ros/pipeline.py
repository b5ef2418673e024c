"""An active node's work: from one image message to its detection, state and debug image."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D

from sot_tracker.box import Box
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.ros import messages
from sot_tracker.ros.diagnostics import Health
from sot_tracker.ros.image_input import ImageInput
from sot_tracker.ros.publishers import Outputs
from sot_tracker.stream.follower import Follower, Request, Result
from sot_tracker.stream.frame import FrameError
from sot_tracker.stream.statistics import Throttle
from sot_tracker.tracker import State, Tracker

WARN_PERIOD = 5.0  # seconds between two warnings of one kind
WATCH_PERIOD = 0.1


class Pipeline:
    """Lives from activation to deactivation: subscriptions, timers, `~/stop`, the follower and its counts."""

    def __init__(self, node: LifecycleNode, config: Config, tracker: Tracker, outputs: Outputs) -> None:
        self._node, self._tracker, self._outputs = node, tracker, outputs
        self._log = node.get_logger()
        self._throttle = Throttle(WARN_PERIOD)
        self._follower = Follower(tracker, config.frame_history, self._warn)
        self._believed = State.TRACKING
        self._input = ImageInput(node, config, self._on_image, self._warn)
        self._health = Health(
            f"{node.get_fully_qualified_name()}: tracker", {**describe(tracker), "image": self._input.topic}
        )
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        self._init_box = node.create_subscription(Detection2D, "init_box", self._on_init_box, QoSProfile(depth=10))
        self._stop = node.create_service(Trigger, "~/stop", self._on_stop)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # with use_sim_time a paused clock must not silence them
        self._timers = [
            node.create_timer(WATCH_PERIOD, self._input.watch, clock=steady),
            node.create_timer(1.0, self._on_second, clock=steady),
        ]
        if config.init_box:
            self._ask(Request(Box.from_xywh(config.init_box)))

    def close(self) -> None:
        self._input.close()
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._node.destroy_subscription(self._init_box)
        self._node.destroy_service(self._stop)
        self._node.destroy_publisher(self._diagnostics)

    def _on_image(self, message: Any) -> None:
        entry = time.perf_counter()
        self._apply_threshold()
        try:
            result = self._follower.process(self._input.frame(message))
        except UserError as error:
            self._health.refused += 1
            self._warn(error.kind if isinstance(error, FrameError) else "tracker", f"frame refused: {error}")
            return
        self._health.processed += 1
        self._publish(result, entry)

    def _on_init_box(self, message: Detection2D) -> None:
        self._ask(messages.request_of(message))

    def _ask(self, request: Request) -> None:
        entry = time.perf_counter()
        try:
            result = self._follower.request(request)
        except UserError as error:
            self._log.warning(f"init_box refused: {error}")
            return
        told = "({:g}, {:g}, {:g}, {:g})".format(*request.box.xywh)
        if result is None:
            self._log.info(f"init_box {told} waits for its frame")
        else:
            self._log.info(f"init_box {told} started from a frame {self._age_ms(request.stamp):.0f} ms old")
            self._publish(result, entry)

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = True
        response.message = "target forgotten" if self._follower.stop() else "there was no target"
        return response

    def _on_second(self) -> None:
        report, in_transport = self._health.report(self._input.lost, {"reliability": self._input.reliability})
        report.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(report)
        if in_transport:
            self._warn("lost", f"frames of {self._input.topic} are lost on the way. {self._input.advice}")

    def _publish(self, result: Result, entry: float) -> None:
        self._tell_changes(result)
        stages = {"convert": result.convert_ms}
        if result.estimate is not None:
            stages.update(result.estimate.times)
        stages["process"] = (time.perf_counter() - entry) * 1e3
        age_ms = self._age_ms(result.frame.stamp)
        counts = (self._health.processed, self._input.lost, self._health.refused)
        self._outputs.publish(result, stages, age_ms, counts)
        self._outputs.publish_debug(
            result, f"{self._tracker.info.name} {result.target_id}", self._node.get_parameter("debug_width").value
        )
        self._health.add(result, {**stages, "age": age_ms}, (time.perf_counter() - entry) * 1e3)

    def _tell_changes(self, result: Result) -> None:
        state = result.estimate.state if result.estimate else State.TRACKING
        if result.estimate is not None and state is not self._believed:
            self._log.info(f"target {result.target_id} {'lost' if state is State.LOST else 'found again'}")
        self._believed = state

    def _apply_threshold(self) -> None:
        value = float(self._node.get_parameter("lost_threshold").value)
        self._tracker.policy = replace(self._tracker.policy, lost_threshold=value)

    def _age_ms(self, stamp: int) -> float:
        return (self._node.get_clock().now().nanoseconds - stamp) * 1e-6 if stamp else math.nan

    def _warn(self, kind: str, text: str) -> None:
        if self._throttle.ready(kind):
            self._log.warning(text)


def describe(tracker: Tracker) -> dict[str, str]:
    """Model, engine and device for diagnostics."""
    info = tracker.info
    return {"model": info.name, "engine": info.engine, "device": info.device, "network": info.description}
