"""What `/diagnostics` says of a second."""

from __future__ import annotations

import math

import pytest

pytestmark = pytest.mark.ros
pytest.importorskip("diagnostic_msgs", reason="ROS 2 is not here: `make test` brings it")

import numpy as np  # noqa: E402

from sot_tracker.box import Box  # noqa: E402
from sot_tracker.ros.diagnostics import Health  # noqa: E402
from sot_tracker.stream.follower import Result  # noqa: E402
from sot_tracker.stream.frame import Frame  # noqa: E402
from sot_tracker.tracker import Estimate, State  # noqa: E402

OK, WARN = b"\x00", b"\x01"
FRAME = Frame(0, lambda: np.zeros((2, 2, 3), np.uint8), 12, (640, 480), "bgr8")


def second(
    frames: int, dropped: int, state: State | None = State.TRACKING, refused: int = 0, busy_ms: float = 900.0
) -> tuple[bytes, str]:
    health = Health("x", {"model": "m"})
    estimate = None if state is None else Estimate(Box(0, 0, 1, 1), 1.0, state)
    for _ in range(frames):
        health.accept(FRAME)
        health.add(Result(FRAME, "1", estimate), {"process": 1.0}, busy_ms / frames)
    for _ in range(refused):
        health.refuse("it is damaged")
    status = health.report(dropped, {})[0].status[0]
    return status.level, status.message


@pytest.mark.parametrize(
    ("frames", "dropped", "state", "level", "words"),
    [
        (0, 0, None, WARN, "no frames"),
        (30, 0, None, OK, "no target"),
        (30, 1, State.TRACKING, OK, "tracking"),
        (30, 0, State.LOST, WARN, "target lost"),
        (27, 60, State.TRACKING, WARN, "60 of 87 frames dropped"),
        (27, 60, None, WARN, "60 of 87 frames dropped"),
    ],
)
def test_level_and_message(frames: int, dropped: int, state: State | None, level: bytes, words: str) -> None:
    found, message = second(frames, dropped, state)
    assert (found, words in message) == (level, True), message


@pytest.mark.parametrize(
    ("frames", "refused", "level", "words"),
    [
        (0, 1, WARN, "1 of 1 frames refused: it is damaged"),
        (15, 15, WARN, "15 of 30 frames refused: it is damaged"),
        (29, 2, OK, "tracking"),
        (97, 3, OK, "tracking"),
    ],
)
def test_refused_frames_are_not_called_missing(frames: int, refused: int, level: bytes, words: str) -> None:
    assert second(frames, 0, refused=refused) == (level, words)


def test_refused_frames_count_in_the_input_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("sot_tracker.ros.diagnostics.time.monotonic", lambda: now)
    health = Health("x", {"model": "m"})
    health.accept(FRAME)
    for _ in range(3):
        health.refuse("it is damaged")
    now = 102.0
    values = {item.key: item.value for item in health.report(0, {})[0].status[0].values}
    assert (values["rate Hz"], values["input rate Hz"], values["frames refused"]) == ("0.5", "2.0", "3")


def test_the_stream_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health("x", {"model": "m"})
    assert health.stream_once() == ""
    for _ in range(30):
        health.accept(FRAME)
    health.report(0, {})
    text = health.stream_once()
    assert text.startswith("640x480 bgr8 at ")
    assert math.isfinite(float(text.split()[-2]))
    assert health.stream_once() == ""
