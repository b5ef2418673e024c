"""A subscription that takes what the publishers of its topic offer: their reliability and their message type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from sot_tracker.stream.statistics import Reminder

POLICIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


class MatchingSubscription:
    """A subscription whose message type and reliability are adapted to the publishers. Call `watch` regularly.

    types: name of a message type ("sensor_msgs/msg/Image") -> its class; the first is used while there is no publisher.
    reliability: "reliable", "best_effort", or "auto": best effort as soon as one publisher is best effort, because a
    reliable subscription would receive nothing from it. eager: subscribe before there is a publisher.
    serialized: call `receive` with bytes instead of messages. latched: if all publishers are reliable and transient
    local, receive also what they published before, whatever `reliability` is.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        types: Mapping[str, Any],
        receive: Callable[..., None],
        depth: int,
        reliability: str,
        eager: bool = True,
        serialized: bool = False,
        latched: bool = False,
    ) -> None:
        self._node, self._receive, self._depth = node, receive, depth
        self._types = dict(types)
        self._wanted = POLICIES.get(reliability)
        self._eager = eager or self._wanted is not None
        self._serialized, self._latched = serialized, latched
        self._reminder = Reminder()
        self._subscription: Any = None
        self._policy: ReliabilityPolicy | None = None
        self._durability = DurabilityPolicy.VOLATILE
        self.topic = topic
        self.type_name = next(iter(types))
        self.publishers = 0
        self.is_refused = False
        """Whether `reliability` is "reliable" and all publishers are best effort: then nothing is received."""
        self.foreign_types: list[str] = []
        """Types of this topic's publishers that are not in `types`."""

    @property
    def reliability(self) -> str:
        """The present reliability: "reliable", "best_effort", or "waiting" without a subscription."""
        return next((name for name, policy in POLICIES.items() if policy == self._policy), "waiting")

    def watch(self) -> bool:
        """Adapt the subscription to its publishers. Returns whether it subscribed again."""
        offers = self._node.get_publishers_info_by_topic(self.topic)
        usable = [offer for offer in offers if offer.topic_type in self._types]
        self.publishers = len(usable)
        offered_none = all(offer.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for offer in usable)
        self.is_refused = bool(usable) and offered_none and self._wanted == ReliabilityPolicy.RELIABLE
        self.foreign_types = sorted({offer.topic_type for offer in offers} - set(self._types))
        if not usable and not (self._eager and self._subscription is None):
            return False
        offered = {offer.topic_type for offer in usable}
        name = self.type_name if self.type_name in offered or not offered else sorted(offered)[0]
        policy, durability = self._wanted or self._offered(usable), DurabilityPolicy.VOLATILE
        if self._latched and usable and all(_keeps_last(offer.qos_profile) for offer in usable):
            policy, durability = ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL
        now = (self.type_name, self._policy, self._durability)
        if self._subscription is not None and (name, policy, durability) == now:
            return False
        self._subscribe(name, policy, durability)
        return True

    def complaint(self) -> str:
        """A warning about publishers of another message type, at growing intervals; "" otherwise."""
        if not self.foreign_types:
            self._reminder.clear()
            return ""
        found = ", ".join(self.foreign_types)
        text = f"{self.topic} carries {found}, but {self.type_name} is needed: change the publisher or remap this topic"
        return text if self._reminder.is_due(text) else ""

    def close(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription, self._policy = None, None

    @staticmethod
    def _offered(offers: list[Any]) -> ReliabilityPolicy:
        reliable = all(offer.qos_profile.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
        return POLICIES["reliable" if reliable else "best_effort"]

    def _subscribe(self, name: str, policy: ReliabilityPolicy, durability: DurabilityPolicy) -> None:
        self.close()
        history = HistoryPolicy.KEEP_LAST
        qos = QoSProfile(depth=self._depth, history=history, reliability=policy, durability=durability)
        self.type_name, self._policy, self._durability = name, policy, durability
        self._subscription = self._node.create_subscription(
            self._types[name], self.topic, self._receive, qos, raw=self._serialized
        )


def _keeps_last(offered: QoSProfile) -> bool:
    """Whether a publisher sends its last messages to a subscription that asks for them."""
    return bool(
        offered.durability == DurabilityPolicy.TRANSIENT_LOCAL and offered.reliability == ReliabilityPolicy.RELIABLE
    )
