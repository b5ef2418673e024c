"""Questions to a tracker node of another process, whose services answer by hand."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from rcl_interfaces.msg import ParameterValue  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from rclpy.task import Future  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

from sot_tracker.ros.remote import RemoteTracker  # noqa: E402


class Client:
    """Of services that answer when the test does, or never."""

    srv_name = "/tracker_node/stop"

    def __init__(self) -> None:
        self.ready, self.futures = True, []  # type: ignore[var-annotated]

    def service_is_ready(self) -> bool:
        return self.ready

    def call_async(self, _request: Any) -> Future:
        self.futures.append(Future())
        return self.futures[-1]

    def remove_pending_request(self, future: Future) -> None:
        self.futures.remove(future)


def beside(client: Client) -> RemoteTracker:
    """A guard condition that calls at once stands for the executor."""

    def guard(serve: Any) -> Any:
        return SimpleNamespace(trigger=serve)

    node: Any = SimpleNamespace(
        create_publisher=lambda *_: None, create_client=lambda *_: client, create_guard_condition=guard
    )
    return RemoteTracker(node, "tracker_node", lambda target_id: None)


@pytest.mark.parametrize("ask", [lambda made, tell: made.stop(tell), lambda made, tell: made.choose("kcf", tell)])
def test_a_node_that_ends_before_it_answers_is_reported(ask: Any) -> None:
    client, reported = Client(), []  # type: ignore[var-annotated]
    made = beside(client)
    ask(made, reported.append)
    made.watch()
    assert not reported, "it may take long"
    client.ready = False
    (asked,) = client.futures
    made.watch()
    assert reported == ["tracker_node ended before it answered"]
    assert not client.futures
    asked.set_result(Trigger.Response(success=True))
    made.watch()
    assert len(reported) == 1, "one answer"


def test_an_answer_ends_the_waiting() -> None:
    client, reported = Client(), []  # type: ignore[var-annotated]
    made = beside(client)
    made.stop(reported.append)
    client.futures[0].set_result(Trigger.Response(success=True))
    client.ready = False
    made.watch()
    assert reported == [""]


@pytest.mark.parametrize(
    ("module", "name", "package"), [("view", "ViewNode", "aiohttp"), ("mavlink", "MavlinkNode", "pymavlink")]
)
def test_the_nodes_that_ask_a_tracker_notice_its_end(module: str, name: str, package: str) -> None:
    pytest.importorskip(package)
    node = MagicMock()
    getattr(import_module(f"sot_tracker.ros.{module}"), name)._watch(node)
    node._tracker.watch.assert_called_once_with()


@pytest.mark.parametrize(
    ("values", "message"),
    [([ParameterValue(string_value="kcf")], ["kcf"]), ([], [])],
    ids=["a tracker node", "another node of that name"],
)
def test_the_model_of_a_node(values: list[ParameterValue], message: list[str]) -> None:
    client, received = Client(), []  # type: ignore[var-annotated]
    assert beside(client).ask_model(received.append)
    client.futures[0].set_result(GetParameters.Response(values=values))
    assert received == message
