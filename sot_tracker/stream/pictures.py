"""Picture files: which files are pictures, their natural order, and reading one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.natural import natural
from sot_tracker.stream.encodings import Encoding, FrameError, Pixels, decode_pixels, to_bgr
from sot_tracker.stream.range16 import Range16
from sot_tracker.tracker import Image

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def read_picture(path: Path, range16: Range16 | None = None, upright: bool = False) -> Image:
    """H x W x 3 BGR uint8. Raises UserError, naming the file, if it cannot be read or decoded.

    range16: scales 16-bit pictures, one object for all pictures of a stream; by default each picture by itself.
    upright: rotate the picture by its EXIF orientation. (Boxes of data sets refer to the pixels as they are stored.)
    """
    pixels = _pixels(path, upright)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return to_bgr(pixels, Encoding(channels), range16 or Range16())


def is_turned(path: Path) -> bool:
    """Whether the picture has an EXIF orientation that changes it."""
    return not np.array_equal(_pixels(path, upright=False), _pixels(path, upright=True))


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted so that "2.jpg" comes before "10.jpg"."""
    return sorted(paths, key=lambda path: (natural(path.stem), path.name))


def _pixels(path: Path, upright: bool) -> Pixels:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"picture '{path}' cannot be read: {error.strerror}") from None
    try:
        return decode_pixels(data, upright)
    except FrameError as error:
        raise UserError(f"picture '{path}' {error}") from None
