"""Measures how well two networks of one model agree, on single pictures and on a clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sot_tracker.box import Box
from sot_tracker.catalog import NetworkSpec
from sot_tracker.engines.network import Network
from sot_tracker.tracker import Image
from sot_tracker.tracking.network_tracker import NetworkTracker

Pair = tuple[Image, Box, Box]
"""A picture, the target in it, and the box around which it is searched for."""


def agreement(
    spec: NetworkSpec, exact: Network, other: Network, pairs: Sequence[Pair], clip: Sequence[Image], first: Box
) -> dict[str, float]:
    """How well the networks agree, by name, 0 to 1.

    "pairs": mean overlap (IoU) of the two boxes, with template and search from one picture. "clip": the same if each
    network tracks the clip by itself, from the box `first` in the first frame. "score": 1 minus the mean difference of
    the scores of the pairs.

    clip: at least two frames of one size.
    """
    results = [[_box_and_score(spec, network, pair) for pair in pairs] for network in (exact, other)]
    tracks = [_follow(spec, network, clip, first) for network in (exact, other)]
    overlaps = [a.iou(b) for (a, _), (b, _) in zip(*results, strict=True)]
    differences = [abs(a - b) for (_, a), (_, b) in zip(*results, strict=True)]
    clip_overlaps = [a.iou(b) for a, b in zip(*tracks, strict=True)]
    means = {"pairs": np.mean(overlaps), "clip": np.mean(clip_overlaps), "score": 1 - np.mean(differences)}
    return {name: round(float(value), 4) for name, value in means.items()}


def _box_and_score(spec: NetworkSpec, network: Network, pair: Pair) -> tuple[Box, float]:
    """The box and score that a network finds in a picture."""
    image, box, around = pair
    tracker = NetworkTracker("agreement", spec, network)
    tracker.init(image, box)
    tracker.recenter(around)
    estimate = tracker.update(image)
    return estimate.box, estimate.score


def _follow(spec: NetworkSpec, network: Network, clip: Sequence[Image], first: Box) -> list[Box]:
    """The box in every frame but the first."""
    tracker = NetworkTracker("agreement", spec, network)
    tracker.init(clip[0], first)
    return [tracker.update(frame).box for frame in clip[1:]]
