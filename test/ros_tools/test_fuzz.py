"""The random feeder and the rules by which it judges a node."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace as Message
from typing import Any

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures("ros_domain")]
pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")

from sensor_msgs.msg import CompressedImage, Image  # noqa: E402

from sot_tracker.ros_tools.fuzz_frames import FrameMaker  # noqa: E402
from sot_tracker.ros_tools.resources import Watch, resources_of  # noqa: E402


def header(frame_id: str, sec: int = 1) -> Any:
    return Message(frame_id=frame_id, stamp=Message(sec=sec, nanosec=5))


def state(frame_id: str, score: float = 0.5, sec: int = 1, stage: float = 1.0) -> Any:
    return Message(header=header(frame_id, sec), score=score, state=1, LOST=2, stage_ms=[stage])


def detection(frame_id: str, x: float = 1.0, width: float = 5.0) -> Any:
    box = Message(center=Message(position=Message(x=x, y=2.0)), size_x=width, size_y=5.0)
    return Message(header=header(frame_id), bbox=box, results=[Message(hypothesis=Message(score=1.0))])


def test_sound_messages_break_no_rule() -> None:
    watch = Watch(stamps={7: (1, 5)})
    assert watch.see_state(state("7")) == 7
    assert watch.see_detection(detection("7")) == 7
    assert watch.see_state(state("7")) == 7, "a new target may be found in the newest frame once more"
    assert (watch.broken, watch.states, watch.detections) == (0, 2, 1)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (state("6"), "state of frame 6 after that of frame 7"),
        (state("eye"), "frame_id 'eye', which no frame had"),
        (state("8", sec=2), r"state of frame 8 has stamp \(2, 5\), sent was \(1, 5\)"),
        (state("8", score=float("nan")), "state with score nan"),
        (state("8", score=1.5), "state with score 1.5"),
        (state("8", stage=float("inf")), "stage times"),
        (detection("6"), "detection of frame 6 after that of frame 7"),
        (detection("8", x=float("nan")), "detection with numbers"),
        (detection("8", width=0.0), "detection with numbers"),
    ],
)
def test_every_rule_can_be_broken(broken: Any, words: str) -> None:
    watch = Watch(stamps={8: (1, 5)})
    watch.see_state(state("7"))
    watch.see_detection(detection("7"))
    (watch.see_detection if hasattr(broken, "bbox") else watch.see_state)(broken)
    assert watch.broken == 1
    assert re.search(words, watch.faults[0])


def test_own_resources() -> None:
    with Path(os.devnull).open():
        own = resources_of()
    assert own.rss_mb > 5
    assert own.threads >= 1
    assert own.files >= 4
    assert resources_of().files == own.files - 1


def test_frames_are_the_same_for_one_seed_and_of_all_kinds() -> None:
    first, second = ([maker.message() for _ in range(300)] for maker in (FrameMaker(random.Random(3)) for _ in "ab"))
    assert first == second
    maker = FrameMaker(random.Random(0))
    kinds = {maker.choose_type() for _ in range(20)}
    assert kinds == {Image, CompressedImage}
    assert len({message.encoding for message in first}) > 20
    assert {message.width for message in first} >= {0, 160}


def test_a_short_run() -> None:
    """The node and all that is sent to it, in a process of its own, which a death would end."""
    command = [sys.executable, "-m", "sot_tracker.ros_tools.fuzz", "--messages", "600", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert (figures["messages"], figures["deaths"], figures["rules broken"]) == (600, 0, 0)
    assert figures["frames processed"] > 20
    assert figures["frames refused"] > 20
