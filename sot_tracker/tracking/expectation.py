"""Where a target is expected in a new frame, before the network searches it.

The trackers as published search a window around the last box. A pan of the camera or a fast target can move the target
out of that window, or to its border, where the Hann window suppresses it. So its position is first predicted from
optical flow on the target, the background's motion and the target's own velocity (`fusion.py`), which takes a
millisecond, and the search is around that position. The prediction moves the search, not the reported box.

All functions are pure. `flow` is None if there is no last frame to compare with: prediction is off, or the caller has
set the box for the next frame (`Tracker.move`). Then the box stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sot_tracker.box import Box
from sot_tracker.tracker import Image
from sot_tracker.tracking import fusion
from sot_tracker.tracking.camera_motion import Velocity
from sot_tracker.tracking.state import TargetState

_PLACE_ALONE = fusion.FlowPolicy(use_scale=False)


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """A target's state with `box` and `suspect` moved into the new frame. moved: how they moved, None if not at all."""

    state: TargetState
    moved: fusion.Moved | None = None


def expect(targets: Sequence[tuple[TargetState, fusion.FlowState | None]], image: Image) -> list[Expectation]:
    """Where the targets are expected in `image`, given each one's state and the `flow` remembered from its last frame.

    Frames must be of one size. A box keeps its size: only the network changes sizes. The position of a lost target
    moves with the background alone. The background's motion is measured once for all targets with the same last frame.
    """
    first = next((flow for _, flow in targets if flow is not None), None)
    if first is None:
        return [Expectation(state) for state, _ in targets]
    together = [_same_frame(first, flow) for _, flow in targets]
    boxes = [state.box for (state, _), is_same in zip(targets, together, strict=True) if is_same]
    behind = fusion.background(first, image, boxes)
    return [
        Expectation(state) if flow is None else _expect(state, flow, image, behind if is_same else None)
        for (state, flow), is_same in zip(targets, together, strict=True)
    ]


def _same_frame(one: fusion.FlowState, other: fusion.FlowState | None) -> bool:
    """Whether both were made from the same frame."""
    if other is None or one.reduced is None or other.reduced is None:
        return other is one
    return one.reduced is other.reduced or np.array_equal(one.reduced.pixels, other.reduced.pixels)


def _expect(state: TargetState, flow: fusion.FlowState, image: Image, behind: fusion.Background | None) -> Expectation:
    moved = fusion.follow(flow, image, state.box, state.lost_frames > 0, _PLACE_ALONE, behind)
    height, width = state.frame_size
    box = Box.from_cxcywh(*moved.box.center, state.box.w, state.box.h)
    if not (box.is_valid and box.overlaps(width, height)):
        box = state.box
    return Expectation(replace(state, box=box, suspect=_carried(state.suspect, moved)), moved)


def remember(expectation: Expectation, image: Image, box: Box) -> fusion.FlowState:
    """The flow state to compare the next frame with, given the final box in this one."""
    if expectation.moved is None:
        return fusion.start(image, box)
    return fusion.settle(expectation.moved, image, box)


def recentered(flow: fusion.FlowState | None) -> fusion.FlowState | None:
    """The flow state after the target was set to another position in its frame: its velocity is forgotten."""
    return None if flow is None else replace(flow, velocity=Velocity())


def _carried(suspect: Box | None, moved: fusion.Moved) -> Box | None:
    """The position of a possible return, moved with the background."""
    if suspect is None or not moved.camera.is_known:
        return suspect
    return Box.from_cxcywh(*moved.camera.moved(*suspect.center), suspect.w, suspect.h)
