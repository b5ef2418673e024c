"""The online loop's rules as functions: no network, no picture."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sot_tracker.box import Box
from sot_tracker.tracker import Policy
from sot_tracker.tracking import reacquire, step
from sot_tracker.tracking.state import Measurement, SearchWindow, TargetState

FRAME = (240, 320)
START = Box(100, 80, 40, 40)
FOUND = Box(110, 82, 44, 40)
HALF = Policy(lost_threshold=0.5, reacquire_positions=8)
FIRST = step.start(START, FRAME)
LOST = replace(FIRST, lost_frames=reacquire.PATIENCE)
SUSPECT = replace(LOST, suspect=FOUND)


HERE = SearchWindow(START)


def seen(score: float, box: Box | None = FOUND, window: SearchWindow = HERE) -> Measurement:
    return Measurement(window, box, score)


@pytest.mark.parametrize(
    ("state", "policy", "window"),
    [
        pytest.param(FIRST, HALF, SearchWindow(START), id="tracking: the last box"),
        pytest.param(replace(FIRST, lost_frames=1), HALF, SearchWindow(START), id="just lost: the last box"),
        pytest.param(LOST, HALF, SearchWindow(Box(100, 80 - 120, 40, 40), True), id="lost for longer: elsewhere"),
        pytest.param(replace(LOST, lost_frames=4), HALF, SearchWindow(START), id="every second frame: the last box"),
        pytest.param(SUSPECT, HALF, SearchWindow(FOUND), id="a possible return: there"),
        pytest.param(LOST, Policy(reacquire_positions=8), SearchWindow(START), id="no threshold: the last box"),
        pytest.param(LOST, Policy(lost_threshold=0.5), SearchWindow(START), id="no positions: the last box"),
    ],
)
def test_search_window(state: TargetState, policy: Policy, window: SearchWindow) -> None:
    found = step.search_window(state, policy)
    if window.is_elsewhere:  # which of the nearest positions comes first is told by test_reacquire
        assert found.is_elsewhere
        assert math.dist(found.box.center, START.center) == pytest.approx(3 * 40)
    else:
        assert found == window


ELSEWHERE = SearchWindow(Box(220, 80, 40, 40), is_elsewhere=True)
ACCEPTED = TargetState(FOUND, FRAME, sure_box=FOUND)


@pytest.mark.parametrize(
    ("state", "measurement", "accepted", "after"),
    [
        pytest.param(FIRST, seen(0.9), True, ACCEPTED, id="found"),
        pytest.param(FIRST, seen(0.5), True, replace(ACCEPTED, sure_box=START), id="found, not sure"),
        pytest.param(FIRST, seen(0.49), False, replace(FIRST, lost_frames=1), id="score below the threshold"),
        pytest.param(FIRST, seen(0.9, None), False, replace(FIRST, lost_frames=1), id="maps not finite"),
        pytest.param(LOST, seen(0.9), True, ACCEPTED, id="found again on the spot"),
        pytest.param(
            LOST,
            seen(0.9, window=ELSEWHERE),
            False,
            replace(LOST, lost_frames=4, suspect=FOUND),
            id="found elsewhere: to be confirmed",
        ),
        pytest.param(LOST, seen(0.4, window=ELSEWHERE), False, replace(LOST, lost_frames=4), id="not found elsewhere"),
        pytest.param(SUSPECT, seen(0.6, FOUND, SearchWindow(FOUND)), True, None, id="confirmed"),
        pytest.param(SUSPECT, seen(0.4), False, replace(LOST, lost_frames=4), id="not confirmed"),
        pytest.param(SUSPECT, seen(0.9, None), False, replace(LOST, lost_frames=4), id="maps of a return not finite"),
    ],
)
def test_transitions(state: TargetState, measurement: Measurement, accepted: bool, after: TargetState | None) -> None:
    found, estimate = step.step(state, measurement, None, HALF)
    assert estimate.accepted is accepted
    assert estimate.box == (measurement.box or state.box)
    assert estimate.score == measurement.score
    assert replace(found, condition=FIRST.condition, features={}) == (after or replace(ACCEPTED, sure_box=START))


def test_a_threshold_of_zero_loses_only_what_is_not_finite() -> None:
    assert step.step(FIRST, seen(0.0), None, Policy())[1].accepted
    assert not step.step(FIRST, seen(0.0, None), None, Policy())[1].accepted


def test_a_lost_target_has_the_size_of_the_last_sure_box() -> None:
    state = replace(FIRST, box=Box(90, 70, 80, 80), sure_box=Box(0, 0, 40, 48))
    for _ in range(reacquire.PATIENCE - 1):
        state, _ = step.step(state, seen(0.1), None, HALF)
        assert state.box == Box(90, 70, 80, 80)
    state, _ = step.step(state, seen(0.1), None, HALF)
    assert state.box == Box.from_cxcywh(130, 110, 40, 48)


@pytest.mark.parametrize(
    ("state", "policy", "size"),
    [
        (FIRST, Policy(), (44, 40)),
        (FIRST, Policy(size_smoothing=0.3), (40 * 1.1**0.3, 40)),
        (replace(FIRST, lost_frames=1), Policy(size_smoothing=0.3), (44, 40)),
        (replace(FIRST, size_bias=(math.log(1.1), 0.0)), Policy(init_size_correction=1.0), (40, 40)),
        (replace(FIRST, size_bias=(math.log(1.21), 0.0)), Policy(init_size_correction=0.5), (40, 40)),
    ],
    ids=["as found", "smoothed", "not smoothed after a loss", "corrected", "half corrected"],
)
def test_sizes(state: TargetState, policy: Policy, size: tuple[float, float]) -> None:
    _, estimate = step.step(state, seen(0.9), None, policy)
    assert (estimate.box.w, estimate.box.h) == pytest.approx(size)
    assert estimate.box.center == pytest.approx(FOUND.center)


def test_calibration_reads_the_bias_of_the_initial_frame() -> None:
    found = Box.from_cxcywh(*START.center, 60, 40)
    assert step.calibrated(FIRST, seen(0.9, found)).size_bias == pytest.approx((math.log(1.5), 0))
    assert step.calibrated(FIRST, seen(0.9, None)) == FIRST


def test_seconds_without_the_target_are_counted_as_far_as_they_are_known() -> None:
    state = FIRST
    for dt in (0.5, None, 0.25):
        state, _ = step.step(state, seen(0.1), dt, HALF)
    assert (state.lost_frames, state.lost_seconds) == (3, 0.75)
    assert step.step(state, seen(0.9), 0.5, HALF)[0].lost_seconds == 0


def test_recentering_ends_a_loss() -> None:
    moved = step.recentered(replace(SUSPECT, lost_seconds=1.0, size_bias=(0.1, 0.2)), FOUND)
    assert moved == replace(ACCEPTED, size_bias=(0.1, 0.2))


@pytest.mark.parametrize(
    ("clip", "box", "expected"),
    [
        (step.clip_box, Box(-50, 80, 52, 4), Box(0, 80, 10, 10)),
        (step.clip_box, Box(-40, 80, 60, 30), Box(0, 80, 20, 30)),
        (step.clip_center, Box(-40, 80, 60, 30), Box(-30, 80, 60, 30)),
        (step.clip_center, Box(0, 0, 900, 4), Box(160, -3, 320, 10)),
    ],
)
def test_clips(clip: step.Clip, box: Box, expected: Box) -> None:
    assert clip(box, FRAME).xywh == pytest.approx(expected.xywh)
