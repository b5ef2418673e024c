"""An active node's work: from one image message to its detection, state and debug image."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D

from sot_tracker.config import Config
from sot_tracker.errors import UserError, one_line
from sot_tracker.ros import messages
from sot_tracker.ros.diagnostics import Health
from sot_tracker.ros.flight_recorder import NodeRecorder
from sot_tracker.ros.image_input import ImageInput
from sot_tracker.ros.publishers import Outputs
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.follower import Follower, Result
from sot_tracker.stream.frame import History
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.requests import Request
from sot_tracker.stream.statistics import Throttle
from sot_tracker.tracker import State, Tracker

REPORT_PERIOD = 5.0  # seconds between two log lines of one kind
WATCH_PERIOD = 0.1
MOST_FAILURES = 10  # in a row, after which the node gives up


class Pipeline:
    """Lives from activation to deactivation: subscriptions, timers, `~/stop`, the follower and its counts.

    first: a request to begin with. give_up: called with the reason when frame after frame fails with an error that is
    nobody's mistake.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: Config,
        tracker: Tracker,
        outputs: Outputs,
        first: Request | None,
        give_up: Callable[[str], None],
    ) -> None:
        self._node, self._tracker, self._outputs, self._give_up = node, tracker, outputs, give_up
        self._log = node.get_logger()
        self._throttle = Throttle(REPORT_PERIOD)
        self._follower = Follower(
            tracker,
            History(config.frame_history, config.frame_history_mb << 20),
            self._warn,
            config.init_box_timeout,
            lambda: int(node.get_clock().now().nanoseconds),
        )
        self._range16 = Range16(config.range16)
        self._reported = ("", State.TRACKING)  # target and state of the last log line
        self._failures = 0
        self._recorder = NodeRecorder(node, config, self._warn)
        self._input = ImageInput(node, config, self._on_image, self._warn)
        self._health = Health(
            f"{node.get_fully_qualified_name()}: tracker", {**describe(tracker), "image": self._input.topic}
        )
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        self._init_box = MatchingSubscription(
            node,
            node.resolve_topic_name("init_box"),
            {"vision_msgs/msg/Detection2D": Detection2D},
            self._on_init_box,
            10,
            config.reliability if config.reliability == "auto" else "reliable",
        )
        self._stop = node.create_service(Trigger, "~/stop", self._on_stop)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # with use_sim_time a paused clock must not silence them
        self._timers = [
            node.create_timer(WATCH_PERIOD, self._watch, clock=steady),
            node.create_timer(1.0, self._on_second, clock=steady),
        ]
        self._init_box.watch()
        if first is not None:
            self._ask(first)

    def close(self) -> Request | None:
        """End everything and let go of the tracker at once. Returns the request that still waits for its frame."""
        waiting = self._follower.waiting
        self._input.close()
        self._init_box.close()
        self._recorder.close()
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._node.destroy_service(self._stop)
        self._node.destroy_publisher(self._diagnostics)
        # Subscriptions and timers still refer to this object, some until the executor's next turn: without this the
        # network would live until the garbage collector runs.
        del self._follower, self._tracker
        return waiting

    def _on_image(self, message: Any) -> None:
        entry = time.perf_counter()
        self._recorder.add_frame(message)
        try:
            frame = messages.frame_of(message, self._range16)
            self._apply_threshold()
            result = self._follower.process(frame, decode=self._outputs.debug_is_watched)
            self._health.accept(frame)
            self._publish(result, entry)
        except UserError as error:
            self._health.refused += 1
            self._warn(error.kind if isinstance(error, FrameError) else "tracker", f"frame refused: {error}")
        except Exception as error:  # an error of OpenCV or of a runtime: one bad frame must not end the node
            self._fail(error)
            return
        self._failures = 0

    def _on_init_box(self, message: Detection2D) -> None:
        self._ask(messages.request_of(message))

    def _ask(self, request: Request) -> None:
        entry = time.perf_counter()
        try:
            result = self._follower.request(request)
            if self._follower.waiting is not None:
                self._log.info(f"init_box {request.box} waits for its frame")
                return
            self._log.info(f"init_box {request.box} started from a frame {self._age_ms(request.stamp):.0f} ms old")
            if result is not None:
                self._publish(result, entry)
        except UserError as error:
            self._log.warning(f"init_box refused: {error}")
        except Exception as error:  # as for frames
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._node.context.ok():  # a signal ended ROS in the middle of the work
            raise error
        self._failures += 1
        summary = " ".join(f"{type(error).__name__}: {error}".split())
        if self._throttle.ready("failure"):
            self._log.error(f"frame failed: {summary}")
        if self._failures == MOST_FAILURES:
            self._log.fatal(f"{MOST_FAILURES} frames in a row failed, the last with {summary}")

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        stopped = self._follower.stop()
        response.success = True
        response.message = "target forgotten" if stopped else "there was no target"
        self._log.info(f"stop: {response.message}")
        return response

    def _watch(self) -> None:
        if self._failures >= MOST_FAILURES:  # here, since a callback of the image subscription cannot well destroy it
            self._give_up("frame after frame failed")
            return
        self._input.watch()
        if self._init_box.watch():
            self._log.info(f"init_box subscribed as {self._init_box.reliability}")
        if foreign := self._init_box.foreign_types:
            self._warn(
                "init_box type", f"init_box carries {', '.join(foreign)}, but vision_msgs/msg/Detection2D is needed"
            )

    def _on_second(self) -> None:
        report, in_transport = self._health.report(self._input.lost, {"reliability": self._input.reliability})
        report.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(report)
        if in_transport:
            self._warn("lost", f"frames of {self._input.topic} are lost on the way. {self._input.advice}")
        if stream := self._health.stream_once():
            self._log.info(f"taking {self._input.topic}: {stream}")

    def _publish(self, result: Result, entry: float) -> None:
        self._report_changes(result)
        stages = {"convert": result.convert_ms}
        if result.estimate is not None:
            stages.update(result.estimate.times)
        stages["process"] = (time.perf_counter() - entry) * 1e3
        age_ms = self._age_ms(result.frame.stamp)
        counts = (self._health.processed, self._input.lost, self._health.refused)
        self._outputs.publish(result, stages, age_ms, counts)
        self._recorder.add_result(result, stages, age_ms, counts)
        self._outputs.publish_debug(
            result, f"{self._tracker.info.name} {result.target_id}", self._node.get_parameter("debug_width").value
        )
        self._health.add(result, {**stages, "age": age_ms}, (time.perf_counter() - entry) * 1e3)

    def _report_changes(self, result: Result) -> None:
        if result.estimate is None:
            self._reported = ("", State.TRACKING)
            return
        now = (result.target_id, result.estimate.state)
        if now == self._reported:
            return
        is_new, self._reported = now[0] != self._reported[0], now
        name = one_line(now[0])
        text = f"target {name} {'lost' if now[1] is State.LOST else 'found again'}"
        if is_new:
            self._log.info(f"tracking target {name}")
        elif self._throttle.ready(now[1].value):  # a flickering target must not flood the log
            self._log.info(text)

    def _apply_threshold(self) -> None:
        value = float(self._node.get_parameter("lost_threshold").value)
        if value != self._tracker.policy.lost_threshold:
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
