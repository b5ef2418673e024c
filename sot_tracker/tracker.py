"""What every tracker is: `init(image, box)`, then `update(image) -> Estimate` once per frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box, BoxLike

Image = npt.NDArray[np.uint8]
"""H x W x 3, BGR, read-only by convention: no tracker writes into it. Any strides (a view of a message is fine)."""


class State(Enum):
    """Whether the tracker believes its box."""

    TRACKING = "tracking"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a tracker says of one frame.

    box: pixels of that frame; while LOST the best guess of this very frame, which did not move the search window.
    score: 0..1, falls when the target is gone; networks derive it from their maps (`decode.py`), OpenCV's trackers
        report 1 for success and 0 for failure.
    times: stage name ("crop", "search", "decode", or "track" where stages cannot be told apart) -> milliseconds.
    """

    box: Box
    score: float
    state: State
    times: Mapping[str, float] = field(default_factory=dict)


class Tracker(Protocol):
    """One target in one stream of equally sized frames."""

    name: str

    def init(self, image: Image, box: BoxLike) -> None:
        """Start on a target. Raises UserError, changing nothing, if the box cannot be tracked in this image."""

    def update(self, image: Image) -> Estimate:
        """Follow the target into the next frame. Raises UserError before `init`, or for a frame of another size."""
