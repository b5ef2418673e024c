"""The ways to start a target besides `init_box`: a detector, a region, a polygon, clicks, and the service `~/init`.

Each makes a `Request` and passes it to `Starter.ask`. Unusable messages cause a throttled warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from geometry_msgs.msg import Point, PointStamped, PolygonStamped
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import RegionOfInterest
from vision_msgs.msg import Detection2DArray

from sot_tracker.box import Box
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.ros import messages, parameters
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream.candidates import Selection
from sot_tracker.stream.clicks import Clicks
from sot_tracker.stream.follower import Warn
from sot_tracker.stream.followers import Followers
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.object_search import Found, ObjectSearch
from sot_tracker.stream.requests import Request
from sot_tracker.stream.statistics import Reminder


@dataclass(frozen=True)
class Starter:
    """What all ways to start a target need.

    ask: starts on a request; returns the reason if it was refused, else "". fail: called with an error that is not the
    user's mistake. followers: the targets of this activation. warn: logs a warning, throttled by kind.
    """

    ask: Callable[[Request], str]
    fail: Callable[[Exception], None]
    followers: Followers
    warn: Warn


class Inputs:
    """Subscriptions and service of one activation.

    Call `watch` regularly, `see` with every frame, and `stop` when the user stops all targets.
    image_topic: the subscribed topic; rqt_image_view publishes clicks as `<image topic>_mouse_left`.
    """

    def __init__(self, node: LifecycleNode, starter: Starter, image_topic: str) -> None:
        self._node, self._starter, self._history = node, starter, starter.followers.history
        self._clicks, self._search = Clicks(), ObjectSearch()
        self._pending = True  # whether `select` still has a target to start
        self._reminder = Reminder()  # why it starts none
        image, debug = node.resolve_topic_name("image"), node.resolve_topic_name("debug_image")
        self._subscriptions = [
            self._subscribe("init_detections", Detection2DArray, self._on_detections),
            self._subscribe("init_region", RegionOfInterest, self._on_region),
            self._subscribe("init_polygon", PolygonStamped, self._on_polygon),
            self._subscribe("click", PointStamped, self._on_click),
            *(
                self._subscribe(f"{topic}_mouse_left", Point, partial(self._on_point, is_debug=topic == debug))
                for topic in dict.fromkeys((image, image_topic, debug))
            ),
        ]
        kind = messages.init_type()
        self._service = node.create_service(kind, "~/init", self._on_init) if kind else None
        self._guarded(self._selection, "select")
        self.watch()

    def _subscribe(self, topic: str, kind: Any, receive: Callable[[Any], None]) -> MatchingSubscription:
        def guarded(message: Any) -> None:
            self._guarded(lambda: receive(message), topic)

        package, name = kind.__module__.partition(".")[0], kind.__name__
        types = {f"{package}/msg/{name}": kind}
        return MatchingSubscription(self._node, self._node.resolve_topic_name(topic), types, guarded, 10, "auto")

    def _guarded(self, action: Callable[[], object], origin: str) -> None:
        try:
            action()
        except UserError as error:
            self._starter.warn(origin, f"{origin} refused: {error}")
        except Exception as error:  # of OpenCV: no message may end the node
            self._starter.fail(error)

    def watch(self) -> None:
        """Adapt the subscriptions to their publishers, warn of wrong types, propose the object found at a click."""
        self._guarded(self._propose_what_was_found, "click")
        for subscription in self._subscriptions:
            subscription.watch()
            if text := subscription.complaint():
                self._starter.warn(f"{subscription.topic} type", text)

    def see(self, frame: Frame) -> None:
        """Move a proposal into the next frame. Raises FrameError if the frame cannot be decoded."""
        if self._starter.followers.target_ids:  # here too: it may be stopped before the next detection comes
            self._pending = False
        self._guarded(self._propose_what_was_found, "click")
        if self._clicks.proposal is not None:
            self._clicks.see(frame.image)

    def notice(self, names: Collection[str]) -> None:
        """To be called when parameters were set.

        `select` or `select_value`, even with the same value, requests a target.
        """
        if not {"select", "select_value"}.isdisjoint(names):
            self._pending = True
            self._reminder.clear()

    def stop(self) -> None:
        """Start no target by `select` until it is set again, and drop a proposal."""
        self._pending = False
        self._forget_clicks()

    @property
    def proposal(self) -> Box | None:
        """The box that waits for a click, pixels of the newest frame; None without one."""
        return self._clicks.proposal

    def close(self) -> None:
        self._search.close()
        for subscription in self._subscriptions:
            subscription.close()
        if self._service is not None:
            self._node.destroy_service(self._service)
        del self._starter, self._history  # as in `Pipeline.close`

    # ---- a detector

    def _selection(self) -> Selection:
        rule, value = (parameters.value_of(self._node, name, Config) for name in ("select", "select_value"))
        return Selection(rule, value)

    def _on_detections(self, message: Detection2DArray) -> None:
        if self._starter.followers.target_ids:
            self._pending = False
        selection = self._selection()
        if not self._pending or self._starter.followers.waiting:
            return
        if selection.rule == "off":
            self._tell("select is off, so none of them starts a target: set it to id, class, nearest or best")
            return
        newest = self._history.newest
        if newest is None:
            return
        candidates = [messages.candidate_of(detection) for detection in message.detections]
        height, width = newest.image.shape[:2]  # compressed frames have no size before they are decoded
        chosen = selection.choose(candidates, (0.5 * width, 0.5 * height))
        if chosen is not None:
            stamp = messages.stamp_of(message.header)
            self._starter.ask(Request(chosen.box, stamp, chosen.target_id, "init_detections"))
        elif unusable := sum(not candidate.box.is_valid for candidate in candidates):
            raise UserError(f"{unusable} of {len(candidates)} boxes are invalid: give finite numbers and sizes above 0")
        elif text := selection.mismatch(candidates):
            self._tell(text)

    def _tell(self, why: str) -> None:
        """Log, at growing intervals, why no detection starts a target."""
        if self._reminder.is_due("no target"):
            self._node.get_logger().info(f"init_detections: {why}")

    # ---- regions and polygons

    def _on_region(self, message: RegionOfInterest) -> None:
        self._starter.ask(Request(messages.box_of_region(message), origin="init_region"))

    def _on_polygon(self, message: PolygonStamped) -> None:
        box = messages.box_around(message.polygon.points)
        self._starter.ask(Request(box, messages.stamp_of(message.header), origin="init_polygon"))

    # ---- clicks

    def _on_click(self, message: PointStamped) -> None:
        self._click(message.point.x, message.point.y, messages.stamp_of(message.header))

    def _on_point(self, message: Point, is_debug: bool) -> None:
        newest = self._history.newest
        scale = 1.0
        if is_debug and newest is not None and newest.size is not None:  # the debug picture may be smaller
            scale = max(1.0, newest.size[0] / self._node.get_parameter("debug_width").value)
        self._click(message.x * scale, message.y * scale, 0)

    def _click(self, x: float, y: float, stamp: int) -> None:
        """Start on the box that this click completes; for a first click, search for the object around it."""
        frames = self._frames_from(stamp)
        height, width = frames[0].image.shape[:2]
        if not (0 <= x <= width and 0 <= y <= height):  # nor is any comparison true of what is not a number
            raise UserError(f"point ({x:g}, {y:g}) lies outside of the {width}x{height} frame")
        proposal = self._clicks.proposal
        box = self._clicks.click(x, y)
        if box is None:
            self._search.ask(frames[0], x, y)
            return
        self._search.forget()
        frame = frames[-1] if box is proposal else frames[0]  # proposals move along
        self._starter.ask(Request(box, frame.stamp, origin="click"))

    def _propose_what_was_found(self) -> None:
        """Propose the object around the newest click as soon as it is found, moved into the newest frame."""
        if (found := self._search.result()) is None:
            return
        self._log_found(found)
        if found.box is not None:
            self._clicks.propose(found.box, found.frame.image)
            for frame in self._history:
                if frame.stamp > found.frame.stamp:
                    self._clicks.see(frame.image)
                if frame is not self._history.newest:  # of older frames no decoded picture is kept
                    frame.release()

    def _log_found(self, found: Found) -> None:
        how = "a second click is the opposite corner of a box"
        point = f"click ({found.x:g}, {found.y:g})"
        if found.box is None:
            self._node.get_logger().info(f"{point}: no object was found there; {how}")
            return
        box = ", ".join(f"{value:.0f}" for value in found.box.xywh)
        self._node.get_logger().info(
            f"{point}: proposing ({box}), drawn in debug_image; a second click inside starts on it, elsewhere {how}"
        )

    def _forget_clicks(self) -> None:
        self._clicks.forget()
        self._search.forget()

    def _frames_from(self, stamp: int) -> list[Frame]:
        """The frame in which the user clicked, and those after it.

        Only the newest frame for stamp 0, for a stamp outside of the kept frames, and if frames have no stamps.
        """
        frames = list(self._history)
        if not frames:
            raise UserError("no frame has come yet")
        if not 0 < frames[0].stamp <= stamp <= frames[-1].stamp:
            return frames[-1:]
        first = min(range(len(frames)), key=lambda index: abs(frames[index].stamp - stamp))
        return frames[first:]

    # ---- the service

    def _on_init(self, request: Any, response: Any) -> Any:
        """Start on the target. Stamp 0 means the newest frame here, so that the response can say whether it started."""
        start, newest = messages.request_of(request.target, "~/init"), self._history.newest
        if newest is None:
            response.message = "no frame has come yet: see the node's log, and `ros2 topic hz` of the image topic"
            return response
        if start.stamp == 0:
            start = replace(start, stamp=newest.stamp)
        before = self._starter.followers.target_ids
        response.message = self._starter.ask(start)
        response.accepted = not response.message
        if response.accepted:
            new = [name for name in self._starter.followers.target_ids if name not in before]
            response.target_id = start.target_id or "".join(new)
            response.message = (
                "waits for the frame with its stamp" if start in self._starter.followers.waiting else "started"
            )
        return response
