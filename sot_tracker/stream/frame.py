"""ROS image messages -> BGR arrays, viewed in place where the layout allows, converted by OpenCV otherwise.

Nothing here imports rclpy: messages are read by their fields.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.errors import UserError
from sot_tracker.tracker import Image

Bytes = npt.NDArray[np.uint8]

CHANNELS: Final = {
    "bgr8": 3,
    "rgb8": 3,
    "bgra8": 4,
    "rgba8": 4,
    "mono8": 1,
    "8UC1": 1,
    "8UC3": 3,
    "8UC4": 4,
}
_RGB: Final = ("rgb8", "rgba8")
_MONO16: Final = ("mono16", "16UC1")
# Encoding -> bytes per pixel in a row, rows of data per image row (as a fraction), conversion.
_CONVERTED: Final[dict[str, tuple[int, tuple[int, int], int]]] = {
    "yuv422": (2, (1, 1), cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": (2, (1, 1), cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": (2, (1, 1), cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": (2, (1, 1), cv2.COLOR_YUV2BGR_YUY2),
    "nv12": (1, (3, 2), cv2.COLOR_YUV2BGR_NV12),
    "nv21": (1, (3, 2), cv2.COLOR_YUV2BGR_NV21),
    # OpenCV names a Bayer pattern by its second row's second and third pixel: ROS's RGGB is OpenCV's BG.
    "bayer_rggb8": (1, (1, 1), cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": (1, (1, 1), cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": (1, (1, 1), cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": (1, (1, 1), cv2.COLOR_BayerGB2BGR),
}
ENCODINGS: Final = (*CHANNELS, *_MONO16, *_CONVERTED)
"""What is read without cv_bridge."""


class FrameError(UserError):
    """A frame that cannot be used. `kind` is the same for all frames refused for one reason, which is told once."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def stamp_of(header: Any) -> int:
    """Nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


class Frame:
    """One image message and, once somebody asked for it, its picture.

    stamp: nanoseconds of header.stamp; 0 where the driver sets none.
    """

    def __init__(self, message: Any, picture: Callable[[], Image]) -> None:
        self.message = message
        self.stamp: int = stamp_of(message.header)
        self._picture = picture
        self._image: Image | None = None

    @classmethod
    def raw(cls, message: Any) -> Frame:
        """From a sensor_msgs/Image; raises FrameError at once if its fields do not fit together."""
        return cls(message, prepare_image(message))

    @classmethod
    def compressed(cls, message: Any) -> Frame:
        """From a sensor_msgs/CompressedImage; damage shows when the image is asked for."""
        return cls(message, partial(decode_compressed, message))

    @property
    def image(self) -> Image:
        """H x W x 3 BGR, read-only, decoded on first use. Raises FrameError."""
        if self._image is None:
            self._image = self._picture()
        return self._image


def prepare_image(message: Any) -> Callable[[], Image]:
    """Check a sensor_msgs/Image and say how to get H x W x 3 BGR from it.

    Packed colour, grey and 16 bit grey (its high byte) become views of the message's data, the other listed encodings
    are converted when the result is called. Raises FrameError for an empty image, data that is too short for its size,
    or an encoding nobody here can read.
    """
    encoding, height, width = message.encoding, message.height, message.width
    if height == 0 or width == 0:
        raise FrameError("empty", f"frame is empty ({width}x{height}): check the camera driver")
    if encoding in CHANNELS:
        channels = CHANNELS[encoding]
        return partial(_bgr, _rows(message, height, width * channels).reshape(height, width, channels), encoding)
    if encoding in _MONO16:
        pairs = _rows(message, height, 2 * width).reshape(height, width, 2)
        return partial(_bgr, pairs[:, :, 0 if message.is_bigendian else 1, None], encoding)
    if encoding in _CONVERTED:
        return _conversion(message)
    if not cv_bridge_works():
        raise FrameError(
            "encoding",
            f"encoding '{encoding}' is unknown: publish one of {', '.join(ENCODINGS)}, "
            "or install a cv_bridge that works with this NumPy",
        )
    return partial(_through_cv_bridge, message)


def decode_image(message: Any) -> Image:
    """A sensor_msgs/Image as H x W x 3 BGR, read-only. Raises FrameError; see `prepare_image`."""
    return prepare_image(message)()


def decode_compressed(message: Any) -> Image:
    """A sensor_msgs/CompressedImage (JPEG, PNG) as H x W x 3 BGR. Raises FrameError if it cannot be decoded."""
    data = np.frombuffer(message.data, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise FrameError(
            "compressed",
            f"compressed frame of {data.size} bytes, format '{message.format}', cannot be decoded: send JPEG or PNG",
        )
    return _read_only(image)


def _rows(message: Any, rows: int, row_bytes: int) -> Bytes:
    """The message's data as rows x row_bytes, step padding cut away, without a copy."""
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


def _conversion(message: Any) -> Callable[[], Image]:
    encoding, height, width = message.encoding, message.height, message.width
    size, (numerator, denominator), code = _CONVERTED[encoding]
    if height % denominator or (width % 2 and not encoding.startswith("bayer")):
        raise FrameError("size", f"a {encoding} frame cannot be {width}x{height}: its sides must be even")
    rows = _rows(message, height * numerator // denominator, width * size)
    planes = rows.reshape(height, width, 2) if size == 2 else rows
    return lambda: _read_only(cv2.cvtColor(planes, code))


def _bgr(pixels: Bytes, encoding: str) -> Image:
    """H x W x {1, 3, 4} -> H x W x 3 BGR by strides alone."""
    if pixels.shape[2] == 1:
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return _read_only(pixels[:, :, 2::-1] if encoding in _RGB else pixels[:, :, :3])


def _read_only(image: Any) -> Image:
    image.flags.writeable = False
    return image  # type: ignore[no-any-return]


def _through_cv_bridge(message: Any) -> Image:
    from cv_bridge import CvBridge, CvBridgeError

    try:
        return _read_only(np.asarray(CvBridge().imgmsg_to_cv2(message, "bgr8")))
    except (CvBridgeError, cv2.error, ValueError, TypeError, KeyError) as error:
        raise FrameError(
            "encoding", f"cv_bridge cannot turn encoding '{message.encoding}' into bgr8: {error}"
        ) from None


@cache
def cv_bridge_works() -> bool:
    """Whether cv_bridge is there and converts a pixel; asked once per process.

    Tried in a child process, because a cv_bridge built for NumPy 1 kills the interpreter under NumPy 2.
    """
    probe = (
        "import numpy as np; from cv_bridge import CvBridge; bridge = CvBridge();"
        "bridge.imgmsg_to_cv2(bridge.cv2_to_imgmsg(np.zeros((2, 2), np.uint16), 'mono16'), 'bgr8')"
    )
    try:
        return subprocess.run([sys.executable, "-c", probe], capture_output=True, timeout=30).returncode == 0
    except subprocess.TimeoutExpired:
        return False
