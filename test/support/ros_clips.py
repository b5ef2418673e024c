"""A small clip that every tracker can follow: a textured square over a textured ground."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sot_tracker.box import Box

WIDTH, HEIGHT, SIDE = 160, 120, 28


def texture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(cv2.resize(noise, (4 * noise.shape[1], 4 * noise.shape[0]))[:height, :width])


def box_at(index: int) -> Box:
    """Truth of frame `index`: two pixels to the right per frame, there and back."""
    path = abs((2 * index) % 160 - 80)
    return Box(20 + (80 - path), 40, SIDE, SIDE)


def frame(index: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """Frame `index`, BGR, contiguous."""
    image = texture(height, width, 1) // 3
    x, y = round(box_at(index).x), round(box_at(index).y)
    image[y : y + SIDE, x : x + SIDE] = texture(SIDE, SIDE, 2)
    return image
