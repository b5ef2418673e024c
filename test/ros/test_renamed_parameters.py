"""Parameters of the node under the names that they had before (`config.RENAMED`)."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy")

from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.parameter import Parameter

from sot_tracker.config import DEFAULTS, RENAMED

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
VALUES = {"lost_windows": 3, "size_fit": 0.5, "size_rate": 0.9}


def started(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[str]]:
    """Name -> value of the parameters of a node that was given some, and its warnings."""
    from sot_tracker.ros.node import TrackerNode

    warnings: list[str] = []
    monkeypatch.setattr(RcutilsLogger, "warning", lambda self, text, **_: warnings.append(text))
    node = TrackerNode(parameter_overrides=[Parameter(name, value=value) for name, value in given.items()])
    try:
        names = [name for name in (*RENAMED, *RENAMED.values()) if node.has_parameter(name)]
        return {name: node.get_parameter(name).value for name in names}, warnings
    finally:
        node.destroy_node()


@pytest.mark.parametrize(("old", "value"), VALUES.items())
def test_an_old_name_is_accepted_with_one_warning(old: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values, warnings = started({old: value}, monkeypatch)
    assert values[RENAMED[old]] == value
    assert warnings == [f"option {old} has a new name: use {RENAMED[old]}"]
    assert set(RENAMED) & set(values) == {old}


def test_an_old_name_wins_over_the_default_that_the_launch_file_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    values, warnings = started({"size_fit": 0.5, "init_size_correction": 0.7}, monkeypatch)
    assert values["init_size_correction"] == 0.5
    assert len(warnings) == 1


def test_without_old_names_there_is_neither_a_warning_nor_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    values, warnings = started({}, monkeypatch)
    assert values == {name: DEFAULTS[name] for name in RENAMED.values()}
    assert warnings == []
