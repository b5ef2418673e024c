"""The state of one target between frames, and what one search contributes to it. Immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sot_tracker.box import Box
from sot_tracker.tracking import states
from sot_tracker.tracking.box_size import NO_BIAS, SizeBias
from sot_tracker.tracking.colour import SAME, Likeness
from sot_tracker.tracking.confidence import UNREADABLE, MapEvidence


@dataclass(frozen=True, slots=True)
class TargetState:
    """What is remembered of a target between frames; boxes in pixels of a frame of `frame_size` (height, width).

    box: last accepted one; the next search is around it unless the target is lost.
    sure_box: last one with a high score (`step.SURE`), which gives the size to search for a lost target with.
    size_bias: how the network's sizes of this target differ from the initial box.
    lost_frames: frames since `box` was accepted, 0 while tracking; lost_seconds: the same time by the frames' stamps,
        as far as they are known.
    suspect: where a lost target may have returned, to be confirmed by the next search.
    condition, features: how far the box is believed, and the numbers of the last look behind that (`confidence.py`);
        they do not decide where to search.
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

    is_elsewhere: whether it is one of the positions around the last one at which a lost target may return; what is
        found there has to be confirmed.
    """

    box: Box
    is_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the network finds in one search.

    window: the one that was searched. score: 0..1. evidence: what else the network's maps show.
    box: in frame pixels, as the network gives it, which may be of negative size; None where its maps are not finite.
    rival: a box of the same size around the map's second peak; None where that is low (`session.RIVAL`).
    likeness: how like the target's colours those in the box are.
    """

    window: SearchWindow
    box: Box | None
    score: float
    evidence: MapEvidence = UNREADABLE
    rival: Box | None = None
    likeness: Likeness = SAME
