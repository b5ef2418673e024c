"""Boxes for unlabelled video: trackers follow a target forward and backward in time; kept is what both ways agree on.

A tracker that has slipped onto something else seldom finds its way back to where it started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from sot_tracker.box import Box
from sot_tracker.tracker import Image, State, Tracker

SPAN = 60
"""Frames that are followed in one go, then backward."""
MIN_FRAMES = 4
"""Spans are halved where the ways part, down to this many frames; then the track ends."""
AGREE = 0.5
"""Least overlap of the boxes of all ways and trackers."""


class Labelled(NamedTuple):
    """A frame that is sure: its number, BGR pixels, and the target's box in pixels."""

    number: int
    image: Image
    box: Box


def label(
    trackers: Sequence[Tracker], frames: Iterable[Image], start: Box, span: int = SPAN, agree: float = AGREE
) -> Iterator[Labelled]:
    """Every frame that is sure, the first one's box as given; ends where the target is lost, and nothing if that is at
    once.

    frames: BGR pictures of one size. start: the target in the first one, pixels. The boxes between are means over
    trackers and ways. Raises UserError if the start cannot be tracked.
    """
    stream = iter(frames)
    held: list[Image] = list(islice(stream, span))
    number, box = 0, start
    while len(held) > 1:
        found = _longest(trackers, held, box, agree)
        if not found:
            return
        if number == 0:
            yield Labelled(0, held[0], start)
        yield from (Labelled(number + i, held[i], kept) for i, kept in found)
        last, box = found[-1]
        number, held = number + last, held[last:]
        held.extend(islice(stream, span - len(held)))


def _longest(trackers: Sequence[Tracker], images: list[Image], start: Box, agree: float) -> list[tuple[int, Box]]:
    """The sure frames of these images, or of as many first ones as close; none where not even a few do."""
    count = len(images)
    while count >= min(MIN_FRAMES, len(images)):
        found = both_ways(trackers, images[:count], start, agree)
        if found:
            return found
        count //= 2
    return []


def both_ways(trackers: Sequence[Tracker], images: list[Image], start: Box, agree: float) -> list[tuple[int, Box]]:
    """Index and box of the frames after the first in which all ways agree; none unless all come back to the start."""
    ways = []
    for tracker in trackers:
        there = follow(tracker, images, start)
        end = there[-1]
        back = None if end is None else follow(tracker, images[::-1], end)[::-1]
        if back is None or back[0] is None or back[0].iou(start) < agree:
            return []
        ways += [there, back]
    return [(i, _mean(boxes)) for i in range(1, len(images)) if (boxes := _agreeing([way[i] for way in ways], agree))]


def follow(tracker: Tracker, images: Sequence[Image], start: Box) -> list[Box | None]:
    """A box per image, the first as given; None where the tracker says LOST."""
    tracker.init(images[0], start)
    estimates = (tracker.update(image) for image in images[1:])
    return [start, *(e.box if e.state is State.TRACKING and e.box.is_valid else None for e in estimates)]


def _agreeing(boxes: list[Box | None], agree: float) -> list[Box]:
    """All boxes if every two overlap enough, else none."""
    known = [box for box in boxes if box is not None]
    if len(known) < len(boxes) or any(a.iou(b) < agree for i, a in enumerate(known) for b in known[:i]):
        return []
    return known


def _mean(boxes: list[Box]) -> Box:
    return Box.from_xyxy(*np.mean([box.xyxy for box in boxes], axis=0).tolist())
