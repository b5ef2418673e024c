"""The interface of every tracker: `init(image, box)`, then `update(image) -> Estimate` once per frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box, BoxLike
from sot_tracker.config import Config, check

Image = npt.NDArray[np.uint8]
"""H x W x 3, BGR, read-only by convention: no tracker writes into it. Any strides (a view of a message is fine)."""


class State(Enum):
    """Whether the tracker accepts its box as the target's."""

    TRACKING = "tracking"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A tracker's result for one frame.

    box: pixels of that frame; while LOST the best guess for this very frame, which did not move the search window.
    score: 0..1, falls when the target is gone; networks derive it from their maps (`decode.py`), OpenCV's trackers
        report 1 for success and 0 for failure.
    times: stage name ("crop", "template", "search", "decode", or "track" where stages cannot be separated) ->
        milliseconds.
    """

    box: Box
    score: float
    state: State
    times: Mapping[str, float] = field(default_factory=dict)


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
    """How the online loop treats what the network finds. The defaults are the published loops.

    The fields are options of `config.Config`, with their ranges. A tracker's policy may be replaced at any time:
    `tracker.policy = dataclasses.replace(tracker.policy, lost_threshold=0.4)`.

    lost_threshold: scores below it are LOST: the box is reported but does not move the search window, and the target is
        looked for at its last accepted place, at the size it had when the score was high, until it returns. Negative
        takes `TrackerInfo.lost_threshold`. 0 never loses the target unless the network's maps are not finite.
    reacquire_positions: number of positions around the last one that are searched in turn while the target is lost. A
        return there counts after two accepted frames in a row. 0 searches the last place alone.
    init_size_correction: how strongly box sizes are corrected towards the size of the initial box, 0 none to 1 full.
        Above 0, `init` takes as long as two updates.
    size_smoothing: share of a change of size, in logarithms, that is followed per frame while the target is tracked,
        above 0 to 1 (no smoothing). The centre is followed at once.

    Raises UserError for a value out of range.
    """

    lost_threshold: float = 0.0
    reacquire_positions: int = 0
    init_size_correction: float = 0.0
    size_smoothing: float = 1.0

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, check(item.name, getattr(self, item.name)))

    @classmethod
    def of(cls, config: Config) -> Policy:
        """The policy that the options ask for."""
        return cls(**{item.name: getattr(config, item.name) for item in dataclasses.fields(cls)})


class Tracker(Protocol):
    """One target in one stream of equally sized frames."""

    policy: Policy
    """May be replaced at any time and holds from the next frame on. OpenCV's trackers have nothing it could change."""

    @property
    def info(self) -> TrackerInfo:
        """What is known about this tracker."""

    def init(self, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Start on a target; the estimate is the given box, TRACKING, with the stage times of starting.

        stamp_ns: capture time of the frame in nanoseconds of any clock, None where unknown.
        Raises UserError, changing nothing, if the box cannot be tracked in this image.
        """

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        """Follow the target into the next frame. Raises UserError before `init`, or for a frame of another size.

        stamp_ns: capture time of the frame, nanoseconds of the clock of `init`'s; None where unknown.
        """

    def recenter(self, box: Box) -> None:
        """Search around another box from the next frame on, with the same target (say, on a detector's hint).

        Raises UserError, changing nothing, before `init`, if the box cannot be tracked in frames of this size, or if
        `info.can_recenter` is false.
        """
