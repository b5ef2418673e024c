"""One step of the online loop as pure functions: `search_window` before the network runs, `step` after it.

The rules are the published ones (fact sheets: FERMT section 6, HiT 7, SMAT and MVT 3, HCAT 7) with two additions: a box
whose score is below the policy's `lost_threshold` does not move the search window, and the target is then searched for
around its last position too (`reacquire.py`); and box sizes are corrected towards that of the initial box and smoothed
(`box_size.py`). The default `Policy` gives the published loop.

A motion of the camera or of the target that is known from elsewhere moves `TargetState.box` before `search_window`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from sot_tracker.box import Box
from sot_tracker.calibration import Calibration
from sot_tracker.tracker import Estimate, Policy
from sot_tracker.tracking import box_size, confidence, reacquire, states
from sot_tracker.tracking.state import Measurement, SearchWindow, TargetState

MIN_SIDE = 10.0
"""Pixels: the published clips' margin, and the shortest side a box can have after the first frame."""
SURE = 1 / 3
"""A box is sure if its score is at least this share of the way from the threshold to 1."""

Clip = Callable[[Box, tuple[int, int]], Box]
"""Box and frame size (height, width) -> the box limited to the frame."""


def clip_box(box: Box, frame_size: tuple[int, int]) -> Box:
    """The box cut to the frame (FERMT, HiT, SMAT, MVT); see `Box.clipped`."""
    height, width = frame_size
    return box.clipped(width, height, MIN_SIDE)


def clip_center(box: Box, frame_size: tuple[int, int]) -> Box:
    """The box with its centre moved into the frame, and no larger than the frame; it may extend beyond it (HCAT)."""
    height, width = frame_size
    cx, cy = min(max(box.center[0], 0.0), width), min(max(box.center[1], 0.0), height)
    # As published: first the upper bound, then the minimum.
    return Box.from_cxcywh(cx, cy, max(MIN_SIDE, min(box.w, width)), max(MIN_SIDE, min(box.h, height)))


def start(box: Box, frame_size: tuple[int, int]) -> TargetState:
    """The state of a target that was given as `box` in a frame of that size (height, width)."""
    return TargetState(box, frame_size, sure_box=box)


def calibrated(state: TargetState, measurement: Measurement) -> TargetState:
    """The state with the size bias measured by a search in the initial frame, if that search finds the target."""
    if measurement.box is None:
        return state
    return replace(state, size_bias=box_size.bias(measurement.box, state.box))


def recentered(state: TargetState, box: Box) -> TargetState:
    """The state of the same target, known to be at `box` now."""
    return replace(state, box=box, sure_box=box, lost_frames=0, lost_seconds=0.0, suspect=None, condition=states.FIRST)


def search_window(state: TargetState, policy: Policy) -> SearchWindow:
    """Where to search in the next frame."""
    if state.suspect is not None:
        return SearchWindow(state.suspect)
    if policy.lost_threshold > 0:
        elsewhere = reacquire.position(state.lost_frames, state.box, state.frame_size, policy.reacquire_positions)
        if elsewhere is not None:
            return SearchWindow(elsewhere, is_elsewhere=True)
    return SearchWindow(state.box)


def step(
    state: TargetState,
    measurement: Measurement,
    dt: float | None,
    policy: Policy,
    clip: Clip = clip_box,
    calibration: Calibration | None = None,
) -> tuple[TargetState, Estimate]:
    """State and estimate (without times) after a frame in which `search_window` was searched.

    dt: seconds since the frame before, None where unknown. policy: its threshold must not be negative. clip: the
    network's rule for boxes at the border. calibration: of the network; it affects the reported state, not the search.
    """
    box = state.box if measurement.box is None else clip(_sized(measurement.box, state, policy), state.frame_size)
    found = measurement.box is not None and measurement.score >= policy.lost_threshold
    accepted = found and not measurement.window.is_elsewhere
    features = confidence.features_of(measurement, box, state.lost_frames, state.features)
    probability = math.nan
    if calibration is not None:
        probability = calibration.probability(features) if measurement.box is not None else 0.0
    condition = _judged(state, measurement, box, accepted, probability, dt, policy)
    after = _tracking(state, box, measurement.score, policy) if accepted else _lost(state, box if found else None, dt)
    estimate = Estimate(
        box,
        measurement.score,
        condition.state,
        reason=condition.reason,
        probability=probability,
        accepted=accepted,
        coasted_out=condition.coasted_out(policy.max_coast),
    )
    return replace(after, condition=condition, features=features), estimate


def _judged(
    state: TargetState,
    measurement: Measurement,
    box: Box,
    accepted: bool,
    probability: float,
    dt: float | None,
    policy: Policy,
) -> states.Condition:
    """The condition after this search, decided by the box's probability, or by its score where that is NaN."""
    expected, by_score = measurement.window.box, math.isnan(probability)
    distance = math.dist(box.center, expected.center) / math.sqrt(max(expected.area, 1.0))
    seen = states.Observation(
        accepted=accepted,
        confidence=measurement.score if by_score else probability,
        jump=0.0 if state.lost_frames else distance,
        at_edge=states.touches_edge(box, state.frame_size),
        rival=measurement.evidence.rival,
    )
    limits = states.Limits.of_score(policy.lost_threshold) if by_score else states.BY_PROBABILITY
    return states.judge(state.condition, seen, limits, dt, policy.max_coast)


def is_sure(score: float, policy: Policy) -> bool:
    """Whether a score is high enough to learn from the box: its size, its colours."""
    return score >= policy.lost_threshold + SURE * (1 - policy.lost_threshold)


def _tracking(state: TargetState, box: Box, score: float, policy: Policy) -> TargetState:
    sure_box = box if is_sure(score, policy) else state.sure_box
    return replace(state, box=box, sure_box=sure_box, lost_frames=0, lost_seconds=0.0, suspect=None)


def _lost(state: TargetState, suspect: Box | None, dt: float | None) -> TargetState:
    frames, box = state.lost_frames + 1, state.box
    if frames == reacquire.PATIENCE:  # boxes often grow or shrink before a loss: use the size of the last sure one
        box = Box.from_cxcywh(*box.center, state.sure_box.w, state.sure_box.h)
    seconds = state.lost_seconds + (dt or 0.0)
    return replace(state, box=box, lost_frames=frames, lost_seconds=seconds, suspect=suspect)


def _sized(box: Box, state: TargetState, policy: Policy) -> Box:
    """The box with its size corrected and smoothed. After a loss it is not smoothed, since the last size is old."""
    if policy.init_size_correction > 0:
        box = box_size.corrected(box, state.size_bias, policy.init_size_correction)
    if policy.size_smoothing < 1 and not state.lost_frames:
        box = box_size.smoothed(box, state.box, policy.size_smoothing)
    return box
