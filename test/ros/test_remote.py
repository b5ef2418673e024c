"""Questions to a tracker node of another process, whose services answer by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from rcl_interfaces.msg import ParameterValue  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402

from sot_tracker.ros.remote import RemoteTracker  # noqa: E402


def tracker(answer: Any) -> RemoteTracker:
    """Beside a node whose services give that answer at once."""
    future = SimpleNamespace(exception=lambda: None, result=lambda: answer)
    future.add_done_callback = lambda done: done(future)
    client = SimpleNamespace(service_is_ready=lambda: True, call_async=lambda request: future)
    node: Any = SimpleNamespace(
        create_publisher=lambda *_: None,
        create_client=lambda *_: client,
        create_guard_condition=lambda _: None,
    )
    return RemoteTracker(node, "tracker_node", lambda target_id: None)


@pytest.mark.parametrize(
    ("values", "told"),
    [([ParameterValue(string_value="kcf")], ["kcf"]), ([], [])],
    ids=["a tracker node", "another node of that name"],
)
def test_the_model_of_a_node(values: list[ParameterValue], told: list[str]) -> None:
    received: list[str] = []
    assert tracker(GetParameters.Response(values=values)).ask_model(received.append)
    assert received == told
