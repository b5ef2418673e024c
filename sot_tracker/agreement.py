"""How far two networks of one model agree: the same frames searched by both, and a clip followed by each."""

from __future__ import annotations

from collections.abc import Sequence

from sot_tracker.box import Box
from sot_tracker.catalog import NetworkSpec
from sot_tracker.engines.network import Network
from sot_tracker.tracker import Image
from sot_tracker.tracking.session import NetworkTracker


def agreement(
    spec: NetworkSpec, exact: Network, other: Network, frames: Sequence[Image], boxes: Sequence[Box]
) -> dict[str, float]:
    """ "pairs": mean overlap (IoU) of both networks' boxes where each frame is searched around the truth, template from
    the first; "clip": the same where each follows the clip by itself; "score": 1 minus the mean difference of scores.

    frames: of one size, at least two. boxes: the target in each. All 0 to 1.
    """
    ends = {}
    for name, given in (("pairs", boxes), ("clip", None)):
        found = [_follow(spec, network, frames, boxes[0], given) for network in (exact, other)]
        overlaps = [a.iou(b) for (a, _), (b, _) in zip(*found, strict=True)]
        ends[name] = sum(overlaps) / len(overlaps)
        if given is not None:
            apart = [abs(a - b) for (_, a), (_, b) in zip(*found, strict=True)]
            ends["score"] = 1 - sum(apart) / len(apart)
    return {name: round(value, 4) for name, value in ends.items()}


def _follow(
    spec: NetworkSpec, network: Network, frames: Sequence[Image], first: Box, given: Sequence[Box] | None
) -> list[tuple[Box, float]]:
    """Box and score in every frame but the first; given: where to search, frame by frame, else around the last box."""
    tracker = NetworkTracker("agreement", spec, network)
    tracker.init(frames[0], first)
    found = []
    for i, frame in enumerate(frames[1:]):
        if given is not None:
            tracker.recenter(given[i])
        estimate = tracker.update(frame)
        found.append((estimate.box, estimate.score))
    return found
