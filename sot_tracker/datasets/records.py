"""What every data set is read into: tracks of annotated frames, whatever the layout on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]
"""H x W, 255 inside the object and 0 outside, in the picture's own size."""

XYWH = tuple[float, float, float, float]

Cutter = Callable[[np.ndarray, XYWH | None], Mask | None]
"""H x W x 3 BGR picture, and the object's box or None where none is known -> its mask, None where it is unsure."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One object in one picture.

    box: x, y, w, h in pixels of the picture, or None for a picture without annotation (a background).
    mask: makes the object's mask when asked, since most masks are never needed at once.
    """

    path: Path
    number: int
    box: XYWH | None
    mask: Callable[[], Mask] | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """One object through a video, or in one still picture, or a picture without annotation.

    name: unique within its source. group: the video or picture it belongs to; splits never cut through a group.
    """

    source: str
    name: str
    group: str
    frames: tuple[Frame, ...]
