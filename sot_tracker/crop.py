"""Square RGB patches around a box, and the way back to frame pixels.

Two published conventions:

- **black** (`crop_black`): FERMT section 7, HiT section 2, SMAT and MVT section 2 of the fact sheets. The square is
  padded with zeros, then resized.
- **average** (`crop_average`): HCAT section 6. The part inside the frame is resized, then padded with the channel
  average of the first frame.

Only the part of the frame under the square is read, and never copied when it lies wholly inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.tracker import Image

Patch = npt.NDArray[Any]
"""size x size x 3, RGB, contiguous: uint8, or float32 where HCAT's exact padding is asked for."""

Average = tuple[float, float, float]
"""Grey levels of a whole frame: red, green, blue."""

# Up to this side a padded square is built as published, bit for bit. Beyond it nearly all of the square is padding, and
# allocating that would cost milliseconds: the few pixels that count are then gathered, right to one grey level.
_MAX_CANVAS = 2304
_MAX_SIDE = 2**30


@dataclass(frozen=True, slots=True)
class Crop:
    """A patch and where it was taken.

    patch: size x size x 3, RGB, contiguous, uint8 (float32 where `crop_average` was asked for it).
    corner: column and row of the frame at which the square begins; may lie outside the frame.
    side: side of the square in frame pixels.
    center: exact centre (x, y) of the box, pixels. All published loops map back from here and ignore that `corner` was
        rounded; the error of up to half a pixel belongs to the method.
    """

    patch: Patch
    corner: tuple[int, int]
    side: int
    center: tuple[float, float]

    def to_frame(self, cx: float, cy: float, w: float, h: float) -> Box:
        """A box given by centre and size in fractions of the patch's side, in frame pixels. Sizes may be negative."""
        x, y = self.center[0] - 0.5 * self.side, self.center[1] - 0.5 * self.side
        return Box.from_cxcywh(x + cx * self.side, y + cy * self.side, w * self.side, h * self.side)


def crop_black(image: Image, box: Box, factor: float, size: int) -> Crop:
    """The square of side ceil(factor * sqrt(w * h)) around the box, zero outside the frame, resized to size x size.

    The frame's last column and row are never read once the square reaches them: the published padding is one pixel too
    wide there, and trained networks have seen it. A square that misses the frame is all black.
    Raises UserError if the box has no area or is beyond all measure.
    """
    height, width = image.shape[:2]
    side = _side(math.sqrt(abs(box.w * box.h)) * factor, box)
    # Python's round is half to even, as published.
    x1, y1 = round(box.x + 0.5 * box.w - 0.5 * side), round(box.y + 0.5 * box.h - 0.5 * side)
    left, right = max(x1, 0), width - 1 if x1 + side >= width else x1 + side
    top, bottom = max(y1, 0), height - 1 if y1 + side >= height else y1 + side
    if right <= left or bottom <= top:
        patch = np.zeros((size, size, 3), np.uint8)
    else:
        inside, is_rgb = _readable(image[top:bottom, left:right])
        patch = _to_rgb(_resize_black(inside, (left - x1, top - y1), side, size), is_rgb)
    return Crop(patch, (x1, y1), side, box.center)


def crop_average(image: Image, box: Box, factor: float, size: int, average: Average, dtype: type = np.uint8) -> Crop:
    """The square around the box with context, its inside part resized first, the rest `average`, size x size.

    average: RGB channel means of the first frame (`channel_average`).
    dtype: uint8 rounds the padding; float32 keeps it unrounded, which is what HCAT was published with.
    Each strip is rounded on its own (half to even); with padding on both sides of an axis a last strip that rounds to
    nothing can leave one black column or row, as published. A square that misses the frame is all average.
    Raises UserError if the box has no area or is beyond all measure.
    """
    height, width = image.shape[:2]
    context = 0.5 * (factor - 1) * (box.w + box.h)
    side = _side(math.sqrt(abs((box.w + context) * (box.h + context))), box)
    cx, cy = box.center
    x1, y1 = math.floor(cx - 0.5 * side), math.floor(cy - 0.5 * side)
    left, top = max(0, -x1), max(0, -y1)
    right, bottom = max(0, x1 + side - width), max(0, y1 + side - height)
    scale = size / side
    columns, rows = round(max(0, side - left - right) * scale), round(max(0, side - top - bottom) * scale)
    fill: Patch = np.asarray(average if dtype is np.float32 else np.rint(average), dtype)
    if columns == 0 or rows == 0:
        return Crop(np.full((size, size, 3), fill, dtype), (x1, y1), side, (cx, cy))
    inside, is_rgb = _readable(image[y1 + top : y1 + side - bottom, x1 + left : x1 + side - right])
    part = _to_rgb(_resize(inside, columns, rows), is_rgb)
    if columns == size and rows == size:
        return Crop(part.astype(dtype, copy=False), (x1, y1), side, (cx, cy))
    pads = (round(left * scale), round(top * scale), round(right * scale), round(bottom * scale))
    return Crop(_pad(part, size, pads, fill), (x1, y1), side, (cx, cy))


def channel_average(image: Image) -> Average:
    """Mean of each channel over the whole frame, RGB order, grey levels."""
    pixels, is_rgb = _readable(image)
    first, green, last, _ = cv2.mean(pixels)
    return (first, green, last) if is_rgb else (last, green, first)


def _side(length: float, box: Box) -> int:
    if not box.is_valid or length > _MAX_SIDE:
        raise UserError(f"box {box} has no usable area: give a box of the target")
    return math.ceil(length)


def _readable(part: Image) -> tuple[Image, bool]:
    """The pixels in a layout that OpenCV reads in place, and whether their order is RGB.

    A channel-reversed view (an RGB message seen as BGR) is turned back instead of copied.
    """
    if part.strides[2] == -1:
        return _readable(part[..., ::-1])[0], True
    if part.strides[1:] == (3, 1) and part.strides[0] >= 3 * part.shape[1]:
        return part, False
    copy = np.empty(part.shape, np.uint8)
    for channel in range(3):  # plane by plane: seven times faster than pixel by pixel for 4-byte pixels
        copy[..., channel] = part[..., channel]
    return copy, False


def _to_rgb(patch: Image, is_rgb: bool) -> Image:
    return patch if is_rgb else np.asarray(cv2.cvtColor(patch, cv2.COLOR_BGR2RGB), np.uint8)


def _resize(pixels: Image, width: int, height: int) -> Image:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _resize_black(inside: Image, offset: tuple[int, int], side: int, size: int) -> Image:
    """The side x side square that is zero but for `inside` at `offset` (x, y), bilinear to size x size."""
    height, width = inside.shape[:2]
    x, y = offset
    if (height, width) == (side, side):
        return _resize(inside, size, size)
    if side > _MAX_CANVAS:
        return _sample_black(inside, offset, side, size)
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[y : y + height, x : x + width] = inside
    return _resize(canvas, size, size)


def _sample_black(inside: Image, offset: tuple[int, int], side: int, size: int) -> Image:
    """`_resize_black` without the square: bilinear at the pixels that meet `inside`."""
    (y, row_pairs, row_weights), (x, column_pairs, column_weights) = (
        _taps(offset[axis], inside.shape[1 - axis], side, size) for axis in (1, 0)
    )
    rows, columns = len(row_pairs), len(column_pairs)
    corners = inside[row_pairs.ravel()].take(column_pairs.ravel(), axis=1).reshape(rows, 2, columns, 2, 3)
    row_weights, column_weights = row_weights[:, :, None, None, None], column_weights[:, :, None]
    lines = corners[:, 0] * row_weights[:, 0] + corners[:, 1] * row_weights[:, 1]
    patch = np.zeros((size, size, 3), np.uint8)
    patch[y : y + rows, x : x + columns] = np.rint(
        lines[:, :, 0] * column_weights[:, 0] + lines[:, :, 1] * column_weights[:, 1]
    )
    return patch


def _taps(offset: int, length: int, side: int, size: int) -> tuple[int, npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Where one axis of the patch meets `length` pixels that begin at `offset` of a square of `side` pixels.

    First patch pixel that does; per such pixel the two source pixels, counted from `offset`, and their weights, zero
    where the pixel is padding.
    """
    place = (np.arange(size) + 0.5) * (side / size) - 0.5 - offset
    first = np.floor(place).astype(np.intp)
    meets = np.flatnonzero((first >= -1) & (first < length))
    if len(meets) == 0:
        return 0, np.empty((0, 2), np.intp), np.empty((0, 2), np.float32)
    pairs = first[meets, None] + np.arange(2)
    upper = (place - first)[meets].astype(np.float32)
    weights = np.stack([1 - upper, upper], axis=1)
    weights[(pairs < 0) | (pairs >= length)] = 0
    return int(meets[0]), pairs.clip(0, length - 1), weights


def _pad(part: Image, size: int, pads: tuple[int, int, int, int], fill: Patch) -> Patch:
    """`part` in a size x size canvas; `pads` are left, top, right, bottom in patch pixels."""
    left, top, right, bottom = pads
    x2, y2 = left + part.shape[1], top + part.shape[0]
    canvas = np.zeros((size, size, 3), fill.dtype)
    canvas[top:y2, left:x2] = part
    if top:
        canvas[:top, left:x2] = fill
    if bottom:
        canvas[y2:, left:x2] = fill
    if left:
        canvas[:, :left] = fill
    if right:
        canvas[:, x2:] = fill
    return canvas
