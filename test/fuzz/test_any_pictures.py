"""Image messages of any kind: a picture of H x W x 3 bytes, or one line."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sot_tracker.stream.encodings import ENCODINGS, compressed_picture, raw_picture
from sot_tracker.stream.range16 import Range16

from fuzzing import TEXTS, damaged, refused_in_one_line

SIDES = st.one_of(st.integers(0, 40), st.sampled_from([2**16, 2**31, 2**32 - 1]))
NAMES = st.one_of(st.sampled_from([*ENCODINGS, "32FC1", "BGR8"]), TEXTS)
GROUND = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
FILES = {
    suffix: cv2.imencode(suffix, picture)[1].tobytes()
    for suffix, picture in [
        *((suffix, GROUND) for suffix in (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm", ".sr", ".hdr")),
        (".pgm", GROUND[:, :, 0]),
        (".jpeg", GROUND[:, :, 0]),
        (".PNG", GROUND[:, :, 0].astype(np.uint16) * 257),
        (".TIFF", GROUND.astype(np.uint16) * 257),
    ]
}
LIMITS = st.sampled_from([(), (0.0, 65535.0), (100.0, 101.0)])


def require_picture(image: Any) -> None:
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.size > 0
    assert int(image.max()) <= 255, "every pixel can be read"


@st.composite
def raw_messages(draw: Any) -> Any:
    """Half of them fit together."""
    name, width, height = draw(NAMES), draw(st.integers(1, 40)), draw(st.integers(1, 40))
    encoding = ENCODINGS.get(name, ENCODINGS["bgr8"])
    up, down = encoding.planes
    step = width * encoding.channels * encoding.bits // 8 + draw(st.sampled_from([0, 0, 3]))
    data = draw(st.binary(min_size=1, max_size=8)) * (step * (height * up // down) // 4 + 1)
    fields = {"width": width, "height": height, "step": step, "is_bigendian": draw(st.integers(0, 255))}
    if draw(st.booleans()):
        fields[draw(st.sampled_from(["width", "height", "step"]))] = draw(SIDES)
        data = data[: draw(st.integers(0, len(data)))]
    return SimpleNamespace(encoding=name, data=array("B", data), **fields)


@given(raw_messages(), LIMITS)
def test_raw(message: Any, limits: tuple[float, ...]) -> None:
    with refused_in_one_line():
        require_picture(raw_picture(message, Range16(limits))())


@given(st.sampled_from(sorted(FILES)).flatmap(lambda suffix: damaged(FILES[suffix])), NAMES, TEXTS, LIMITS)
def test_compressed(data: bytes, name: str, rest: str, limits: tuple[float, ...]) -> None:
    with refused_in_one_line():
        require_picture(compressed_picture(array("B", data), f"{name}; {rest}", Range16(limits)))
