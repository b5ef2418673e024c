"""Whether a box is to be believed: TRACKING, UNCERTAIN or LOST, with a reason, as pure functions.

Every look of a tracker at a frame goes through `judge`. From one look to the next:

| from | to | when |
|---|---|---|
| any | TRACKING | the box is accepted, did not jump, and its confidence is at least `sure` |
| any | TRACKING | without a calibration also: at least `doubt` in two such looks in a row |
| TRACKING | TRACKING | the box is accepted, did not jump, and its confidence is at least `doubt` |
| TRACKING | UNCERTAIN | otherwise |
| UNCERTAIN | LOST | no box was accepted for `max_coast` seconds |
| LOST | UNCERTAIN | a box is accepted, but its confidence is not sure |

The confidence is the calibrated probability where the model has one (`calibration.py`), else the score. Two different
thresholds for leaving and for entering TRACKING keep the state from flickering. With a calibration, only a
confidence of at least `sure` restores TRACKING: a look-alike can stay in place for longer than two looks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sot_tracker.box import Box
from sot_tracker.tracker import HELD, Estimate, Reason, State

FRAME_S = 1 / 30
"""Seconds from one frame to the next where no stamps say."""
JUMP = 2.0
"""A centre further than this from where it was expected, in sides of the target, is a jump."""
RIVAL = 0.6
"""A second peak of at least this share of the highest is a look-alike."""
VANISHED = 0.5
"""With no accepted box, a confidence below this share of `doubt` means occluded, above it a low score."""
CONFIRMED = 2
"""Accepted looks in a row, without a jump and not below `doubt`, that restore TRACKING."""
PREDICTED = ("camera", HELD)
"""Sources of a box in a frame where neither the tracker nor optical flow saw the target."""

STALE_MS = 2000.0
"""Age of the tracker's last look from which on a box that optical flow moved is not believed any more: a tracker that
hangs must not keep a camera turning."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Confidences, 0 to 1: below `doubt` TRACKING ends, from `sure` on it begins at once.

    passes: from which on a look counts as `passed`; at least `doubt`.
    confirms: whether TRACKING also begins after `CONFIRMED` such looks in a row.
    """

    doubt: float
    sure: float
    passes: float
    confirms: bool = True

    @classmethod
    def of_score(cls, threshold: float) -> Limits:
        """For a score below which the target counts as lost; a third of the way to 1 is sure."""
        return cls(threshold, threshold + (1 - threshold) / 3, passes=threshold)


BY_PROBABILITY = Limits(doubt=0.35, sure=0.65, passes=0.4, confirms=False)
"""Chosen on training-side clips (docs/experiments.md): lower `doubt` and `sure` believe more right boxes, and more
wrong ones. `passes` decides what a second opinion learns, and so what the boxes are: it does not go down with them."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a frame says of its box.

    accepted: whether the box moved the search window. confidence: 0 to 1. jump: way of its centre from where it was
    expected, in sides of the target (square root of the area). at_edge: whether the target touches the edge of the
    frame. rival: second peak of the network's map as a share of the highest; 0 where unknown.
    """

    accepted: bool
    confidence: float
    jump: float = 0.0
    at_edge: bool = False
    rival: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """What is remembered from look to look.

    missed_s: seconds since a box was accepted. doubtful_s: seconds since TRACKING ended. passed: looks in a row that
    were accepted, did not jump and had a confidence of at least `Limits.passes`.
    """

    state: State = State.TRACKING
    reason: Reason = Reason.NONE
    missed_s: float = 0.0
    doubtful_s: float = 0.0
    passed: int = CONFIRMED

    def coasted_out(self, max_coast: float) -> bool:
        """Whether it is too long since TRACKING for a box to be reported."""
        return self.state is not State.TRACKING and self.doubtful_s > max_coast


FIRST = Condition()


def judge(last: Condition, look: Look, limits: Limits, dt: float | None, max_coast: float) -> Condition:
    """The condition after a look. dt: seconds since the last look, None where unknown. max_coast: seconds."""
    dt = FRAME_S if dt is None else dt
    holds = look.accepted and look.jump <= JUMP and look.confidence >= limits.doubt
    passed = last.passed + 1 if holds and look.confidence >= limits.passes else 0
    confirmed = last.state is State.TRACKING or (limits.confirms and passed >= CONFIRMED)
    if holds and (confirmed or look.confidence >= limits.sure):
        return replace(FIRST, passed=passed)
    missed_s = 0.0 if look.accepted else last.missed_s + dt
    is_lost = not look.accepted and (last.state is State.LOST or missed_s > max_coast)
    state = State.LOST if is_lost else State.UNCERTAIN
    return Condition(state, reason_of(look, limits), missed_s, last.doubtful_s + dt, passed)


def reason_of(look: Look, limits: Limits) -> Reason:
    """Why that look does not make TRACKING: the first that holds."""
    if look.accepted and look.jump > JUMP:
        return Reason.JUMP
    if look.at_edge:
        return Reason.EDGE
    if look.accepted and look.rival >= RIVAL:
        return Reason.LOOK_ALIKE
    if not look.accepted and look.confidence < VANISHED * limits.doubt:
        return Reason.OCCLUDED
    return Reason.SCORE


def between_looks(estimate: Estimate, frame_size: tuple[int, int], max_coast: float) -> Estimate:
    """What to say in a frame at which the tracker did not look, or not yet; `estimate` has the state of its last look.

    A box that optical flow carried is as good as that look, for two seconds. One that was moved by the camera's motion
    and the target's velocity alone, or not at all, is predicted. If the box is predicted or the look too old, TRACKING
    becomes UNCERTAIN.
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
