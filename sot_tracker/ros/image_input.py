"""The image subscription: its topic, message type and reliability, and the number of frames that were missed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from sot_tracker.config import Config
from sot_tracker.ros import PROFILE_VARIABLES
from sot_tracker.ros.paths import config_file
from sot_tracker.ros.subscription import MatchingSubscription
from sot_tracker.stream.follower import Warn
from sot_tracker.stream.statistics import Reminder, Sequence

SILENCE = 3.0  # seconds without a frame from an existing publisher, or without a publisher, after which it is reported
RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_TYPES = {RAW: Image, COMPRESSED: CompressedImage}
_UNKNOWN_NUMBER = 2**64 - 1  # given by rmw if the middleware does not count messages


class ImageInput:
    """Subscribes to raw or compressed images. KEEP_LAST 1 with one executor thread always gives the newest frame.

    If the topic has the other of the two types, that one is subscribed. With reliability `auto` the subscription is
    made when there is a publisher. Call `watch` regularly.
    """

    def __init__(self, node: Node, config: Config, receive: Callable[[Any], None], warn: Warn) -> None:
        self._node, self._receive, self._warn = node, receive, warn
        compressed = config.image_transport == "compressed"
        self.topic = node.resolve_topic_name("image")
        if compressed and not self.topic.endswith("/compressed"):
            self.topic = compressed_topic(node)
        first = COMPRESSED if compressed or self.topic.endswith("/compressed") else RAW
        types = {first: _TYPES[first], **_TYPES}
        # In Humble, callbacks get no message info, only the message.
        take = self._take if hasattr(Subscription, "CallbackType") else partial(self._take, info={})
        self._subscription = MatchingSubscription(node, self.topic, types, take, 1, config.reliability, eager=False)
        self._heard = time.monotonic()  # when the last frame came
        self._was_heard = False  # whether a frame has come
        self._absence = ""  # last log line about a publisher that was never there
        self._reminder = Reminder()
        self._sequence = Sequence()
        if config.reliability == "auto":
            node.get_logger().info(f"waiting for a publisher on {self.topic}")
        self.watch()

    @property
    def lost(self) -> int:
        """Frames that were published but not seen here."""
        return self._sequence.lost

    @property
    def reliability(self) -> str:
        """The present reliability: "reliable", "best_effort", or "waiting" without a subscription."""
        return self._subscription.reliability

    @property
    def type_name(self) -> str:
        return self._subscription.type_name

    @property
    def advice(self) -> str:
        """What a user can do about frames that do not arrive."""
        return (
            "Images above 512 KiB do not fit Fast DDS's default shared-memory segment: start the camera driver with "
            f"{' and '.join(PROFILE_VARIABLES)} set to {config_file('fastdds_large.xml') or 'fastdds_large.xml'}, "
            "or use image_transport:=compressed"
        )

    def watch(self) -> None:
        """Adapt the subscription to its publishers; warn if no frames arrive."""
        if self._subscription.watch():
            self._heard = time.monotonic()
            self._sequence.restart()
            self._node.get_logger().info(f"subscribed to {self.topic} ({self.reliability}, {self.type_name})")
        if time.monotonic() - self._heard > SILENCE:
            self._report_silence()

    def close(self) -> None:
        self._subscription.close()

    def _report_silence(self) -> None:
        if self._subscription.publishers:
            if self._reminder.is_due("silence"):
                silent = time.monotonic() - self._heard
                may_be_too_large = self.type_name == RAW and not self._was_heard
                advice = self.advice if may_be_too_large else "Check the publisher."
                if self._subscription.is_refused:
                    advice = (
                        "It is best effort, so a reliable subscription receives nothing from it: set reliability:=auto"
                    )
                self._warn("silence", f"{self.topic} has a publisher but no frame came for {silent:.0f} s. {advice}")
        elif foreign := self._subscription.foreign_types:
            if self._reminder.is_due("type"):
                self._warn(
                    "type",
                    f"{self.topic} carries {', '.join(foreign)}, but {RAW} or {COMPRESSED} is needed: "
                    f"remap `image` to a topic of one of these types{self._candidates()}",
                )
        elif self._was_heard:
            if self._reminder.is_due("gone"):
                silent = time.monotonic() - self._heard
                text = f"{self.topic} has no publisher any more, and no frame came for {silent:.0f} s"
                self._warn("silence", f"{text}: see whether the camera driver is still running{self._candidates()}")
        elif (text := f"nobody publishes {self.topic}{self._candidates()}") != self._absence:
            self._absence = text  # logged again when other image topics are there
            self._node.get_logger().info(text)

    def _candidates(self) -> str:
        """A hint at other image topics, for the message that nobody publishes this one."""
        others = sorted(
            name
            for name, types in self._node.get_topic_names_and_types()
            if set(types) & set(_TYPES) and not name.endswith("/debug_image") and name != self.topic
        )
        if f"{self.topic}/compressed" in others:
            return f"; {self.topic}/compressed is there: use image_transport:=compressed"
        return f"; other image topics, to which `image` can be remapped: {', '.join(others)}" if others else ""

    def _take(self, message: Any, info: dict[str, Any]) -> None:
        self._heard, self._was_heard = time.monotonic(), True
        self._reminder.clear()
        number = info.get("publication_sequence_number")
        # Each publisher has its own count, and the message info does not tell the publisher.
        self._sequence.see(number if number != _UNKNOWN_NUMBER and self._subscription.publishers == 1 else None)
        self._receive(message)


def compressed_topic(node: Node) -> str:
    """`image/compressed` if that name was remapped, else the resolved `image`, which gets `/compressed` once."""
    topic = node.resolve_topic_name("image/compressed")
    if topic != node.resolve_topic_name("image/compressed", only_expand=True):
        return str(topic)
    return f"{str(node.resolve_topic_name('image')).removesuffix('/compressed')}/compressed"
