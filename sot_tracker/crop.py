"""Square RGB patches around a box, and the conversion of boxes in a patch back to frame pixels.

Two published conventions:

- **black** (`crop_black`): FERMT section 7, HiT section 2, SMAT and MVT section 2 of the fact sheets. The square is
  padded with zeros, then resized.
- **average** (`crop_average`): HCAT section 6. The part inside the frame is resized, then padded with the channel
  average of the first frame.

Only the part of the frame under the square is read. It is not copied if it is completely inside the frame.
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
"""size x size x 3, RGB, contiguous: uint8, or float32 for HCAT's exact padding."""

Average = tuple[float, float, float]
"""Grey levels of a whole frame: red, green, blue."""

# Up to this side, the padded square is allocated and resized as published, bit for bit. A larger square is nearly all
# padding, and allocating it would cost milliseconds. Then only the pixels in the frame are sampled, exact to one level.
_MAX_CANVAS = 2304
_MAX_SIDE = 2**30


@dataclass(frozen=True, slots=True)
class Crop:
    """A patch and where it was taken.

    patch: size x size x 3, RGB, contiguous, uint8 (float32 if requested from `crop_average`).
    corner: column and row of the frame at which the square begins; may be outside of the frame.
    side: side of the square in frame pixels.
    center: exact centre (x, y) of the box, pixels. All published loops map boxes back from here, ignoring that `corner`
        was rounded. This error of up to half a pixel is part of the method.
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

    If the square reaches the frame's last column or row, that column or row is not used: the published padding is one
    pixel too wide there, and networks were trained with it. A square outside of the frame is all black.
    Raises UserError if the box has no area or is too large.
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
    """The square around the box with context, size x size: the part inside the frame is resized, then padded.

    average: padding colour, the RGB channel means of the first frame (`channel_average`).
    dtype: uint8 rounds the padding; float32 keeps it unrounded, as HCAT was published.
    The width of each padding strip is rounded separately (half to even). With padding on both sides of an axis, one
    column or row can stay black, as published. A square outside of the frame is all padding.
    Raises UserError if the box has no area or is too large.
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
    """The pixels in a memory layout that OpenCV can read, and whether their order is RGB.

    A view with reversed channels (an RGB message as BGR) is reversed back instead of copied.
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
    """A side x side square, zero except for `inside` at `offset` (x, y), resized bilinearly to size x size."""
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
    """As `_resize_black`, without allocating the square: only patch pixels that overlap `inside` are interpolated."""
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
    """Bilinear interpolation along one axis of the patch, for `length` pixels at `offset` of a square of `side` pixels.

    Returns the first patch pixel that overlaps them; and for each overlapping patch pixel the two source pixels,
    counted from `offset`, and their weights, 0 for padding.
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
