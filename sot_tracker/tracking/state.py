"""The state of one target between frames, and what one search contributes to it. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sot_tracker.box import Box
from sot_tracker.tracking import states
from sot_tracker.tracking.box_size import NO_BIAS, SizeBias
from sot_tracker.tracking.colour import IDENTICAL, Likeness
from sot_tracker.tracking.confidence import UNREADABLE, MapEvidence


@dataclass(frozen=True, slots=True)
class TargetState:
    """The state of a target between frames; boxes in pixels of a frame of `frame_size` (height, width).

    box: the last accepted box; the next search is around it unless the target is lost.
    sure_box: the last box with a high score (`step.SURE`); its size is used to search for a lost target.
    size_bias: how the network's sizes of this target differ from the initial box.
    lost_frames: frames since `box` was accepted, 0 while tracking; lost_seconds: the same time by the frames' stamps,
        as far as they are known.
    suspect: where a lost target may have returned, to be confirmed by the next search.
    condition, features: the reported state, and the numbers of the last search that it was computed from
        (`confidence.py`); they do not decide where to search.
    """

    box: Box
    frame_size: tuple[int, int]
    sure_box: Box
    size_bias: SizeBias = NO_BIAS
    lost_frames: int = 0
    lost_seconds: float = 0.0
    suspect: Box | None = None
    condition: states.Condition = states.FIRST
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchWindow:
    """The box around which a frame is searched.

    is_elsewhere: whether the box is at one of the positions around the last one that are tried for a lost target
        (`reacquire.py`). A box found there has to be confirmed by a second search.
    """

    box: Box
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the network finds in one search.

    window: where it searched. score: 0..1. evidence: further numbers from the network's maps.
    box: in frame pixels, as the network gives it, possibly of negative size; None where its maps are not finite.
    rival: a box of the same size around the map's second peak; None where that peak is low (`session.RIVAL`).
    likeness: how similar the colours in the box are to the target's.
    """

    window: SearchWindow
    box: Box | None
    score: float
    evidence: MapEvidence = UNREADABLE
    rival: Box | None = None
    likeness: Likeness = IDENTICAL
