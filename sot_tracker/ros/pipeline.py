"""The work of an active node: from an image message to its detection, state and debug image."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D

from sot_tracker.config import Config
from sot_tracker.errors import UserError, one_line
from sot_tracker.opencv import PLAIN
from sot_tracker.ros import messages
from sot_tracker.ros.diagnostics import Health
from sot_tracker.ros.flight_recorder import NodeRecorder
from sot_tracker.ros.image_input import ImageInput
from sot_tracker.ros.inputs import Inputs, Starter
from sot_tracker.ros.many import ManyTargets
from sot_tracker.ros.publishers import Outputs
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.follower import Result
from sot_tracker.stream.followers import Followers
from sot_tracker.stream.frame import History
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.requests import Request
from sot_tracker.stream.statistics import Throttle
from sot_tracker.tracker import Reason, State, Tracker

REPORT_PERIOD = 5.0  # seconds between two log lines of one kind
BOXES_REPORTED = 10  # refused init_boxes in that time that are logged: a person's, not a detector's
WATCH_PERIOD = 0.1
_WORDS = {State.TRACKING: "found again", State.UNCERTAIN: "uncertain", State.LOST: "lost"}
MAX_AGE_MS = 600_000.0  # an older frame is a recorded one: frame_history holds seconds
ACKNOWLEDGED = Duration(seconds=0.5)  # longest wait for the subscribers of the last diagnostics
MAX_FAILURES = 10  # consecutive frames that fail, after which the node gives up


class Pipeline:
    """Subscriptions, timers, `~/stop`, followers and statistics, from activation to deactivation.

    trackers: as many as targets can be tracked at a time. first: a request to begin with.
    give_up: called with the reason when `MAX_FAILURES` consecutive frames fail with an error that is not the user's
    mistake.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: Config,
        trackers: Sequence[Tracker],
        outputs: Outputs,
        first: Request | None,
        give_up: Callable[[str], None],
    ) -> None:
        self._node, self._trackers, self._outputs, self._give_up = node, trackers, outputs, give_up
        self._log = node.get_logger()
        self._throttle = Throttle(REPORT_PERIOD)
        self._box_throttle = Throttle(REPORT_PERIOD, BOXES_REPORTED)
        self._follower = Followers(
            trackers,
            lambda: History(config.frame_history, config.frame_history_mb << 20),
            self._warn,
            config.init_box_timeout,
            lambda: int(node.get_clock().now().nanoseconds),
        )
        self._range16 = Range16(config.range16)
        self._reported: dict[str, State] = {}  # targets and their newest states
        self._change_throttles: dict[str, Throttle] = {}  # by target
        self._newest: list[Result] = []  # of the newest frame
        self._failures, self._failure = 0, ""  # in a row, and the last one
        self._recorder = NodeRecorder(node, config, self._warn)
        self._input = ImageInput(node, config, self._on_image, self._warn)
        self._health = Health(
            f"{node.get_fully_qualified_name()}: tracker", {**describe(trackers[0]), "image": self._input.topic}
        )
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", QoSProfile(depth=10))
        self._init_box = MatchingSubscription(
            node,
            node.resolve_topic_name("init_box"),
            {"vision_msgs/msg/Detection2D": Detection2D},
            self._on_init_box,
            10,
            "auto",  # `reliability` is that of the images
        )
        self._many = ManyTargets(node, self._follower, self._ask)
        starter = Starter(self._ask, self._fail, self._follower, self._warn)
        self._inputs = Inputs(node, starter, self._input.topic)
        self._stop = node.create_service(Trigger, "~/stop", self._on_stop)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # with use_sim_time a paused clock must not silence them
        self._timers = [
            node.create_timer(WATCH_PERIOD, self._watch, clock=steady),
            node.create_timer(1.0, self._on_second, clock=steady),
        ]
        self._init_box.watch()
        if first is not None:
            self._ask(first)

    def close(self) -> list[Request]:
        """End everything and release the trackers. Returns the requests that still wait for their frames."""
        waiting = self._follower.waiting
        self._input.close()
        self._init_box.close()
        self._many.close()
        self._inputs.close()
        self._recorder.close()
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._node.destroy_service(self._stop)
        self._node.destroy_publisher(self._diagnostics)
        # Subscriptions and timers still refer to this object, some until the executor runs again. Without this, the
        # network's memory would only be freed by the garbage collector.
        self._follower.close()
        self._newest.clear()
        del self._follower, self._trackers, self._inputs
        return waiting

    def notice(self, names: Collection[str]) -> None:
        """These parameters were set."""
        self._inputs.notice(names)

    def _on_image(self, message: Any) -> None:
        entry = time.perf_counter()
        self._recorder.add_frame(message)
        try:
            frame = messages.frame_of(message, self._range16)
            self._apply_threshold()
            results = self._follower.process(frame, decode=self._outputs.debug_is_watched)
            self._health.accept(frame)
            self._inputs.see(frame)
            self._publish(results, entry)
        except UserError as error:
            self._health.refuse(str(error))
            self._warn(error.kind if isinstance(error, FrameError) else "tracker", f"frame refused: {error}")
        except Exception as error:  # an error of OpenCV or of a runtime: one bad frame must not end the node
            self._health.refuse(_summary(error))
            self._fail(error)
            return
        self._failures = 0

    def _on_init_box(self, message: Detection2D) -> None:
        self._ask(messages.request_of(message))

    def _ask(self, request: Request) -> str:
        """Pass a request to the follower. Returns the reason if it was refused, else ""."""
        entry = time.perf_counter()
        try:
            result = self._follower.request(request)
            if request in self._follower.waiting:
                self._log.info(f"{request.origin} {request.box} waits for the frame with its stamp")
                return ""
            age_ms = self._age_ms(request.stamp)
            age = f" {age_ms:.0f} ms old" if 0 <= age_ms < MAX_AGE_MS else ""  # otherwise of another clock
            self._log.info(f"{request.origin} {request.box} started from a frame{age}")
            if result is not None:
                self._publish([result], entry)
        except UserError as error:
            text = f"{request.origin} refused: {error}"
            if request.origin == "init_box":
                if self._box_throttle.ready("refused"):
                    self._log.warning(text)
            else:  # a detector sends many times per second
                self._warn(request.origin, text)
            return str(error)
        except Exception as error:  # as for frames
            self._fail(error)
            return "an unexpected error: see the log"
        return ""

    def _fail(self, error: Exception) -> None:
        if not self._node.context.ok():  # a signal has shut ROS down meanwhile
            raise error
        self._failures += 1
        summary = _summary(error)
        if self._throttle.ready("failure"):
            self._log.error(f"frame failed: {summary}")
        self._failure = summary

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        before = len(self._follower.target_ids)
        stopped = self._follower.stop()
        self._inputs.stop()
        response.success = True
        response.message = f"stopped tracking the target{'s' * (before > 1)}" if stopped else "there was no target"
        self._log.info(f"stop: {response.message}")
        return response

    def _watch(self) -> None:
        if self._failures >= MAX_FAILURES:  # here, since the image callback must not destroy its own subscription
            reason = f"{MAX_FAILURES} frames in a row failed, the last with {self._failure}"
            self._publish_health(reason)
            self._diagnostics.wait_for_all_acked(ACKNOWLEDGED)  # the publisher is destroyed next
            self._give_up(reason)
            return
        self._input.watch()
        self._many.watch()
        self._inputs.watch()
        if self._init_box.watch():
            self._log.info(f"init_box subscribed as {self._init_box.reliability}")
        if text := self._init_box.complaint():
            self._warn("init_box type", text)
        self._outputs.watch(self._warn)

    def _on_second(self) -> None:
        if self._publish_health():
            self._warn("lost", f"frames of {self._input.topic} are lost on the way. {self._input.advice}")
        if not self._node.get_clock().now().nanoseconds and self._node.get_parameter("use_sim_time").value:
            self._warn("clock", "use_sim_time is true, but nothing is published on /clock: play the bag with --clock")
        if stream := self._health.stream_once():
            self._log.info(f"receiving {self._input.topic}: {stream}")

    def _publish_health(self, error: str = "") -> bool:
        """Publish on `/diagnostics`, with that error. Returns whether frames were lost in transport."""
        changing = {"reliability": self._input.reliability}
        report, in_transport = self._health.report(self._input.lost, changing, error)
        report.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(report)
        return in_transport

    def _publish(self, results: Sequence[Result], entry: float) -> None:
        """Log and publish everything about one frame. results: one for each target, or one without an estimate."""
        self._report_changes(results)
        first = results[0]
        age_ms = self._age_ms(first.frame.stamp)
        counts = (self._health.processed, self._input.lost, self._health.refused)
        for result in results:
            stages = _stages(result, entry)
            sent = self._outputs.publish(result, stages, age_ms, counts)
            self._recorder.add_result(result, sent)
        self._newest = self._with_others(results)
        self._outputs.publish_all(self._newest)
        name, width = self._trackers[0].info.name, self._node.get_parameter("debug_width").value
        self._outputs.publish_debug(self._newest, name, width, self._inputs.proposal)
        busy_ms = (time.perf_counter() - entry) * 1e3
        whole = replace(first, tracker_ms=sum(result.tracker_ms for result in results))
        self._health.add(whole, {**_stages(first, entry), "age": age_ms}, busy_ms)

    def _with_others(self, results: Sequence[Result]) -> list[Result]:
        """The results together with those of the other targets in the same frame.

        A target that starts in a frame that was already published has a result of its own.
        """
        new, followed = {result.target_id for result in results}, self._follower.target_ids
        others = [one for one in self._newest if one.frame is results[0].frame and one.target_id in followed]
        return [*(one for one in others if one.target_id not in new), *results]

    def _report_changes(self, results: Sequence[Result]) -> None:
        before, followed = self._reported, self._follower.target_ids
        # `results` may be those of one new target alone: keep the states of the others.
        self._reported = {name: state for name, state in before.items() if name in followed}
        self._change_throttles = {
            name: self._change_throttles.get(name) or Throttle(REPORT_PERIOD) for name in followed
        }
        for result in results:
            if result.estimate is None:
                continue
            name, state, reason = one_line(result.target_id), result.estimate.state, result.estimate.reason
            self._reported[result.target_id] = state
            if result.target_id not in before:
                self._log.info(f"tracking target {name}")
            elif before[result.target_id] != state and self._change_throttles[result.target_id].ready(state.value):
                # throttled: a flickering target must not flood the log
                why = "" if reason is Reason.NONE else f" ({reason.value})"
                self._log.info(f"target {name} {_WORDS[state]}{why}")

    def _apply_threshold(self) -> None:
        value = float(self._node.get_parameter("lost_threshold").value)
        for tracker in self._trackers:
            if value == tracker.policy.lost_threshold:
                continue
            tracker.policy = replace(tracker.policy, lost_threshold=value)
            if value >= 0 and (model := tracker.info.name) in PLAIN:
                self._warn("threshold", f"{model} gives no score: lost_threshold={value:g} has no effect on it")

    def _age_ms(self, stamp: int) -> float:
        return (self._node.get_clock().now().nanoseconds - stamp) * 1e-6 if stamp else math.nan

    def _warn(self, kind: str, text: str) -> None:
        if self._throttle.ready(kind):
            self._log.warning(text)


def _summary(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _stages(result: Result, entry: float) -> dict[str, float]:
    """Milliseconds of every stage of a frame, "process" from callback entry until now."""
    times = {} if result.estimate is None else result.estimate.times
    return {"convert": result.convert_ms, **times, "process": (time.perf_counter() - entry) * 1e3}


def describe(tracker: Tracker) -> dict[str, str]:
    """Model, engine and device for diagnostics."""
    info = tracker.info
    return {"model": info.name, "engine": info.engine, "device": info.device, "network": info.description}
