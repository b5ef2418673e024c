"""The interface of every tracker: `init(image, box)`, then `update(image) -> Estimate` once per frame."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box, BoxLike
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.options import check

Image = npt.NDArray[np.uint8]
"""H x W x 3, BGR, read-only by convention: no tracker writes into it. Any strides (a view of a message is fine)."""


def frame_size(image: Image) -> tuple[int, int]:
    """Height and width of a frame. Raises UserError unless it is H x W x 3, uint8 and not empty."""
    wanted = "give height x width x 3, uint8, BGR"
    if not isinstance(image, np.ndarray):
        raise UserError(f"frame is {image!r:.40}, no picture: {wanted} (cv2.imread gives None for what it cannot read)")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise UserError(f"frame is {image.dtype} of shape {image.shape}: {wanted}")
    return image.shape[0], image.shape[1]


def require_size(image: Image, expected: tuple[int, int]) -> None:
    """Raise UserError unless the frame has the (height, width) of the frame in which the target was given."""
    height, width = frame_size(image)
    if (height, width) != expected:
        raise UserError(
            f"frame is {width}x{height} but the target was given in {expected[1]}x{expected[0]}: give the box again"
        )


def require_stamp(stamp_ns: int | None) -> None:
    """Raise UserError for a stamp that is neither a whole number nor None: seconds would be taken for nanoseconds."""
    if stamp_ns is not None and not isinstance(stamp_ns, (int, np.integer)):
        raise UserError(
            f"stamp_ns={stamp_ns!r:.80} is no whole number of nanoseconds: give an int (of a ROS header"
            " stamp.sec * 10**9 + stamp.nanosec, of seconds int(seconds * 1e9)), or leave it out"
        )


def seconds_between(before: int | None, now: int | None) -> float | None:
    """From one stamp (nanoseconds) to another; None where one is unknown or the clock went back."""
    return (now - before) * 1e-9 if before is not None and now is not None and now >= before else None


class State(Enum):
    """How reliable the box is. Without a target there is no estimate; the node then reports IDLE."""

    TRACKING = "tracking"
    UNCERTAIN = "uncertain"  # the box is predicted or doubtful
    LOST = "lost"


class Reason(Enum):
    """Why the state is UNCERTAIN or LOST."""

    NONE = "none"  # TRACKING
    SCORE = "score"  # the tracker's score, or the probability computed from it, is low
    JUMP = "jump"  # the box jumped further than the target can move
    EDGE = "edge"  # the target is at the edge of the frame
    OCCLUDED = "occluded"  # the target vanished within the frame
    LOOK_ALIKE = "look-alike"  # something that looks like the target is near


HELD = "held"
"""`Estimate.source` of a box that was copied from an earlier frame, because nothing is known about this one."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A tracker's result for one frame.

    box: pixels of that frame; where it is not `accepted`, the best guess for this frame.
    score: 0..1, falls when the target is gone; networks derive it from their maps (`decode.py`), OpenCV's trackers
        report 1 for success and 0 for failure.
    state, reason: `tracking/states.py` has the rules.
    probability: that the box overlaps the target by half or more (IoU >= 0.5), 0..1, for models with a calibration
        (`calibration.py`); NaN where it is not known.
    accepted: whether the tracker decided that this is the target; only then the box moved the search window.
    coasted_out: whether the state has not been TRACKING for longer than `Policy.max_coast`.
    times: stage name ("flow", "crop", "template", "search", "opinion", "decode", or "track" where stages cannot be
        separated) -> milliseconds.
    source: where the box comes from: "tracker" (the tracker searched this frame) or, between two searches, "flow"
        (optical flow), "camera" (the motion of the background) or "held" (unchanged, since nothing was known).
    look_age_ms: time from the frame of the tracker's last search to this one.
    """

    box: Box
    score: float
    state: State
    times: Mapping[str, float] = field(default_factory=dict)
    source: str = "tracker"
    look_age_ms: float = 0.0
    reason: Reason = Reason.NONE
    probability: float = math.nan
    accepted: bool = True
    coasted_out: bool = False

    @property
    def is_there(self) -> bool:
        """Whether the tracker decided that this is the target, however doubtful it is."""
        return self.accepted and self.state is not State.LOST

    @property
    def confidence(self) -> float:
        """How reliable the box is, 0..1: the probability where it is known, else the score."""
        return self.score if math.isnan(self.probability) else self.probability

    @property
    def is_reported(self) -> bool:
        """Whether the box may be published: TRACKING, or UNCERTAIN for a short time, but never a "held" box."""
        if self.state is State.UNCERTAIN:
            return not self.coasted_out and self.source != HELD
        return self.state is State.TRACKING


@dataclass(frozen=True, slots=True)
class TrackerInfo:
    """What is known about a loaded tracker; never changes.

    name: catalogue name. engine: "onnx", "openvino", "torch" or "opencv"; runtime: its name and version.
    device: "cpu", "cuda" or "tensorrt", the one in use. description: one line for logs and diagnostics.
    precision: "fp32", "bf16", "fp16"; empty for OpenCV's trackers. threads: CPU threads, 0 where the engine chose.
    weights: where they came from, empty without weights. random: drawn from a seed, for benchmarks only.
    lost_threshold: stored with the weights, 0..1; used where the policy's is negative.
    parameters, macs: of the network, macs for one search; None where unknown or without a network.
    can_recenter: whether `recenter` is possible.
    """

    name: str
    engine: str
    runtime: str
    device: str
    description: str
    precision: str = ""
    threads: int = 0
    weights: str = ""
    random: bool = False
    lost_threshold: float = 0.0
    parameters: int | None = None
    macs: int | None = None
    can_recenter: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Options of the online loop. The defaults give the published loops.

    The fields are options of `config.Config`, with their ranges. A tracker's policy may be replaced at any time:
    `tracker.policy = dataclasses.replace(tracker.policy, lost_threshold=0.4)`.

    lost_threshold: a box whose score is below this is not accepted: it does not move the search window, and the target
        is searched for at the position of its last accepted box, with the size it had when the score was high, until it
        returns. Negative: `TrackerInfo.lost_threshold`. 0: every box is accepted whose network maps are finite.
    reacquire_positions: number of positions around the last one that are searched in turn while the target is lost. A
        return there counts after two accepted frames in a row. 0: only the last position is searched.
    init_size_correction: how strongly box sizes are corrected towards the size of the initial box, 0 none to 1 full.
        Above 0, `init` takes as long as two updates.
    size_smoothing: share of a change of size, in logarithms, that is applied per frame while the target is tracked,
        above 0 to 1 (no smoothing). The centre is not smoothed.
    max_coast: seconds for which a target that is not found is UNCERTAIN, before it is LOST, and for which UNCERTAIN
        boxes are reported. It changes no box and no search.
    search_around: "last": the search window is around the last box; "expected": around the position predicted from
        optical flow, the camera's motion and the target's velocity (`tracking/expectation.py`).

    Raises UserError for a value out of range.
    """

    lost_threshold: float = 0.0
    reacquire_positions: int = 0
    init_size_correction: float = 0.0
    size_smoothing: float = 1.0
    max_coast: float = 0.5
    search_around: str = "last"

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, check(item.name, getattr(self, item.name), Config))

    @classmethod
    def of(cls, config: Config) -> Policy:
        """The policy with the values of these options."""
        return cls(**{item.name: getattr(config, item.name) for item in dataclasses.fields(cls)})


class Tracker(Protocol):
    """One target in one stream of equally sized frames."""

    policy: Policy
    """May be replaced at any time; takes effect with the next frame. OpenCV's own trackers use only its `max_coast`."""

    @property
    def info(self) -> TrackerInfo:
        """What is known about this tracker."""

    def init(self, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Start on a target; the estimate is the given box, TRACKING, with the stage times of starting.

        stamp_ns: capture time of the frame in nanoseconds of any clock, None where unknown.
        Raises UserError, changing nothing, if the box cannot be tracked in this image or the stamp is no whole number.
        """

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        """Find the target in the next frame. Raises UserError before `init`, or for a frame of another size.

        stamp_ns: capture time of the frame in nanoseconds, by the same clock as for `init`; None where unknown.
        """

    def recenter(self, box: BoxLike) -> None:
        """Search around another box from the next frame on, for the same target (for example when a detector found it).

        Raises UserError, changing nothing, before `init`, if the box cannot be tracked in frames of this size, or if
        `info.can_recenter` is false.
        """

    def move(self, box: BoxLike) -> None:
        """Set where the box is in the next frame, from a motion measured outside (optical flow, the camera).

        Unlike `recenter` this does not mean that the target is known to be there. Raises UserError as `recenter`.
        """
