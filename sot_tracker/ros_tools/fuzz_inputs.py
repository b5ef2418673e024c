"""Random requests for `fuzz`, through every way to start a target but `init_box`: good ones, and garbage."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import Point, Point32, PointStamped, PolygonStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from sot_tracker.box import Box
from sot_tracker.ros import messages

ODD_NUMBERS = (0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "", "7", "person", "\n", "x" * 500)


class InputMaker:
    """Publishes one random message at a time, and asks `~/init`. Stamps lie around the newest frame's."""

    def __init__(self, rng: random.Random, node: Node) -> None:
        self._rng, self._node = rng, node
        kinds: dict[str, tuple[Any, Callable[[int], Any]]] = {
            "init_detections": (Detection2DArray, self._detections),
            "init_boxes": (Detection2DArray, self._detections),
            "init_region": (RegionOfInterest, self._region),
            "init_polygon": (PolygonStamped, self._polygon),
            "click": (PointStamped, self._click),
            "image_mouse_left": (Point, self._point),
            "debug_image_mouse_left": (Point, self._point),
        }
        self._make = {
            node.create_publisher(kind, topic, QoSProfile(depth=10)): make for topic, (kind, make) in kinds.items()
        }
        self._service: Any = messages.init_type()
        self._init = node.create_client(self._service, "tracker_node/init") if self._service else None

    def send(self, newest: int) -> None:
        """One request. newest: stamp of the newest frame, nanoseconds."""
        if self._init is not None and self._init.service_is_ready() and self._rng.random() < 0.15:
            self._init.call_async(self._service.Request(target=self._detection(newest)))
            return
        publisher, make = self._rng.choice(list(self._make.items()))
        publisher.publish(make(newest))

    def _number(self, most: float) -> float:
        rng = self._rng
        odd = (*ODD_NUMBERS, rng.uniform(-1e4, 1e4))
        return float(rng.choice(odd)) if rng.random() < 0.1 else rng.uniform(0, most)

    def _header(self, newest: int) -> Header:
        rng = self._rng
        stamp = rng.choice((0, 0, newest, max(0, newest - rng.randrange(10**9)), rng.randrange(2**60)))
        header = Header()
        header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
        return header

    def _detection(self, newest: int) -> Any:
        box = Box(self._number(160), self._number(120), self._number(60), self._number(60))
        detection = messages.detection_of(box, self._number(1), self._header(newest), self._rng.choice(TEXTS))
        if self._rng.random() < 0.2:
            detection.results = []
        else:
            detection.results[0].hypothesis.class_id = self._rng.choice(TEXTS)
        return detection

    def _detections(self, newest: int) -> Detection2DArray:
        count = self._rng.choice((0, 1, 3, 3, 3, 50))
        found = [self._detection(newest) for _ in range(count)]
        return Detection2DArray(header=self._header(newest), detections=found)

    def _region(self, newest: int) -> RegionOfInterest:
        numbers = [self._rng.choice((0, 2**32 - 1, *self._rng.choices(range(160), k=6))) for _ in range(4)]
        return RegionOfInterest(x_offset=numbers[0], y_offset=numbers[1], width=numbers[2], height=numbers[3])

    def _polygon(self, newest: int) -> PolygonStamped:
        message = PolygonStamped(header=self._header(newest))
        count = self._rng.choice((0, 1, 2, 4, 4, 4, 1000))
        most = 3e38  # of a 32-bit number
        corners = [(self._number(160), self._number(120)) for _ in range(count)]
        message.polygon.points = [Point32(x=x, y=y) for x, y in corners if not most < max(abs(x), abs(y)) < 1e308]
        return message

    def _click(self, newest: int) -> PointStamped:
        return PointStamped(header=self._header(newest), point=self._point(newest))

    def _point(self, newest: int) -> Point:
        return Point(x=self._number(160), y=self._number(120))
