"""How the answers of optical flow and of the network are put together.

Flow says in every frame, for a millisecond or two, where the box went; the network says, more seldom or later, where
the target is. So flow carries the box between two looks of the network, puts the network's search window where the
target moved to, steadies the network's centre, and carries an answer that comes late to the newest frame. Where both
differ the network's box replaces flow's: flow drifts, and follows whatever covers the target.

    flow = start(image, box)
    per frame: moved = follow(flow, image, box, lost)
               box = blended(the network's around moved.box, moved), where it looks; else moved.box
               flow = settle(moved, image, box)

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.tracking.camera_motion import (
    STILL,
    CameraMotion,
    ReducedFrame,
    Velocity,
    estimate_camera,
    predicted,
    reduced_frame,
    updated_velocity,
)
from sot_tracker.tracking.flow import UNKNOWN, GreyWindow, Motion, apply, grey_window, propagate

Image = npt.NDArray[np.uint8]


BLEND = 0.5
"""Most of the way from the network's centre to flow's."""
SAME = 0.5
"""Overlap above which network and flow mean the same thing."""


class Source(Enum):
    """What moved a box into a frame without the network."""

    FLOW = "flow"
    CAMERA = "camera"  # the background's motion and the target's own velocity
    HELD = "held"  # nothing: the box is where it was


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """When which motion counts.

    least_kept: share of the points that must come back for flow to move the box, 0 to 1.
    use_camera: measure the camera's motion, for where to look next and for boxes that flow cannot follow.
    use_velocity: expect the target to go on as it did, relative to the background.
    use_scale: let flow change the box's size too.
    """

    least_kept: float = 0.3
    use_camera: bool = True
    use_velocity: bool = True
    use_scale: bool = True


DEFAULT = FlowPolicy()


@dataclass(frozen=True, slots=True, eq=False)
class FlowState:
    """What is remembered of the last frame: its grey square around the box, its small copy, the target's velocity."""

    window: GreyWindow
    reduced: ReducedFrame | None
    velocity: Velocity = field(default_factory=Velocity)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What all targets of a frame share. reduced: its small copy. camera: how the background moved into it."""

    reduced: ReducedFrame | None
    camera: CameraMotion


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Where a box went in one frame, before the network looked.

    last, box: in the last frame and in this one. motion: flow's, `UNKNOWN` where it was not asked. camera: the
    background's. source: what moved the box. window, reduced: of this frame. velocity: as it was.
    """

    last: Box
    box: Box
    motion: Motion
    camera: CameraMotion
    source: Source
    window: GreyWindow
    reduced: ReducedFrame | None
    velocity: Velocity


def start(image: Image, box: Box, policy: FlowPolicy = DEFAULT) -> FlowState:
    """On a new target."""
    return FlowState(grey_window(image, box), reduced_frame(image) if policy.use_camera else None)


def background(state: FlowState, image: Image, boxes: Sequence[Box], policy: FlowPolicy = DEFAULT) -> Background:
    """The background of the last frame, all that is not in `boxes`, in this one. Frames must be of one size."""
    reduced = reduced_frame(image) if policy.use_camera else None
    if state.reduced is None or reduced is None:
        return Background(reduced, STILL)
    return Background(reduced, estimate_camera(state.reduced, reduced, boxes))


def follow(
    state: FlowState,
    image: Image,
    box: Box,
    lost: bool = False,
    policy: FlowPolicy = DEFAULT,
    behind: Background | None = None,
) -> Moved:
    """The box of the last frame in this one. Frames must be of one size.

    lost: the target is not where the box is: then what is there is not followed, and the box, as the place to search
        around, goes with the background alone. A box at the border of the frame stays: a target that left is looked
        for where it went out.
    behind: the background's motion, where it is known already, as for several targets in one frame.
    """
    behind = behind or background(state, image, [box], policy)
    reduced, camera = behind.reduced, behind.camera
    velocity = state.velocity if policy.use_velocity and not lost else Velocity()
    expected = predicted(box, velocity, camera)
    if not lost:
        shift = expected.center[0] - box.center[0], expected.center[1] - box.center[1]
        motion, moved, window = propagate(state.window, image, box, shift, policy.use_scale)
        if motion.kept >= policy.least_kept:
            return Moved(box, moved, motion, camera, Source.FLOW, window, reduced, state.velocity)
    carries = camera.is_known and not (lost and _at_border(box, image))
    source, moved = (Source.CAMERA, expected) if carries else (Source.HELD, box)
    return Moved(box, moved, UNKNOWN, camera, source, grey_window(image, moved), reduced, velocity)


def _at_border(box: Box, image: Image) -> bool:
    x1, y1, x2, y2 = box.xyxy
    return x1 <= 0 or y1 <= 0 or x2 >= image.shape[1] or y2 >= image.shape[0]


def settle(moved: Moved, image: Image, box: Box) -> FlowState:
    """What to remember of the frame, given the box that was decided on in it: flow's own or the network's."""
    window = moved.window if moved.window.fits(box) else grey_window(image, box)
    return FlowState(window, moved.reduced, updated_velocity(moved.velocity, moved.camera, moved.last, box))


def blended(seen: Box, moved: Moved, share: float = BLEND) -> Box:
    """The network's box, its centre drawn towards flow's where both mean the same thing: flow has less jitter.

    Up to `share` of the way, by the share of points that came back; the size is the network's.
    """
    if agreement(seen, moved) <= SAME:
        return seen
    weight = share * moved.motion.kept
    (x, y), (flow_x, flow_y) = seen.center, moved.box.center
    return Box.from_cxcywh(x + weight * (flow_x - x), y + weight * (flow_y - y), seen.w, seen.h)


def carried(box: Box, motions: Iterable[Motion]) -> Box:
    """A box of an earlier frame in the newest one: the network's late answer, and the motions since, oldest first."""
    for motion in motions:
        box = apply(motion, box)
    return box


def agreement(seen: Box, moved: Moved) -> float:
    """Overlap, 0 to 1, of the network's box with where flow took the last one; 0 where flow could not say.

    Evidence for the score, not a vote: flow agrees with a network that stays on what covers the target.
    """
    return seen.iou(moved.box) if moved.source is Source.FLOW else 0.0
