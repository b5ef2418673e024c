"""Lifecycle and parameters of the real node, as `ros2 lifecycle` and `ros2 param` see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ros_clips import box_at, frame

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rcl_interfaces.msg import Parameter as ParameterMsg  # noqa: E402
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from sot_tracker.config import DEFAULTS, OPTIONS  # noqa: E402

from talker import Talker, tracker  # noqa: E402


@pytest.fixture(scope="module")
def node(ros_domain: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talker]:
    with tracker(tmp_path_factory.mktemp("life"), "/life", autostart=False, init_box=[100, 40, 28, 28]) as (talker, _):
        yield talker


def change(node: Talker, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(node.call(ChangeState, "change_state", request).success)


def label(node: Talker) -> str:
    return str(node.call(GetState, "get_state", GetState.Request()).current_state.label)


def test_a_lifecycle_manager_leads_it(node: Talker) -> None:
    assert label(node) == "unconfigured"
    assert node.images.get_subscription_count() == 0
    for _ in range(2):
        assert change(node, Transition.TRANSITION_CONFIGURE)
        node.said("model kcf: ")
        assert node.images.get_subscription_count() == 0, "an inactive node does not listen"
        assert change(node, Transition.TRANSITION_ACTIVATE)
        assert label(node) == "active"
        node.connected()
        assert node.result(node.send(frame(0))).state == 1, "the init_box parameter is used after every configure"
        assert change(node, Transition.TRANSITION_DEACTIVATE)
        node.until(lambda: node.images.get_subscription_count() == 0, "the end of the subscription")
        assert change(node, Transition.TRANSITION_CLEANUP)
        assert label(node) == "unconfigured"
        node.until(lambda: node.recorder.count_publishers("/life/state") == 0, "the end of the publishers")


def describe(node: Talker, names: list[str]) -> dict[str, Any]:
    answer = node.call(DescribeParameters, "describe_parameters", DescribeParameters.Request(names=names))
    return {item.name: item for item in answer.descriptors}


def test_every_option_is_a_described_parameter(node: Talker) -> None:
    names = node.call(ListParameters, "list_parameters", ListParameters.Request()).result.names
    assert set(OPTIONS) <= set(names)
    described = describe(node, list(OPTIONS))
    for name, facts in OPTIONS.items():
        item = described[name]
        assert item.description == facts.help
        assert item.read_only is (name == "autostart")
        if facts.choices:
            assert item.additional_constraints == f"one of: {', '.join(facts.choices)}"
        ranges = [*item.integer_range, *item.floating_point_range]
        assert [(r.from_value, r.to_value) for r in ranges] == ([] if facts.low is None else [(facts.low, facts.high)])


def set_one(node: Talker, name: str, value: Any) -> tuple[bool, str]:
    message: ParameterMsg = Parameter(name, value=value).to_parameter_msg()
    result = node.call(SetParameters, "set_parameters", SetParameters.Request(parameters=[message])).results[0]
    return bool(result.successful), str(result.reason)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("autostart", False, "read-only"),
        ("model", 1.5, "wrong type"),
        ("init_box", [1.0, 2.0, -3.0, 4.0], "positive width"),
        ("debug_width", 10, "out of range"),
        ("debug_width", "wide", "type"),
        ("lost_threshold", 2.0, "out of range"),
        ("lost_threshold", "high", "wrong type"),
        ("lost_threshold", None, "lost_threshold cannot be deleted: set it to another value, or to -1.0, its default"),
        ("init_box", None, "init_box cannot be deleted: set it to another value, or to [], its default"),
        ("select_value", None, "select_value cannot be deleted: set it to another value, or to '', its default"),
    ],
)
def test_what_a_parameter_does_not_allow_is_refused_with_a_reason(
    node: Talker, name: str, value: Any, words: str
) -> None:
    done, reason = set_one(node, name, value)
    assert not done
    assert words in reason


@pytest.mark.parametrize(
    ("name", "value"), [("debug_width", 128), ("lost_threshold", 0.25), ("lost_threshold", 0), ("select", False)]
)
def test_live_parameters_can_be_set(node: Talker, name: str, value: Any) -> None:
    assert set_one(node, name, value) == (True, "")


def test_what_configure_reads_can_be_set_before_it_and_after_cleanup(node: Talker) -> None:
    assert label(node) == "unconfigured"
    for model in ("csrt", "kcf"):
        assert set_one(node, "model", model) == (True, "")
        node.said(f"parameter model changed from '{'kcf' if model == 'csrt' else 'csrt'}' to '{model}'")
        assert change(node, Transition.TRANSITION_CONFIGURE)
        node.said(f"model {model}: ")
        done, reason = set_one(node, "model", "mil")
        assert not done
        assert reason == "model is read when the node is configured: deactivate and clean it up first"
        assert set_one(node, "debug_width", 256) == (True, "")
        assert change(node, Transition.TRANSITION_CLEANUP)


@pytest.mark.parametrize(
    "transition",
    [
        Transition(id=Transition.TRANSITION_DEACTIVATE),
        Transition(id=Transition.TRANSITION_ACTIVATE),
        Transition(id=Transition.TRANSITION_CLEANUP),
        Transition(id=99),
        Transition(label="deactivate"),
        Transition(label="fly"),
    ],
    ids=str,
)
def test_a_transition_that_is_not_possible_is_answered_and_changes_nothing(
    node: Talker, transition: Transition
) -> None:
    assert label(node) == "unconfigured"
    request = ChangeState.Request(transition=transition)
    assert node.call(ChangeState, "change_state", request).success is False
    assert label(node) == "unconfigured"
    if not transition.label:  # rcl_lifecycle itself answers to labels that it does not know, and says so
        node.said(f"transition {transition.id} is not possible while the node is unconfigured")


def test_live_options_are_the_ones_tested() -> None:
    assert {name for name, facts in OPTIONS.items() if facts.live} == {
        "debug_width",
        "lost_threshold",
        "select",
        "select_value",
    }
    assert DEFAULTS["autostart"] is True


def test_a_model_that_cannot_be_loaded_fails_to_configure_and_says_why(tmp_path: Any) -> None:
    with tracker(tmp_path, "/stuck", autostart=False, model="bogus") as (talker, child):
        assert not change(talker, Transition.TRANSITION_CONFIGURE)
        talker.said("unknown model 'bogus': known are csrt")
        assert label(talker) == "unconfigured"
        assert child.poll() is None


def test_simulated_time_without_a_clock_is_reported(tmp_path: Any) -> None:
    with tracker(tmp_path, "/timeless", use_sim_time=True) as (talker, _):
        talker.said("use_sim_time is true, but nothing is published on /clock")
        talker.connected()
        assert talker.result(talker.send(frame(0))).state == 0


def test_a_parameter_box_that_cannot_be_is_reported_and_the_node_waits(tmp_path: Any) -> None:
    with tracker(tmp_path, "/wrong", init_box=[500, 40, 28, 28]) as (talker, _):
        talker.connected()
        assert talker.result(talker.send(frame(0))).state == 0
        talker.said("init_box refused: box (500, 40, 28, 28) lies outside the 160x120 frame")
        talker.box(box_at(0))
        assert talker.result(talker.send(frame(0))).state == 1


def test_a_network_tracks_and_its_threshold_can_be_moved_while_it_runs(tmp_path: Any) -> None:
    """With random weights the box means nothing, but whether it is believed follows the threshold."""
    pytest.importorskip("torch", reason="random weights need torch")
    with tracker(tmp_path, "/net", model="hit_tiny", weights="random", lost_threshold=0, max_coast=0, threads=1) as (
        talker,
        _,
    ):
        talker.connected()
        talker.said("RANDOM WEIGHTS")
        talker.box(box_at(0))
        talker.detection(talker.send(frame(0)))
        state = talker.result(talker.send(frame(1)))
        assert state.state == 1
        assert {"crop", "search", "decode"} <= set(state.stage_names)
        assert set_one(talker, "lost_threshold", 1) == (True, "")
        lost = talker.send(frame(2))
        assert talker.result(lost).state == 2
        assert lost not in talker.recording.detections
        talker.until(lambda: "network" in talker.recording.diagnostics, "diagnostics")
        assert talker.recording.diagnostics["device"] == "cpu"
        assert "RANDOM" in talker.recording.diagnostics["network"]
