"""The types into which all data sets are read, whatever their layout on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.pictures import read_picture
from sot_tracker.stream.range16 import Range16
from sot_tracker.tracker import Image

Mask = npt.NDArray[np.uint8]
"""H x W, 255 inside the object and 0 outside, in the picture's own size."""

XYWH = tuple[float, float, float, float]

Cutter = Callable[[np.ndarray, XYWH | None], Mask | None]
"""H x W x 3 BGR picture, and the object's box or None if unknown -> the object's mask; None if it is uncertain."""

MaskReader = Callable[[], Mask]

PictureReader = Callable[[int, Range16 | None], Image]
"""Index of a frame, and the limits of 16-bit pictures -> its picture. Raises UserError."""

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sequence:
    """One target in a video, or in one still picture, or a picture without annotation.

    layout: name of the layout. own_name: as in the data set's lists; place: the folders between the data folder and the
    sequence, separated by /. group: the video or picture that the sequence belongs to, which several targets can share.
    source: name for weights by source; usually the layout.

    frames: N files. numbers: N, index of each frame in the video, from 0, so that numbers[0] is the first picture of
    the truth. truth: N x 4, x, y, w, h in pixels of the stored picture; NaN if the data set has no box. visible: N,
    whether the target is present and visible; labels may say that it is not although there is a box. known: N, whether
    the data set has any annotation of the frame.
    masks: N readers of the target's mask, None for a frame without one; empty if there are none at all.
    reader: reads the pictures if they are not separate files, as in a recording; `frames` are then only names.
    truth_kind: "box", or "polygon" or "mask" if the boxes were computed from these.
    """

    layout: str
    own_name: str
    frames: tuple[Path, ...]
    truth: Array
    visible: Flags
    known: Flags
    numbers: npt.NDArray[np.int64]
    place: str = ""
    group: str = ""
    source: str = ""
    masks: tuple[MaskReader | None, ...] = ()
    truth_kind: str = "box"
    reader: PictureReader | None = None

    @property
    def name(self) -> str:
        """Unique within a data folder."""
        return f"{self.place}/{self.own_name}" if self.place else self.own_name

    @property
    def first_box(self) -> Box:
        return Box.from_xywh(self.truth[0])

    def picture(self, index: int, range16: Range16 | None = None) -> Image:
        """H x W x 3 BGR pixels of a frame as they are stored. The EXIF orientation is not applied, since annotations
        refer to the stored pixels. range16: scales 16-bit pictures, one object for all pictures of a pass. Raises
        UserError if the picture cannot be read.
        """
        if self.reader is not None:
            return self.reader(index, range16)
        return read_picture(self.frames[index], range16)


@dataclass(frozen=True)
class Refused:
    """A sequence that cannot be read, and why."""

    name: str
    error: UserError


@dataclass(frozen=True, slots=True)
class Frame:
    """One object in one picture, for training.

    box: x, y, w, h in pixels of the picture, or None for a picture without annotation (a background).
    mask: reads the object's mask; a function, so that not all masks are in memory at once.
    """

    path: Path
    number: int
    box: XYWH | None
    mask: MaskReader | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """One object in a video or in one still picture, or a picture without annotation, for training.

    name: unique within its source. group: the video or picture it belongs to; a split never divides a group.
    """

    source: str
    name: str
    group: str
    frames: tuple[Frame, ...]
