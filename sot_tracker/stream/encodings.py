"""Converts the pixels of image messages and of compressed pictures to H x W x 3 BGR uint8.

The table `ENCODINGS` lists all encodings that can be read. Nothing here imports ROS: of a message only fields are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.errors import UserError
from sot_tracker.stream.range16 import Range16
from sot_tracker.tracker import Image

Pixels = npt.NDArray[Any]
"""H x W or H x W x C, uint8 or uint16."""


class FrameError(UserError):
    """A frame that cannot be used. `kind` identifies the reason, so that each reason is reported only once."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def _nv24(planes: Pixels) -> Pixels:
    """Decode a Y plane followed by a full-resolution interleaved UV plane, with the BT.601 limited range of OpenCV's
    nv12.
    """
    height = planes.shape[0] // 3
    chroma = planes[height:].reshape(height, -1, 2)
    yuv = np.dstack([planes[:height], chroma])
    y, u, v = 1.164383, (0.0, -0.391762, 2.017232), (1.596027, -0.812968, 0.0)
    rows = [[y, b, r, -16 * y - 128 * (b + r)] for b, r in zip(reversed(u), reversed(v), strict=True)]
    return cv2.transform(yuv, np.array(rows))


@dataclass(frozen=True, slots=True)
class Encoding:
    """The memory layout of pixels.

    channels: values per pixel in one row. bits: 8 or 16 per value. rgb: whether red comes first. planes: rows of data
    per row of the picture, as a fraction. to_bgr: converts mosaics and YUV to BGR; None for packed colours and grey.
    """

    channels: int
    bits: int = 8
    rgb: bool = False
    planes: tuple[int, int] = (1, 1)
    to_bgr: Callable[[Pixels], Pixels] | None = None

    @property
    def needs_even_size(self) -> bool:
        return self.channels == 2 or self.planes == (3, 2)


def _by(code: int) -> Callable[[Pixels], Pixels]:
    return lambda pixels: cv2.cvtColor(pixels, code)


# OpenCV names a Bayer pattern by its second row's second and third pixel: ROS's RGGB is OpenCV's BG.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
_UYVY, _YUY2 = (Encoding(2, to_bgr=_by(code)) for code in (cv2.COLOR_YUV2BGR_UYVY, cv2.COLOR_YUV2BGR_YUY2))

ENCODINGS: Final[dict[str, Encoding]] = {
    **{f"{order}{bits}": Encoding(3, bits, order == "rgb") for order in ("bgr", "rgb") for bits in (8, 16)},
    **{f"{order}a{bits}": Encoding(4, bits, order == "rgb") for order in ("bgr", "rgb") for bits in (8, 16)},
    **{f"mono{bits}": Encoding(1, bits) for bits in (8, 16)},
    **{f"{bits}UC{channels}": Encoding(channels, bits) for bits in (8, 16) for channels in (1, 3, 4)},
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUY2,
    "yuyv": _YUY2,
    "nv12": Encoding(1, planes=(3, 2), to_bgr=_by(cv2.COLOR_YUV2BGR_NV12)),
    "nv21": Encoding(1, planes=(3, 2), to_bgr=_by(cv2.COLOR_YUV2BGR_NV21)),
    "nv24": Encoding(1, planes=(3, 1), to_bgr=_nv24),
    **{f"bayer_{order}{bits}": Encoding(1, bits, to_bgr=_by(_BAYER[order])) for order in _BAYER for bits in (8, 16)},
}
"""Name, as in sensor_msgs/Image.encoding -> layout."""


def raw_picture(message: Any, range16: Range16) -> Callable[[], Image]:
    """Check an image message (encoding, height, width, step, is_bigendian, data) and return a function that decodes it.

    Packed 8-bit colours and grey become views of the message's data. Raises FrameError for an empty image, data that is
    too short for its size, or an unknown encoding.
    """
    name, height, width = message.encoding, message.height, message.width
    if height == 0 or width == 0:
        raise FrameError("empty", f"frame is empty ({width}x{height}): check the camera driver")
    encoding = ENCODINGS.get(name)
    if encoding is None:
        raise FrameError("encoding", f"encoding '{name[:40]}' cannot be read: publish one of {', '.join(ENCODINGS)}")
    up, down = encoding.planes
    if encoding.needs_even_size and (height % down or width % 2):
        raise FrameError("size", f"a {name} frame cannot be {width}x{height}: its sides must be even")
    rows = _rows(message, height * up // down, width * encoding.channels * encoding.bits // 8)
    pixels = rows.view(np.dtype(">u2" if message.is_bigendian else "<u2")) if encoding.bits == 16 else rows
    if encoding.channels > 1:
        pixels = pixels.reshape(len(rows), width, encoding.channels)
    return lambda: to_bgr(pixels, encoding, range16)


def compressed_picture(data: Any, text: str, range16: Range16) -> Image:
    """A compressed picture as BGR. text: CompressedImage.format, as "jpeg" or "bayer_rggb8; png compressed ".

    The part before the semicolon is the encoding before compression: mosaics and YUV planes are sent as grey pictures.
    Raises FrameError if it cannot be decoded.
    """
    try:
        pixels = decode_pixels(data)
    except FrameError as error:
        raise FrameError(
            "compressed", f"compressed frame of {len(data)} bytes, format '{text[:40]}', {error}: send JPEG or PNG"
        ) from None
    name, _, how = text.partition(";")
    original = ENCODINGS.get(name.strip())
    if original is not None and original.to_bgr is not None and original.channels == 1 and pixels.ndim == 2:
        if original.needs_even_size and (pixels.shape[0] % 3 or pixels.shape[1] % 2):
            raise FrameError("size", f"a {name} frame cannot have {pixels.shape[0]} rows of {pixels.shape[1]}")
        return to_bgr(pixels, original, range16)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return to_bgr(pixels, Encoding(channels, rgb="compressed rgb" in how), range16)


def decode_pixels(data: Any, upright: bool = False) -> Pixels:
    """Decode a compressed picture: H x W grey or H x W x 3 BGR, uint8 or uint16.

    upright: rotate the picture by its EXIF orientation; otherwise pixels are returned as they are stored. Raises
    FrameError for anything that OpenCV cannot decode, and for float pictures. All compressed pictures are decoded here.
    """
    flags = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    raw = np.frombuffer(data, np.uint8)
    try:
        pixels = cv2.imdecode(raw, flags) if raw.size else None
    except (cv2.error, MemoryError):  # headers can claim any size
        pixels = None
    if pixels is None:
        raise FrameError("picture", "cannot be decoded: it is damaged or not a picture")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise FrameError("picture", f"cannot be used: it holds {pixels.dtype} values, and 8 or 16 bit are needed")
    return pixels


def to_bgr(pixels: Pixels, encoding: Encoding, range16: Range16) -> Image:
    """H x W x 3 BGR uint8, read-only; a view where the layout allows. Raises FrameError."""
    if pixels.dtype != np.uint8:
        pixels = np.ascontiguousarray(pixels, np.uint16)  # also makes big-endian values native
    if encoding.to_bgr is not None:
        try:
            pixels = encoding.to_bgr(pixels)
        except cv2.error:
            shape = "x".join(map(str, pixels.shape))
            raise FrameError(
                "convert", f"a picture of {shape} {pixels.dtype} values does not fit its encoding"
            ) from None
    if pixels.dtype != np.uint8:
        pixels = range16.to_8_bit(pixels)
    if pixels.ndim == 2:
        return np.broadcast_to(pixels[:, :, None], (*pixels.shape, 3))
    image = pixels[:, :, 2::-1] if encoding.rgb else pixels[:, :, :3]
    image.flags.writeable = False
    return image


def _rows(message: Any, rows: int, row_bytes: int) -> Pixels:
    """The message's data as a view of rows x row_bytes, without the padding of each step."""
    data = np.frombuffer(message.data, np.uint8)
    step = message.step or row_bytes  # some drivers leave 0 for "no padding"
    if step < row_bytes:
        raise FrameError("step", f"step {step} is shorter than a row of {row_bytes} bytes: the frame is damaged")
    needed = step * (rows - 1) + row_bytes  # the last row may come without its padding
    if data.size < needed:
        raise FrameError(
            "short",
            f"frame has {data.size} bytes of data, {message.width}x{message.height} needs {needed}: it is damaged",
        )
    return np.lib.stride_tricks.as_strided(data, (rows, row_bytes), (step, 1))
