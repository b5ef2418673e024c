"""Tracks targets through a source, frame by frame: what `sot-tracker track` and `sot_tracker.track` do."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from sot_tracker.box import Box, BoxLike
from sot_tracker.config import DEFAULTS
from sot_tracker.errors import UserError
from sot_tracker.loading import load_many
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.sources import FrameSource, open_source
from sot_tracker.tracker import Estimate, Image

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """Track `box` from the first frame that is at least `seconds` after the first frame of the source."""

    box: Box
    seconds: float = 0.0
    target_id: str = ""

    @classmethod
    def parse(cls, text: str) -> Start:
        """Parse "X,Y,W,H" or "X,Y,W,H@SECONDS". Raises UserError."""
        box, at, seconds = text.partition("@")
        try:
            late = float(seconds) if at else 0.0
        except ValueError:
            late = math.nan
        if not (math.isfinite(late) and late >= 0):
            raise UserError(f"box '{text}' has '{seconds}' after the @: give seconds from the start, as in {box}@12.5")
        return cls(Box.parse(box), late)


@dataclass(frozen=True, slots=True)
class Step:
    """The results for one frame. number: index of the frame in the source, from 0. seconds: spent in the trackers.

    estimates: by target id, in the order in which the targets were started. For a target that starts in this frame the
    box is the given one.
    """

    number: int
    frame: Frame
    estimates: Mapping[str, Estimate]
    seconds: float = 0.0

    @property
    def image(self) -> Image:
        """H x W x 3 BGR."""
        return self.frame.image


class Selected(NamedTuple):
    """A frame of a source. number: index in the source, from 0. seconds: since the first frame of the source."""

    number: int
    seconds: float
    frame: Frame


class Targets(Protocol):
    """Several targets in one stream of frames. `MultiTracker` implements this."""

    def start(self, target_id: str, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Start on a target. Raises UserError, changing nothing, if that is not possible."""

    def update(self, image: Image, stamp_ns: int | None = None) -> dict[str, Estimate]:
        """Find all targets in the next frame. Returns their estimates by target id."""


def select(frames: Iterable[Frame], start: float = 0.0, stride: int = 1) -> Iterator[Selected]:
    """Every `stride`-th frame, beginning `start` seconds after the first frame. Skipped frames are not decoded.

    Raises UserError if the source ends before `start`.
    """
    began: int | None = None
    first: int | None = None
    for number, frame in enumerate(frames):
        began = frame.stamp if began is None else began
        seconds = (frame.stamp - began) * 1e-9
        if seconds < start and first is None:
            continue
        first = number if first is None else first
        if (number - first) % stride == 0:
            yield Selected(number, seconds, frame)
    if first is None and began is not None:
        raise UserError(f"--start {start:g} is after the end of the source: give fewer seconds")


def ahead(frames: Iterable[Selected]) -> Iterator[Selected]:
    """The same frames, but the next one is read and decoded in a thread while the caller processes the last one.

    Not for cameras, whose frames would be delayed.
    """
    iterator = iter(frames)

    def read() -> Selected | None:
        item = next(iterator, None)
        if item is not None:
            with suppress(FrameError):  # raised again when the caller reads the image
                item.frame.image  # noqa: B018
        return item

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(read)
        while (item := coming.result()) is not None:
            coming = pool.submit(read)
            yield item


def follow(targets: Targets, frames: Iterable[Selected], starts: Iterable[Start]) -> Iterator[Step]:
    """Track the targets. Yields a step for every frame, beginning with the first start.

    Frames that cannot be decoded are skipped, as in the node; one warning at the end has their number.
    Raises UserError for a box that cannot be tracked, and if the source ends before the first start.
    """
    waiting = sorted(starts, key=lambda start: start.seconds)
    running, damaged, reason = False, 0, ""
    for number, seconds, frame in frames:
        due = [start for start in waiting if start.seconds <= seconds]
        if not running and not due:
            continue
        try:
            image = frame.image
        except FrameError as error:
            damaged, reason = damaged + 1, reason or str(error)
            continue
        before = time.perf_counter()
        estimates = targets.update(image, frame.stamp) if running else {}
        for start in due:
            estimate = targets.start(start.target_id, image, start.box, frame.stamp)
            # Outputs report only the times of updates, so the time of starting is left out.
            estimates[start.target_id] = replace(estimate, times={})
        running, waiting = True, waiting[len(due) :]
        yield Step(number, frame, estimates, time.perf_counter() - before)
    if damaged:
        log.warning("%d frames cannot be used and were left out: %s", damaged, reason)
    if waiting:
        late = f"{waiting[0].box}@{waiting[0].seconds:g} starts after the last frame"
        if not running:
            raise UserError(f"{late}: give fewer seconds")
        log.warning("%s", late)


def named(starts: Iterable[Start]) -> list[Start]:
    """The starts with names "1", "2" and so on for targets that have none."""
    return [replace(start, target_id=start.target_id or str(i)) for i, start in enumerate(starts, 1)]


def track(
    source: str | int | os.PathLike[str], box: BoxLike, model: str = "", *, topic: str = "", **options: Any
) -> Iterator[tuple[Image, Estimate]]:
    """Track one target: `for frame, estimate in sot_tracker.track("clip.mp4", (310, 120, 48, 96)): ...`

    source: a video file, folder of pictures, recording, camera number or stream address (see `open_source`).
    box: x, y, w, h in pixels of the first frame. model, options: as for `load`, with the same defaults. topic: the
    image topic of a recording, if it has several.
    Yields every frame, H x W x 3 BGR uint8, and the target's estimate; in the first frame its box is the given one.
    Raises UserError: for wrong arguments when called, otherwise while iterating.
    """
    if isinstance(source, bool) or not isinstance(source, (str, int, os.PathLike)):
        raise UserError(f"source is {source!r:.40}: give a string, as for `sot-tracker track`, or a camera number")
    if "realtime" in options:
        raise UserError("realtime is on for cameras and streams, and off for files: leave it out")
    start = Start(Box.of(box), target_id="1")
    opened = open_source(str(source), topic=topic)
    targets = load_many(model or DEFAULTS["model"], 1, realtime=opened.live, **options)
    return _track(opened, targets, start)


def _track(source: FrameSource, targets: Targets, start: Start) -> Iterator[tuple[Image, Estimate]]:
    try:
        for step in follow(targets, select(source) if source.live else ahead(select(source)), [start]):
            yield step.image, step.estimates[start.target_id]
    finally:
        source.close()
