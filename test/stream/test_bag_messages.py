"""Every state and reason has its number in TrackerState."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("rosbags", reason="serializes")

from sot_tracker.box import Box
from sot_tracker.stream.bag_messages import header, state
from sot_tracker.stream.bag_types import STATE, types
from sot_tracker.tracker import Estimate, Reason, State


@pytest.mark.parametrize(
    ("given", "reason", "numbers"),
    [
        (State.TRACKING, Reason.NONE, (1, 0)),
        (State.LOST, Reason.SCORE, (2, 1)),
        (State.UNCERTAIN, Reason.JUMP, (3, 2)),
        (State.UNCERTAIN, Reason.EDGE, (3, 3)),
        (State.LOST, Reason.OCCLUDED, (2, 4)),
        (State.UNCERTAIN, Reason.LOOK_ALIKE, (3, 5)),
    ],
)
def test_state_and_reason(given: State, reason: Reason, numbers: tuple[int, int]) -> None:
    estimate = Estimate(Box(1, 2, 3, 4), 0.25, given, reason=reason, probability=0.5)
    message = types().deserialize_cdr(state(estimate, header(7, "front"), "a", 5, 3), STATE)
    assert (message.state, message.reason) == numbers
    assert (message.score, message.probability, message.since.nanosec, message.frames_processed) == (0.25, 0.5, 5, 3)
    assert (message.header.frame_id, message.header.stamp.nanosec, message.target_id) == ("front", 7, "a")
    assert math.isnan(message.frame_age_ms)
