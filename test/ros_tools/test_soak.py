"""The soak: a short one, and that each of its bounds can be broken."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from sot_tracker.ros_tools.soak import CAMERAS, Round, bounds_broken  # noqa: E402
from sot_tracker.ros_tools.soak_camera import APART, CYCLE, HIDDEN, Scene  # noqa: E402


def rounds(count: int = 4 * len(CAMERAS)) -> list[Round]:
    return [Round(i, CAMERAS[i % 3][0], 100, 50, 10, 0.9, 200.0 + i % 3, 17, 23) for i in range(count)]


def test_steady_rounds_break_no_bound() -> None:
    first = dataclasses.replace(rounds()[0], rss_mb=90.0, threads=9)  # while everything starts
    assert bounds_broken([first, *rounds()[1:]]) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rss_mb": 230.0}, "memory: 202.0 MiB in round 5, 230.0 in 11"),
        ({"threads": 18}, "threads: 17 in round 5, 18 in 11"),
        ({"files": 24}, "files: 23 in round 5, 24 in 11"),
        ({"states": 0}, "no state in round 11"),
    ],
)
def test_every_bound_can_be_broken(change: dict[str, float], words: str) -> None:
    found = rounds()
    found[-1] = dataclasses.replace(found[-1], **change)
    assert bounds_broken(found) == [words]
    assert bounds_broken([dataclasses.replace(item, detections=0) for item in rounds()]) == ["no detection at all"]


def test_the_target_moves_hides_and_stays_inside() -> None:
    scene = Scene(320, 240)
    boxes = [scene.box(number) for number in range(2 * CYCLE)]
    assert boxes.count(None) == 2 * HIDDEN
    assert all(box is None or (box.x >= 0 and box.y >= 0 and box.x + box.w <= 320) for box in boxes)
    assert len({box.x for box in boxes if box}) > 50
    assert scene.box(APART + 7) == scene.box(7)
    assert (scene.picture(CYCLE - 1) != scene.picture(0)).any()


@pytest.mark.slow
def test_a_short_soak(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sot_tracker.ros_tools.soak", "--minutes", "0.3", "--period", "4"]
    done = subprocess.run([*command, "--json", str(tmp_path / "f")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "f").read_text())
    assert figures["broken"] == []
    assert len(figures["rounds"]) >= 3
    assert max(item["overlap"] for item in figures["rounds"]) > 0.5
