"""Every transition of the state, and every reason, as tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sot_tracker.box import Box
from sot_tracker.tracker import HELD, Estimate, Reason, State
from sot_tracker.tracking.states import (
    BY_PROBABILITY,
    FIRST,
    FRAME_S,
    Condition,
    Limits,
    Observation,
    between_searches,
    judge,
)

COAST = 0.5
SCORE = Limits.of_score(0.4)  # 0.6 is sure
TRACKING, UNCERTAIN, LOST = State.TRACKING, State.UNCERTAIN, State.LOST
DOUBTFUL = Condition(UNCERTAIN, Reason.SCORE, missed_s=0.1, doubtful_s=0.1, passed=0)
GONE = Condition(LOST, Reason.OCCLUDED, missed_s=0.6, doubtful_s=0.6, passed=0)


def observed(confidence: float, accepted: bool = True, **more: float) -> Observation:
    return Observation(accepted, confidence, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("last", "seen", "limits", "state"),
    [
        pytest.param(FIRST, observed(0.7), SCORE, TRACKING, id="tracking: sure"),
        pytest.param(FIRST, observed(0.4), SCORE, TRACKING, id="tracking: not in doubt"),
        pytest.param(FIRST, observed(0.3, False), SCORE, UNCERTAIN, id="tracking: not accepted"),
        pytest.param(FIRST, observed(0.9, jump=3.0), SCORE, UNCERTAIN, id="tracking: jumped"),
        pytest.param(FIRST, observed(0.34), BY_PROBABILITY, UNCERTAIN, id="tracking: accepted, but improbable"),
        pytest.param(FIRST, observed(0.36), BY_PROBABILITY, TRACKING, id="tracking: probable enough to stay so"),
        pytest.param(DOUBTFUL, observed(0.6), SCORE, TRACKING, id="uncertain: sure"),
        pytest.param(DOUBTFUL, observed(0.5), SCORE, UNCERTAIN, id="uncertain: the first one that passes"),
        pytest.param(
            replace(DOUBTFUL, passed=1), observed(0.5), SCORE, TRACKING, id="uncertain: the second one that passes"
        ),
        pytest.param(
            replace(DOUBTFUL, passed=9),
            observed(0.64),
            BY_PROBABILITY,
            UNCERTAIN,
            id="uncertain: the number of searches does not count",
        ),
        pytest.param(DOUBTFUL, observed(0.66), BY_PROBABILITY, TRACKING, id="uncertain: probable"),
        pytest.param(DOUBTFUL, observed(0.9, jump=3.0), SCORE, UNCERTAIN, id="uncertain: jumped"),
        pytest.param(DOUBTFUL, observed(0.1, False), SCORE, UNCERTAIN, id="uncertain: missed, but not for long"),
        pytest.param(
            replace(DOUBTFUL, missed_s=0.49), observed(0.1, False), SCORE, LOST, id="uncertain: missed for long"
        ),
        pytest.param(replace(DOUBTFUL, missed_s=0.49), observed(0.5), SCORE, UNCERTAIN, id="uncertain: seen at last"),
        pytest.param(
            replace(DOUBTFUL, doubtful_s=9.0),
            observed(0.2),
            BY_PROBABILITY,
            UNCERTAIN,
            id="uncertain: doubtful for long",
        ),
        pytest.param(GONE, observed(0.1, False), SCORE, LOST, id="lost: not found"),
        pytest.param(GONE, observed(0.5), SCORE, UNCERTAIN, id="lost: found, not sure"),
        pytest.param(GONE, observed(0.7), SCORE, TRACKING, id="lost: found"),
        pytest.param(GONE, observed(0.64), BY_PROBABILITY, UNCERTAIN, id="lost: found, improbable"),
        pytest.param(GONE, observed(0.66), BY_PROBABILITY, TRACKING, id="lost: found, probable"),
        pytest.param(GONE, observed(0.9, jump=3.0), SCORE, UNCERTAIN, id="lost: found far off"),
    ],
)
def test_transitions(last: Condition, seen: Observation, limits: Limits, state: State) -> None:
    assert judge(last, seen, limits, FRAME_S, COAST).state is state


@pytest.mark.parametrize(
    ("seen", "limits", "passed"),
    [
        pytest.param(observed(0.41), BY_PROBABILITY, 6, id="probable"),
        pytest.param(observed(0.35), BY_PROBABILITY, 0, id="enough for TRACKING, not to be learnt from"),
        pytest.param(observed(0.9, jump=3.0), BY_PROBABILITY, 0, id="jumped"),
        pytest.param(observed(0.9, False), BY_PROBABILITY, 0, id="not accepted"),
        pytest.param(observed(0.4), SCORE, 6, id="score: not in doubt"),
        pytest.param(observed(0.39), SCORE, 0, id="score: in doubt"),
    ],
)
def test_searches_that_pass(seen: Observation, limits: Limits, passed: int) -> None:
    assert judge(replace(FIRST, passed=5), seen, limits, FRAME_S, COAST).passed == passed


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (observed(0.9), Reason.NONE),
        (observed(0.3, False), Reason.SCORE),
        (observed(0.1, False), Reason.OCCLUDED),
        (observed(0.1, False, at_edge=True), Reason.EDGE),
        (observed(0.9, jump=3.0, at_edge=True), Reason.JUMP),
        (observed(0.2, rival=0.8), Reason.LOOK_ALIKE),
        (observed(0.2, rival=0.8, at_edge=True), Reason.EDGE),
        (observed(0.2, rival=0.2), Reason.SCORE),
    ],
)
def test_reasons(seen: Observation, reason: Reason) -> None:
    assert judge(FIRST, seen, SCORE, None, COAST).reason is reason


def test_a_missing_target_coasts_and_is_then_lost() -> None:
    condition, reported = FIRST, []
    for _ in range(8):
        condition = judge(condition, observed(0.1, False), SCORE, 0.1, COAST)
        reported.append((condition.state, condition.coasted_out(COAST)))
    assert reported == [(UNCERTAIN, False)] * 5 + [(LOST, True)] * 3


@pytest.mark.parametrize(("dt", "searches"), [(None, 15), (0.05, 10), (0.5, 1)])
def test_coasting_is_measured_in_seconds(dt: float | None, searches: int) -> None:
    condition, count = judge(FIRST, observed(0.1, False), SCORE, dt, COAST), 0
    while condition.state is UNCERTAIN:
        condition, count = judge(condition, observed(0.1, False), SCORE, dt, COAST), count + 1
    assert count == pytest.approx(searches, abs=1)


def test_without_coasting_a_miss_is_lost_at_once() -> None:
    condition = judge(FIRST, observed(0.1, False), SCORE, FRAME_S, 0.0)
    assert (condition.state, condition.coasted_out(0.0)) == (LOST, True)


def test_a_doubtful_return_is_not_reported() -> None:
    condition = judge(GONE, observed(0.5), SCORE, FRAME_S, COAST)
    assert (condition.state, condition.coasted_out(COAST)) == (UNCERTAIN, True)


def test_tracking_forgets_the_doubt() -> None:
    assert judge(replace(DOUBTFUL, doubtful_s=9.0), observed(0.9), SCORE, FRAME_S, COAST) == replace(FIRST, passed=1)


BOX = Box(10, 10, 20, 20)
SEEN = Estimate(BOX, 0.9, TRACKING)
DOUBT = Estimate(BOX, 0.5, UNCERTAIN, reason=Reason.JUMP)


@pytest.mark.parametrize(
    ("estimate", "state", "reason", "is_reported"),
    [
        (SEEN, TRACKING, Reason.NONE, True),
        (replace(SEEN, source="flow", look_age_ms=900.0), TRACKING, Reason.NONE, True),
        (replace(SEEN, source="flow", look_age_ms=2000.0), TRACKING, Reason.NONE, True),
        (replace(SEEN, source="flow", look_age_ms=2001.0), UNCERTAIN, Reason.SCORE, False),
        (replace(SEEN, source="camera", look_age_ms=100.0), UNCERTAIN, Reason.OCCLUDED, True),
        (replace(SEEN, source="camera", look_age_ms=600.0), UNCERTAIN, Reason.OCCLUDED, False),
        (replace(SEEN, source="camera", box=Box(-5, 10, 20, 20)), UNCERTAIN, Reason.EDGE, True),
        (replace(SEEN, source=HELD), UNCERTAIN, Reason.OCCLUDED, False),
        (replace(DOUBT, source="flow", look_age_ms=100.0), UNCERTAIN, Reason.JUMP, True),
        (replace(DOUBT, source="flow", look_age_ms=600.0), UNCERTAIN, Reason.JUMP, False),
        (replace(DOUBT, state=LOST, source="camera"), LOST, Reason.JUMP, False),
    ],
)
def test_between_two_searches(estimate: Estimate, state: State, reason: Reason, is_reported: bool) -> None:
    reported = between_searches(estimate, (100, 200), COAST)
    assert (reported.state, reported.reason, reported.is_reported) == (state, reason, is_reported)
    assert reported.box == estimate.box
