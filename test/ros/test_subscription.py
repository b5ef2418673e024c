"""A subscription beside publishers of every quality of service, over real DDS in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from sot_tracker.ros.subscription import MatchingSubscription  # noqa: E402
from sot_tracker.ros_tools import harness  # noqa: E402

PATIENCE = 40.0
RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
VOLATILE, LATCHED = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL


class Setup:
    """A listener, and a publisher in a node of its own."""

    def __init__(self, name: str) -> None:
        self.nodes = [Node(f"{kind}_{name}") for kind in ("listener", "speaker")]
        self.topic = f"/subscription_{name}"
        self.executor = SingleThreadedExecutor()
        for node in self.nodes:
            self.executor.add_node(node)
        self.received: list[str] = []
        self.subscription: MatchingSubscription | None = None

    def publisher(self, reliability: Any, durability: Any) -> Any:
        return self.nodes[1].create_publisher(
            String, self.topic, QoSProfile(depth=1, reliability=reliability, durability=durability)
        )

    def listen(self, latched: bool) -> None:
        self.subscription = MatchingSubscription(
            self.nodes[0], self.topic, {"std_msgs/msg/String": String}, self._take, 1, "best_effort", latched=latched
        )

    def _take(self, message: String) -> None:
        self.received.append(message.data)

    def until(self, condition: Any, what: str) -> None:
        def holds() -> bool:
            assert self.subscription is not None
            self.subscription.watch()
            return bool(condition())

        assert harness.spin_until(self.executor, holds, PATIENCE), what

    def close(self) -> None:
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()


@pytest.fixture
def setup(request: pytest.FixtureRequest) -> Iterator[Setup]:
    made = Setup("".join(c for c in request.node.name if c.isalnum()))
    yield made
    made.close()


def test_what_was_published_before_comes_from_a_latched_topic(setup: Setup) -> None:
    publisher = setup.publisher(RELIABLE, LATCHED)
    publisher.publish(String(data="earlier"))
    setup.listen(latched=True)
    setup.until(lambda: setup.received == ["earlier"], "the earlier message")


@pytest.mark.parametrize(
    ("reliability", "durability"), [(RELIABLE, VOLATILE), (BEST_EFFORT, VOLATILE), (BEST_EFFORT, LATCHED)]
)
def test_a_topic_that_is_not_latched_is_heard_too(setup: Setup, reliability: Any, durability: Any) -> None:
    setup.listen(latched=True)
    publisher = setup.publisher(reliability, durability)

    def heard() -> bool:
        publisher.publish(String(data="now"))
        return bool(setup.received)

    setup.until(heard, "a message")
    assert setup.subscription is not None
    assert setup.subscription.reliability == "best_effort"


def test_beside_one_that_is_not_latched_both_are_heard(setup: Setup) -> None:
    first = setup.publisher(RELIABLE, LATCHED)
    first.publish(String(data="earlier"))
    setup.listen(latched=True)
    setup.until(lambda: setup.received, "the earlier message")
    second = setup.publisher(BEST_EFFORT, VOLATILE)

    for publisher, text in ((first, "first"), (second, "second")):

        def heard(publisher: Any = publisher, text: str = text) -> bool:
            publisher.publish(String(data=text))
            return text in setup.received

        setup.until(heard, f"the {text} one's message")
