"""The box convention of the package.

A box is x, y, w, h in float pixels of the image; (x, y) is its top-left corner and (0, 0) the outer corner of the
first pixel, so that the first pixel is the box (0, 0, 1, 1) and its centre is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sot_tracker.errors import UserError


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle: top-left corner (x, y) and size (w, h), float pixels.

    All numbers are allowed, since a network may predict a negative size or NaN; `is_valid` tells whether the box can be
    tracked.
    """

    x: float
    y: float
    w: float
    h: float

    @classmethod
    def parse(cls, text: str) -> Box:
        """Parse "x,y,w,h" (commas, spaces or tabs, with or without brackets). Raises UserError for anything else."""
        try:
            return cls.from_xywh(float(part) for part in text.strip(" ()[]").replace(",", " ").split())
        except (TypeError, ValueError):
            raise UserError(
                f"box '{text}' is not four numbers: give x,y,w,h in pixels, for example 310,120,48,96"
            ) from None

    @classmethod
    def of(cls, value: BoxLike) -> Box:
        """A `Box` itself, or the box x, y, w, h of a tuple, a list or an array (`cv2.selectROI` gives a tuple).

        Raises UserError for anything else, also for strings and booleans.
        """
        if isinstance(value, Box):
            return value
        several = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))
        numbers = list(value) if several else []
        if len(numbers) != 4 or not all(_is_number(number) for number in numbers):
            raise UserError(f"box {value!r} is not four numbers: give a Box, or x, y, w, h in pixels")
        return cls.from_xywh(numbers)

    @classmethod
    def from_xywh(cls, values: Iterable[float]) -> Box:
        """From top-left corner and size. Raises ValueError unless there are four values."""
        x, y, w, h = (float(v) for v in values)
        return cls(x, y, w, h)

    @classmethod
    def from_xyxy(cls, x1: float, y1: float, x2: float, y2: float) -> Box:
        """From the top-left and the bottom-right corner."""
        return cls(x1, y1, x2 - x1, y2 - y1)

    @classmethod
    def from_cxcywh(cls, cx: float, cy: float, w: float, h: float) -> Box:
        """From centre and size."""
        return cls(cx - 0.5 * w, cy - 0.5 * h, w, h)

    @property
    def xywh(self) -> tuple[float, float, float, float]:
        return (self.x, self.y, self.w, self.h)

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x, self.y, self.x + self.w, self.y + self.h)

    @property
    def cxcywh(self) -> tuple[float, float, float, float]:
        return (*self.center, self.w, self.h)

    @property
    def center(self) -> tuple[float, float]:
        return (self.x + 0.5 * self.w, self.y + 0.5 * self.h)

    @property
    def area(self) -> float:
        """w * h, or 0 where a side is not positive."""
        return max(self.w, 0.0) * max(self.h, 0.0)

    @property
    def is_valid(self) -> bool:
        """Whether all four numbers are finite and both sides positive."""
        return all(math.isfinite(v) for v in self.xywh) and self.w > 0 and self.h > 0

    def __str__(self) -> str:
        """For messages, "(x, y, w, h)"; `parse` reads it."""
        return "({:g}, {:g}, {:g}, {:g})".format(*self.xywh)

    def scaled(self, sx: float, sy: float | None = None) -> Box:
        """The same box in an image resized by sx horizontally and sy (default sx) vertically."""
        sy = sx if sy is None else sy
        return Box(self.x * sx, self.y * sy, self.w * sx, self.h * sy)

    def intersection(self, other: Box) -> float:
        """Overlapping area in square pixels."""
        ax1, ay1, ax2, ay2 = self.xyxy
        bx1, by1, bx2, by2 = other.xyxy
        return max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1; 0 where both are empty."""
        shared = self.intersection(other)
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0

    def overlaps(self, width: int, height: int) -> bool:
        """Whether any part of the box lies in a width x height image."""
        return self.intersection(Box(0, 0, width, height)) > 0

    def clipped(self, width: int, height: int, margin: float = 0.0) -> Box:
        """The box cut to a width x height image, keeping at least `margin` pixels inside and per side.

        With margin 10 this is the rule of the published loops (fact sheets of FERMT, SMAT and MVT, "clip"; HiT, section
        7): a box that left the image is moved to its border, and no side is shorter than the margin.
        """
        x1, y1, x2, y2 = self.xyxy
        x1, x2 = min(max(0.0, x1), width - margin), min(max(margin, x2), width)
        y1, y2 = min(max(0.0, y1), height - margin), min(max(margin, y2), height)
        return Box(x1, y1, max(margin, x2 - x1), max(margin, y2 - y1))


BoxLike: TypeAlias = Box | Sequence[float] | npt.NDArray[Any]
"""What functions accept as a box: a `Box`, or x, y, w, h in pixels."""


def require_trackable(value: BoxLike, width: int, height: int) -> Box:
    """The value as a `Box`. Raises UserError unless it is finite, of positive size and overlaps the image.

    A box in fractions of the image is refused too.
    """
    box = Box.of(value)
    if not box.is_valid:
        raise UserError(f"box {box} cannot be tracked: give finite numbers x,y,w,h with positive width and height")
    if max(abs(v) for v in box.xywh) <= 1 and not all(float(v).is_integer() for v in box.xywh):
        pixels = ",".join(f"{v:.0f}" for v in box.scaled(width, height).xywh)
        raise UserError(
            f"box {box} is less than one pixel in size: boxes are in pixels;"
            f" if these are fractions of the {width}x{height} frame, give {pixels}"
        )
    if not box.overlaps(width, height):
        raise UserError(f"box {box} lies outside the {width}x{height} frame: give a box that overlaps it")
    return box


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
