"""The closed loop without ROS: a minute of flight, many times faster than it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.follow.config import FollowConfig
from sot_tracker.follow.control import Mode
from sot_tracker.follow.flight import Moment, fly, summarize
from sot_tracker.synth import procedural_pictures
from sot_tracker.synth.flight_range import FlightRange
from sot_tracker.tracker import Estimate, Policy, State, TrackerInfo

FPS = 15.0


class Onlooker:
    """Knows the truth, as a good tracker would: a little noise, LOST while hidden, and a box of the past with that."""

    info = TrackerInfo("onlooker", "none", "", "cpu", "a stand-in")

    def __init__(self, scene: FlightRange) -> None:
        self.policy = Policy()
        self._scene, self._rng = scene, np.random.default_rng(0)
        self._last = Box(0, 0, 1, 1)

    def init(self, image: Any, box: Any, stamp_ns: int | None = None) -> Estimate:
        self._last = box
        return Estimate(box, 1.0, State.TRACKING)

    def update(self, image: Any, stamp_ns: int | None = None) -> Estimate:
        assert self._scene.latest is not None
        truth = self._scene.latest.box
        if truth is None:
            return Estimate(self._last, 0.1, State.LOST)
        dx, dy = self._rng.normal(0, 0.05, 2)
        self._last = Box(truth.x + dx * truth.w, truth.y + dy * truth.h, truth.w, truth.h)
        return Estimate(self._last, 0.9, State.TRACKING)


def flight(seed: int, seconds: float = 60.0, **changes: Any) -> list[Moment]:
    scene = FlightRange(160, 120, seed=seed, lookalikes=1, occluders=2, pictures=procedural_pictures(seed))
    return list(fly(scene, Onlooker(scene), FollowConfig(**changes), seconds=seconds, fps=FPS, latency=0.05))


@pytest.fixture(scope="module")
def minute() -> list[Moment]:
    return flight(4)


def test_the_target_stays_in_the_middle_for_a_minute(minute: list[Moment]) -> None:
    figures = summarize(minute)
    assert figures["seconds"] > 59.9
    assert figures["in the middle third"] > 0.9, figures
    assert figures["tracking something else"] == 0
    yaws = [moment.frame.yaw for moment in minute]
    assert max(yaws) - min(yaws) > 0.5, "a target that stands still would prove nothing"


def test_the_loss_of_the_target_is_a_zero_command_within_200_ms(minute: list[Moment]) -> None:
    lost = [index for index, moment in enumerate(minute) if moment.estimate.state is State.LOST]
    assert len(lost) >= 5, "a pillar hides it"
    within = round(0.2 * FPS)
    for index in lost:
        assert any(moment.command.is_zero for moment in minute[index : index + within])
        assert minute[index].command.is_zero
        assert minute[index].mode is Mode.STOP


def test_after_a_loss_it_is_found_and_followed_again(minute: list[Moment]) -> None:
    last = max(index for index, moment in enumerate(minute[: -round(5 * FPS)]) if moment.estimate.state is State.LOST)
    assert any(not moment.command.is_zero for moment in minute[last : last + round(2 * FPS)])


def test_without_control_the_target_leaves_the_middle() -> None:
    assert summarize(flight(4, 20.0, max_yaw_rate=0.0, max_pitch_rate=0.0))["in the middle third"] < 0.6


@pytest.mark.slow
def test_a_minute_with_the_real_network() -> None:
    import sot_tracker

    scene = FlightRange(320, 240, seed=2)
    figures = summarize(list(fly(scene, sot_tracker.load("lite"), FollowConfig(), seconds=60.0, fps=15.0)))
    assert figures["in the middle third"] > 0.9, figures
