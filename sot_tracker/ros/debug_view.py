"""The node's `debug_image`: what `draw.py` shows, on a picture that is shrunk first and drawn on then."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sot_tracker.stream.draw import draw_estimate, draw_text
from sot_tracker.tracker import Estimate, Image


def picture(image: Image, estimate: Estimate | None, name: str, max_width: int) -> NDArray[np.uint8]:
    """A new BGR picture at most `max_width` wide, with the box and a line of text; without a target the text alone."""
    scale = min(1.0, max_width / image.shape[1])
    if scale < 1:
        size = (max_width, max(1, round(image.shape[0] * scale)))
        image = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if estimate is None:
        return draw_text(image, f"{name}  no target")
    return draw_estimate(image, replace(estimate, box=estimate.box.scaled(scale)), name)


def fill(message: Any, image: NDArray[np.uint8]) -> Any:
    """Put a contiguous BGR picture into a sensor_msgs/Image, the one way that is fast on every distro."""
    message.height, message.width = image.shape[:2]
    message.encoding, message.is_bigendian, message.step = "bgr8", 0, image.shape[1] * 3
    data = array("B")
    data.frombytes(image.data)
    message.data = data
    return message
