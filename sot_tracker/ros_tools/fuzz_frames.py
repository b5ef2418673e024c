"""Random image messages for `fuzz`: good ones of every encoding, and damaged ones."""

from __future__ import annotations

import random
from array import array
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from sot_tracker.stream.encodings import ENCODINGS

SIZES = ((160, 120), (64, 48), (33, 17), (320, 240))
"""Width and height; the first is the most frequent."""
SUFFIXES = (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm", ".pgm")
FORMATS = (
    "jpeg",
    "png",
    "bgr8; jpeg compressed bgr8",
    "mono16; png compressed ",
    "bayer_rggb8; png compressed ",
    "h264",
    "",
)
SIDE = 28


class FrameMaker:
    """Pictures of a textured square that moves over a textured ground, as messages of the type chosen last."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        noise = np.random.default_rng(rng.randrange(2**32))
        self._ground = cv2.resize(noise.integers(0, 90, (60, 80, 3), np.uint8), (320, 240))
        self._target = cv2.resize(noise.integers(0, 256, (7, 7, 3), np.uint8), (SIDE, SIDE))
        self._count = 0
        self._encoded: dict[tuple[Any, ...], bytes] = {}
        self._size = SIZES[0]
        self._type: Any = Image

    def choose_type(self) -> Any:
        """Image or CompressedImage, for the messages from now on; most often the first."""
        self._type = self._rng.choices((Image, CompressedImage), (2, 1))[0]
        return self._type

    def message(self) -> Any:
        """Without a header. About a third are damaged."""
        if self._rng.random() < 0.02:
            self._size = self._rng.choices(SIZES, (5, 1, 1, 1))[0]
        self._count += 1
        make = self._raw if self._type is Image else self._compressed
        return make(self._picture(), self._rng.random() < 0.3)

    def _picture(self) -> Any:
        width, height = self._size
        picture = self._ground[:height, :width].copy()
        if width > 100 and self._count % 60 < 50:  # hidden for a sixth of the time
            x = 20 + abs(2 * self._count % 160 - 80)
            picture[40 : 40 + SIDE, x : x + SIDE] = self._target
        return picture

    def _raw(self, picture: Any, damaged: bool) -> Image:
        rng = self._rng
        height, width = picture.shape[:2]
        message = Image(encoding="bgr8", height=height, width=width, step=3 * width, data=array("B", picture.tobytes()))
        if rng.random() < 0.4:
            name, encoding = rng.choice(list(ENCODINGS.items()))
            up, down = encoding.planes
            message.encoding, message.step = name, width * encoding.channels * encoding.bits // 8
            message.data = array("B", rng.randbytes(message.step * (height * up // down)))
        if damaged:
            huge = (0, 1, 7, 2**16, 2**31, 2**32 - 1)
            field, values = rng.choice(
                (
                    ("encoding", ("", "32FC1", "no such", "BGR8", "bgr8\n", "x" * 5000, "nv12")),
                    ("height", huge),
                    ("width", huge),
                    ("step", huge),
                    ("is_bigendian", (1, 255)),
                    ("data", (array("B"), array("B", b"x"), message.data[: len(message.data) // 2])),
                )
            )
            setattr(message, field, rng.choice(values))
        return message

    def _compressed(self, picture: Any, damaged: bool) -> CompressedImage:
        rng = self._rng
        suffix = rng.choices(SUFFIXES, (6, 3, 1, 1, 1, 1, 1))[0]
        grey = suffix == ".pgm" or (suffix != ".ppm" and rng.random() < 0.1)
        deep = suffix == ".png" and rng.random() < 0.2
        key = (picture.shape, suffix, grey, deep, self._count % 4)
        if key not in self._encoded:  # encoding takes longer than all else
            picture = picture[:, :, 0] if grey else picture
            picture = picture.astype(np.uint16) * 200 if deep else picture
            self._encoded[key] = cv2.imencode(suffix, picture)[1].tobytes()
        data = bytearray(self._encoded[key])
        if damaged:
            kind = rng.randrange(4)
            if kind == 0:
                del data[rng.randrange(len(data)) :]
            elif kind == 1:
                data[:] = rng.randbytes(rng.randrange(200))
            else:
                for _ in range(rng.randint(1, 8)):  # mostly in the header
                    data[rng.randrange(len(data) if kind == 2 else min(64, len(data)))] ^= 1 << rng.randrange(8)
        return CompressedImage(format=rng.choice(FORMATS), data=array("B", bytes(data)))
