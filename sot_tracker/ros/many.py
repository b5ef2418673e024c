"""Inputs for several targets: boxes in one message, and a service that stops one target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode
from vision_msgs.msg import Detection2DArray

from sot_tracker.errors import one_line
from sot_tracker.ros import messages
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream.followers import Followers
from sot_tracker.stream.requests import Request
from sot_tracker.stream.statistics import Throttle


class ManyTargets:
    """The topic `init_boxes` and the service `~/stop_target`, from activation to deactivation.

    ask: starts on one box and logs the result.
    """

    def __init__(self, node: LifecycleNode, followers: Followers, ask: Callable[[Request], Any]) -> None:
        self._node, self._followers, self._ask = node, followers, ask
        self._log, self._throttle = node.get_logger(), Throttle(5.0)
        topic, kinds = node.resolve_topic_name("init_boxes"), {"vision_msgs/msg/Detection2DArray": Detection2DArray}
        self._boxes = MatchingSubscription(node, topic, kinds, self._on_boxes, 10, "auto")
        kind = messages.stop_type()
        self._stop = node.create_service(kind, "~/stop_target", self._on_stop) if kind is not None else None
        self._boxes.watch()

    def watch(self) -> None:
        """Adapt the subscription to its publishers. Call this regularly."""
        if self._boxes.watch():
            self._log.info(f"init_boxes subscribed as {self._boxes.reliability}")
        if text := self._boxes.complaint():
            self._log.warning(text)

    def close(self) -> None:
        self._boxes.close()
        if self._stop is not None:
            self._node.destroy_service(self._stop)
        del self._followers, self._ask  # as in `Pipeline.close`

    def _on_boxes(self, message: Detection2DArray) -> None:
        """Start on every box as long as more targets are possible; one warning for the others."""
        refused = 0
        for detection in message.detections:
            if not messages.stamp_of(detection.header):
                detection.header = message.header
            request = messages.request_of(detection, "init_boxes")
            if self._followers.has_room(request):
                self._ask(request)
            else:
                refused += 1
        if refused and self._throttle.ready("refused"):  # a detector sends many times per second
            total = len(message.detections)
            self._log.warning(f"init_boxes: {refused} of {total} boxes refused: {self._followers.refusal}")

    def _on_stop(self, request: Any, response: Any) -> Any:
        response.success = self._followers.stop(request.target_id)
        name = f"target {request.target_id!r}" if request.target_id else "all targets"
        known = one_line(", ".join(self._followers.target_ids))
        none = f"there is no {name}; tracked are {known}" if known else "there is no target"
        response.message = f"stopped tracking {name}" if response.success else none
        self._log.info(f"stop_target: {response.message}")
        return response
