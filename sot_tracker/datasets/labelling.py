"""Labels unlabelled video: trackers track a target forward and then backward in time, and frames are kept in which both
directions agree. A tracker that has lost the target seldom returns to where it started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from sot_tracker.box import Box
from sot_tracker.tracker import Image, State, Tracker

SPAN = 60
"""Number of frames that are tracked forward before they are tracked backward."""
MIN_FRAMES = 4
"""If the directions disagree, the span is halved, down to this many frames; then the track ends."""
AGREE = 0.5
"""Smallest overlap of any two boxes of a frame, over all directions and trackers."""


class Labelled(NamedTuple):
    """A frame that is sure: its number, BGR pixels, and the target's box in pixels."""

    number: int
    image: Image
    box: Box


def label(
    trackers: Sequence[Tracker], frames: Iterable[Image], start: Box, span: int = SPAN, agree: float = AGREE
) -> Iterator[Labelled]:
    """Yields every frame that is sure, until the target is lost; nothing if it is lost at once.

    frames: BGR pictures of one size. start: the target's box in the first one, pixels. The other boxes are means over
    trackers and directions. Raises UserError if the start cannot be tracked.
    """
    stream = iter(frames)
    images: list[Image] = list(islice(stream, span))
    number, box = 0, start
    while len(images) > 1:
        found = _longest(trackers, images, box, agree)
        if not found:
            return
        if number == 0:
            yield Labelled(0, images[0], start)
        yield from (Labelled(number + i, images[i], kept) for i, kept in found)
        last, box = found[-1]
        number, images = number + last, images[last:]
        images.extend(islice(stream, span - len(images)))


def _longest(trackers: Sequence[Tracker], images: list[Image], start: Box, agree: float) -> list[tuple[int, Box]]:
    """The sure frames of these images, or of their first half, quarter and so on; none if even the shortest fails."""
    count = len(images)
    while count >= min(MIN_FRAMES, len(images)):
        found = both_ways(trackers, images[:count], start, agree)
        if found:
            return found
        count //= 2
    return []


def both_ways(trackers: Sequence[Tracker], images: list[Image], start: Box, agree: float) -> list[tuple[int, Box]]:
    """Index and box of the later frames in which all boxes agree; none unless all trackers return to the start."""
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
    """A box per image, the first as given; None if the tracker is not TRACKING."""
    tracker.init(images[0], start)
    estimates = (tracker.update(image) for image in images[1:])
    return [start, *(e.box if e.state is State.TRACKING and e.box.is_valid else None for e in estimates)]


def _agreeing(boxes: list[Box | None], agree: float) -> list[Box]:
    """All boxes if any two overlap enough, else none."""
    known = [box for box in boxes if box is not None]
    if len(known) < len(boxes) or any(a.iou(b) < agree for i, a in enumerate(known) for b in known[:i]):
        return []
    return known


def _mean(boxes: list[Box]) -> Box:
    return Box.from_xyxy(*np.mean([box.xyxy for box in boxes], axis=0).tolist())
