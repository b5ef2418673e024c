"""Write a clip to disk as a GOT-10k sequence folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from sot_tracker.atomic import new_file
from sot_tracker.errors import UserError
from sot_tracker.stream.captures import Capture
from sot_tracker.synth.config import ClipConfig
from sot_tracker.synth.pictures import Picture
from sot_tracker.synth.render import SynthFrame, render

_TRUTH = ("groundtruth.txt", "absence.label", "cover.label", "visible.txt")
_COVER_BOUNDS = (0.0, 0.15, 0.30, 0.45, 0.60, 0.75, 0.90)
_WHOLE = 0.99
"""Visible fractions from here on count as all: the area of a resampled mask is known to about one percent."""


def cover_level(visible: float) -> int:
    """GOT-10k's cover.label: 0 for nothing visible, 1 to 7 up to 15, 30, 45, 60, 75, 90 and under 100 %, 8 for all."""
    return 8 if visible >= _WHOLE else int(np.searchsorted(_COVER_BOUNDS, visible))


def write_sequence(
    config: ClipConfig,
    folder: Path,
    pictures: Sequence[Picture] | None = None,
    video: Path | None = None,
    quality: int = 92,
) -> None:
    """Render a clip into a folder, made where missing; what an earlier clip left there is removed first.

    Written are 00000001.jpg and so on (JPEG of that quality), groundtruth.txt (x,y,w,h per line, four NaN where the
    target is absent), absence.label (1 absent, 0 present), cover.label (`cover_level`, 0 where absent) and visible.txt
    (the exact visible fraction); with `video` also an MP4 file.

    Raises UserError if the pictures make no clip or if something cannot be written.
    """
    frames = render(config, pictures)
    first = next(frames)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*(folder / name for name in _TRUTH), *folder.glob("[0-9]" * 8 + ".jpg")):
            old.unlink(missing_ok=True)
        truth = []
        with _video(video, config) if video else nullcontext() as writer:
            for number, frame in enumerate(chain([first], frames), 1):
                truth.append(_write_frame(folder, number, frame, quality))
                if writer is not None:
                    writer.write(frame.image)
        _write_truth(folder, truth)
    except OSError as error:
        raise UserError(f"cannot write the clip to '{folder}': {error.strerror or error}") from None


def _write_frame(folder: Path, number: int, frame: SynthFrame, quality: int) -> SynthFrame:
    """Write the picture; returns the truth without it."""
    path = folder / f"{number:08d}.jpg"
    if not cv2.imwrite(str(path), frame.image, [cv2.IMWRITE_JPEG_QUALITY, quality]):
        raise UserError(f"cannot write '{path}'")
    return SynthFrame(frame.image[:0], frame.box, frame.visible)


def _write_truth(folder: Path, truth: Sequence[SynthFrame]) -> None:
    nothing = (math.nan,) * 4
    columns = (
        [",".join(_number(v) for v in (f.box.xywh if f.box else nothing)) for f in truth],
        [str(int(f.box is None)) for f in truth],
        [str(cover_level(f.visible) if f.box else 0) for f in truth],
        [f"{f.visible:.4f}" for f in truth],
    )
    for name, lines in zip(_TRUTH, columns, strict=True):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="ascii")


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else f"{value:.4f}"


@contextmanager
def _video(path: Path, config: ClipConfig) -> Iterator[cv2.VideoWriter]:
    """A video that appears when the block ends. Raises UserError if it does not hold all frames of the clip: OpenCV
    does not report a full disk.
    """
    with new_file(path) as beside:
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(beside), fourcc, config.fps, (config.width, config.height))
        if not writer.isOpened():
            raise UserError(f"cannot write the video '{path}': OpenCV opens no MP4 writer here")
        try:
            yield writer
        finally:
            writer.release()
        with Capture(str(beside)) as stored:
            count = (stored.length or 0) if stored.is_open else 0
        if count < config.frames:
            raise UserError(f"cannot write the video '{path}': {count} of {config.frames} frames are in it")
