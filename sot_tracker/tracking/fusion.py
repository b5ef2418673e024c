"""How the results of optical flow and of the network are combined.

Optical flow measures in every frame, in a millisecond or two, how the box moved. The network finds the target itself,
but not in every frame, or only some frames later. So flow moves the box between two searches of the network, predicts
where the network should search, and moves a late result of the network to the newest frame. The network's box replaces
that of flow, which drifts, and follows whatever covers the target.

    flow = start(image, box)
    in every frame: moved = follow(flow, image, box, lost)
                    box = the network's if it searched (around moved.box), else moved.box
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


class Source(Enum):
    """What moved a box into a frame without the network."""

    FLOW = "flow"
    CAMERA = "camera"  # the background's motion and the target's own velocity
    HELD = "held"  # nothing: the box stayed where it was


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """Which motions are used.

    least_kept: flow moves the box only if at least this share of its points returned (`Motion.kept`), 0 to 1.
    use_camera: measure the camera's motion, as a first estimate for flow, and to move boxes that flow cannot track.
    use_velocity: assume that the target keeps its velocity relative to the background.
    use_scale: let flow change the box's size too.
    """

    least_kept: float = 0.3
    use_camera: bool = True
    use_velocity: bool = True
    use_scale: bool = True


DEFAULT = FlowPolicy()


@dataclass(frozen=True, slots=True, eq=False)
class FlowState:
    """What flow needs of the last frame: grey square around the box, reduced copy, and the target's velocity."""

    window: GreyWindow
    reduced: ReducedFrame | None
    velocity: Velocity = field(default_factory=Velocity)


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What all targets of a frame share. reduced: its reduced copy. camera: how the background moved into it."""

    reduced: ReducedFrame | None
    camera: CameraMotion


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """How a box moved into a frame, before the network searches it.

    last, box: the box in the last frame and in this one. motion: measured by flow, `UNKNOWN` where flow was not used or
    failed. camera: motion of the background. source: what moved the box. window, reduced: of this frame. velocity: of
    the target before this frame.
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
    """The flow state of a new target."""
    return FlowState(grey_window(image, box), reduced_frame(image) if policy.use_camera else None)


def background(state: FlowState, image: Image, boxes: Sequence[Box], policy: FlowPolicy = DEFAULT) -> Background:
    """How the background (everything outside of `boxes` in the last frame) moved. Frames must be of one size."""
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
    """Move the box of the last frame to this one. Frames must be of one size.

    lost: the target is lost, so the box is only the position to search around. It moves with the background alone. A
        box at the border of the frame stays: a target that left the frame is searched for where it left.
    behind: the background's motion if it is known already, as with several targets in one frame.
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
    """The flow state after a frame, given the final box in it (flow's or the network's)."""
    window = moved.window if moved.window.fits(box) else grey_window(image, box)
    return FlowState(window, moved.reduced, updated_velocity(moved.velocity, moved.camera, moved.last, box))


def carried(box: Box, motions: Iterable[Motion]) -> Box:
    """Move the network's box in an earlier frame to the newest one by the motions since then, oldest first."""
    for motion in motions:
        box = apply(motion, box)
    return box
