"""The state of a target (TRACKING, UNCERTAIN or LOST) and the reason for it, as pure functions.

`judge` decides after every search. A search is one run of the tracker on one frame. From one search to the next:

| from | to | when |
|---|---|---|
| any | TRACKING | the box is accepted, did not jump, and its confidence is at least `sure` |
| any | TRACKING | without a calibration also: at least `doubt` in two such searches in a row |
| TRACKING | TRACKING | the box is accepted, did not jump, and its confidence is at least `doubt` |
| TRACKING | UNCERTAIN | otherwise |
| UNCERTAIN | LOST | no box was accepted for `max_coast` seconds |
| LOST | UNCERTAIN | a box is accepted, but its confidence is below `sure` |

The confidence is the calibrated probability where the model has one (`calibration.py`), else the score. Two different
thresholds for leaving and for entering TRACKING keep the state from flickering. With a calibration, only a
confidence of at least `sure` restores TRACKING: a look-alike can stay in place for longer than two searches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sot_tracker.box import Box
from sot_tracker.tracker import HELD, Estimate, Reason, State

FRAME_S = 1 / 30
"""Seconds from one frame to the next, assumed where the frames have no stamps."""
JUMP = 2.0
"""If a box's centre is farther than this from where it was expected, in sides of the target, the box jumped."""
RIVAL = 0.6
"""A second peak of at least this share of the highest is a look-alike."""
VANISHED = 0.5
"""If no box is accepted, the reason is OCCLUDED for a confidence below this share of `doubt`, and SCORE above it."""
CONFIRMED = 2
"""Number of consecutive searches, accepted, without a jump and not below `doubt`, that restore TRACKING."""
PREDICTED = ("camera", HELD)
"""Sources of a box in a frame where neither the tracker nor optical flow found the target."""

STALE_MS = 2000.0
"""If the last search is older than this, a box that optical flow moved is UNCERTAIN: a tracker that hangs must not keep
a camera turning."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds of the confidence, 0 to 1: below `doubt` TRACKING ends, from `sure` on it begins at once.

    passes: threshold from which on a search counts in `Condition.passed`; at least `doubt`.
    confirms: whether TRACKING also begins after `CONFIRMED` such searches in a row.
    """

    doubt: float
    sure: float
    passes: float
    confirms: bool = True

    @classmethod
    def of_score(cls, threshold: float) -> Limits:
        """Limits for a score below which the target counts as lost; `sure` is a third of the way from there to 1."""
        return cls(threshold, threshold + (1 - threshold) / 3, passes=threshold)


BY_PROBABILITY = Limits(doubt=0.35, sure=0.65, passes=0.4, confirms=False)
"""Chosen on training-side clips (docs/experiments.md): with lower `doubt` and `sure` more right boxes are TRACKING, but
also more wrong ones. `passes` decides on which boxes a second opinion is trained, so it was not lowered with them."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the state is decided from: the box of one search.

    accepted: whether the box moved the search window. confidence: 0 to 1. jump: distance of the box's centre from where
    it was expected, in sides of the target (square root of the area). at_edge: whether the target touches the edge of
    the frame. rival: second peak of the network's map as a share of the highest; 0 where unknown.
    """

    accepted: bool
    confidence: float
    jump: float = 0.0
    at_edge: bool = False
    rival: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """A target's state after a search, and what the next decision needs.

    missed_s: seconds since a box was accepted. doubtful_s: seconds since TRACKING ended. passed: number of consecutive
    searches whose box was accepted, did not jump and had a confidence of at least `Limits.passes`.
    """

    state: State = State.TRACKING
    reason: Reason = Reason.NONE
    missed_s: float = 0.0
    doubtful_s: float = 0.0
    passed: int = CONFIRMED

    def coasted_out(self, max_coast: float) -> bool:
        """Whether TRACKING ended too long ago for a box to be reported."""
        return self.state is not State.TRACKING and self.doubtful_s > max_coast


FIRST = Condition()


def judge(last: Condition, seen: Observation, limits: Limits, dt: float | None, max_coast: float) -> Condition:
    """The condition after a search. dt: seconds since the last search, None where unknown. max_coast: seconds."""
    dt = FRAME_S if dt is None else dt
    holds = seen.accepted and seen.jump <= JUMP and seen.confidence >= limits.doubt
    passed = last.passed + 1 if holds and seen.confidence >= limits.passes else 0
    confirmed = last.state is State.TRACKING or (limits.confirms and passed >= CONFIRMED)
    if holds and (confirmed or seen.confidence >= limits.sure):
        return replace(FIRST, passed=passed)
    missed_s = 0.0 if seen.accepted else last.missed_s + dt
    is_lost = not seen.accepted and (last.state is State.LOST or missed_s > max_coast)
    state = State.LOST if is_lost else State.UNCERTAIN
    return Condition(state, reason_of(seen, limits), missed_s, last.doubtful_s + dt, passed)


def reason_of(seen: Observation, limits: Limits) -> Reason:
    """Why the state is not TRACKING after that search: the first reason that holds."""
    if seen.accepted and seen.jump > JUMP:
        return Reason.JUMP
    if seen.at_edge:
        return Reason.EDGE
    if seen.accepted and seen.rival >= RIVAL:
        return Reason.LOOK_ALIKE
    if not seen.accepted and seen.confidence < VANISHED * limits.doubt:
        return Reason.OCCLUDED
    return Reason.SCORE


def between_searches(estimate: Estimate, frame_size: tuple[int, int], max_coast: float) -> Estimate:
    """The estimate for a frame that was not searched, or not yet; `estimate` has the state of the last search.

    A box that was moved by optical flow keeps that state, for two seconds. A box that was moved by the camera's motion
    and the target's velocity alone, or not at all, is a prediction. If the box is a prediction or the last search is
    too old, TRACKING becomes UNCERTAIN.
    """
    too_old = estimate.look_age_ms > 1e3 * max_coast
    if estimate.state is State.TRACKING and estimate.source in PREDICTED:
        reason = Reason.EDGE if touches_edge(estimate.box, frame_size) else Reason.OCCLUDED
        return replace(estimate, state=State.UNCERTAIN, reason=reason, coasted_out=too_old)
    if estimate.state is State.TRACKING and estimate.look_age_ms > STALE_MS:
        return replace(estimate, state=State.UNCERTAIN, reason=Reason.SCORE, coasted_out=too_old)
    return replace(estimate, coasted_out=True) if estimate.state is State.UNCERTAIN and too_old else estimate


def touches_edge(box: Box, frame_size: tuple[int, int], margin: float = 1.0) -> bool:
    """Whether the box comes within `margin` pixels of the edge of a frame of that size (height, width)."""
    height, width = frame_size
    x1, y1, x2, y2 = box.xyxy
    return x1 <= margin or y1 <= margin or x2 >= width - margin or y2 >= height - margin
