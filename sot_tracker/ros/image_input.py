"""The image subscription: which topic, which reliability, how many frames were missed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from sot_tracker.config import Config
from sot_tracker.ros import PROFILE_VARIABLES
from sot_tracker.ros.paths import config_file
from sot_tracker.stream.follower import Warn
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.statistics import Sequence

SILENCE = 3.0  # seconds without a frame from an existing publisher, after which the user is told
_POLICIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}
_UNKNOWN_NUMBER = 2**64 - 1  # rmw's "the middleware does not count"


class ImageInput:
    """Subscribes to raw or compressed images, KEEP_LAST 1: with one executor thread that is always the newest frame.

    With reliability `auto` the subscription is made when a publisher is seen, copies what it offers, and is made anew
    when that changes: a reliable subscription gets nothing from a best-effort publisher, and a best-effort one loses
    large images that a reliable publisher would send again. Call `watch` regularly.
    """

    def __init__(self, node: Node, config: Config, receive: Callable[[Any], None], warn: Warn) -> None:
        self._node = node
        self._receive = receive
        self._warn = warn
        self._compressed = config.image_transport == "compressed"
        self._wanted = _POLICIES.get(config.reliability)
        self._subscription: Any = None
        self._policy: ReliabilityPolicy | None = None
        self._publishers = 0
        self._heard = time.monotonic()
        self._sequence = Sequence()
        self.topic = _compressed_topic(node) if self._compressed else node.resolve_topic_name("image")
        self.frame = Frame.compressed if self._compressed else Frame.raw
        if self._wanted is None:
            node.get_logger().info(f"waiting for a publisher on {self.topic} to copy its reliability")
        self.watch()

    @property
    def lost(self) -> int:
        """Frames that were published but not seen here."""
        return self._sequence.lost

    @property
    def reliability(self) -> str:
        """As subscribed now: "reliable", "best_effort", or "waiting"."""
        return next((name for name, policy in _POLICIES.items() if policy == self._policy), "waiting")

    @property
    def advice(self) -> str:
        """What a user can do about frames that do not arrive."""
        return (
            "Images above 512 KiB do not fit Fast DDS's default shared-memory segment: start the camera driver with "
            f"{' and '.join(PROFILE_VARIABLES)} set to {config_file('fastdds_large.xml') or 'fastdds_large.xml'}, "
            "or use image_transport:=compressed"
        )

    def watch(self) -> None:
        """Subscribe as soon and as often as the publishers ask for it; tell when they are silent."""
        offered = [info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)]
        self._publishers = len(offered)
        policy = self._wanted
        if policy is None and offered:
            reliable = all(offer == ReliabilityPolicy.RELIABLE for offer in offered)
            policy = _POLICIES["reliable" if reliable else "best_effort"]
        if policy is not None and policy != self._policy:
            self._subscribe(policy)
        if offered and time.monotonic() - self._heard > SILENCE:
            self._warn("silence", f"{self.topic} has a publisher but no frame came for {SILENCE:g} s. {self.advice}")
        elif not offered:
            self._heard = time.monotonic()

    def close(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription, self._policy = None, None

    def _subscribe(self, policy: ReliabilityPolicy) -> None:
        self.close()
        qos = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=policy)
        kind = CompressedImage if self._compressed else Image
        # Humble's subscriptions know no message info: they get the message alone.
        take = self._take if hasattr(Subscription, "CallbackType") else partial(self._take, info={})
        self._subscription = self._node.create_subscription(kind, self.topic, take, qos)
        self._policy = policy
        self._heard = time.monotonic()
        self._sequence.restart()
        self._node.get_logger().info(f"subscribed to {self.topic} ({self.reliability})")

    def _take(self, message: Any, info: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        number = info.get("publication_sequence_number")
        # Each publisher counts for itself, and a message does not tell whose it is.
        self._sequence.see(number if number != _UNKNOWN_NUMBER and self._publishers == 1 else None)
        self._receive(message)


def _compressed_topic(node: Node) -> str:
    """`image/compressed` where that name was remapped, else the resolved `image` with `/compressed` behind it."""
    topic = node.resolve_topic_name("image/compressed")
    if topic != node.resolve_topic_name("image/compressed", only_expand=True):
        return str(topic)
    return f"{node.resolve_topic_name('image')}/compressed"
