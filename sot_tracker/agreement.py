"""How far two networks of one model agree: the same pictures searched by both, and a clip followed by each."""

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

    "pairs": mean overlap (IoU) of both boxes, template and search from one picture. "clip": the same where each follows
    the clip by itself, from the box `first` in its first frame. "score": 1 minus the mean difference of the scores of
    the pairs.

    clip: at least two frames of one size.
    """
    looks = [[_look(spec, network, pair) for pair in pairs] for network in (exact, other)]
    ways = [_follow(spec, network, clip, first) for network in (exact, other)]
    overlaps = [a.iou(b) for (a, _), (b, _) in zip(*looks, strict=True)]
    apart = [abs(a - b) for (_, a), (_, b) in zip(*looks, strict=True)]
    along = [a.iou(b) for a, b in zip(*ways, strict=True)]
    means = {"pairs": np.mean(overlaps), "clip": np.mean(along), "score": 1 - np.mean(apart)}
    return {name: round(float(value), 4) for name, value in means.items()}


def _look(spec: NetworkSpec, network: Network, pair: Pair) -> tuple[Box, float]:
    """Box and score."""
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
