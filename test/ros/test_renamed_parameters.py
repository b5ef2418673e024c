"""Parameters under the names that they had before (`config.RENAMED`)."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy")

from rclpy.node import Node
from rclpy.parameter import Parameter

from sot_tracker.config import RENAMED, Config
from sot_tracker.ros import parameters

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
VALUES = {"lost_windows": 3, "size_fit": 0.5, "size_rate": 0.9}


def declared(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Config, list[str], list[str]]:
    """The options of a node that was given these parameters, its warnings, and the names of its parameters."""
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = Node("renamed", parameter_overrides=overrides)
    warnings: list[str] = []
    monkeypatch.setattr(node.get_logger(), "warning", warnings.append)
    try:
        return parameters.declare(node, Config), warnings, list(node._parameters)
    finally:
        node.destroy_node()


@pytest.mark.parametrize(("old", "value"), VALUES.items())
def test_an_old_name_is_accepted_with_one_warning(old: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config, warnings, names = declared({old: value}, monkeypatch)
    assert getattr(config, RENAMED[old]) == value
    assert warnings == [f"option {old} has a new name: use {RENAMED[old]}"]
    assert (set(RENAMED) & set(names)) == {old}


def test_an_old_name_wins_over_the_default_that_the_launch_file_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, warnings, _ = declared({"size_fit": 0.5, "init_size_correction": 0.7}, monkeypatch)
    assert config.init_size_correction == 0.5
    assert len(warnings) == 1


def test_without_old_names_there_is_neither_a_warning_nor_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    config, warnings, names = declared({}, monkeypatch)
    assert config == Config()
    assert warnings == []
    assert not set(RENAMED) & set(names)
