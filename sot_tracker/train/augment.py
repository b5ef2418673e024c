"""Augmentation of patches by light, lens and sensor. Patches are S x S x 3 uint8; every function returns a new one or
the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

LEVELS = np.arange(256, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Photometry:
    """Probabilities and ranges; the default is the published recipe (grey 0.05 jointly, brightness 0.8 to 1.2 per
    crop).
    """

    grey: float = 0.05
    brightness: float = 0.2
    color: float = 0.0  # largest change of gain per channel
    gamma: float = 0.0  # largest change of the exponent's logarithm
    blur: float = 0.0  # probability
    motion: float = 0.0  # probability
    noise: float = 0.0  # probability
    low_resolution: float = 0.0  # probability


def light(patch: np.ndarray, how: Photometry, rng: np.random.Generator) -> np.ndarray:
    """Brightness, tint and gamma, in one table per channel."""
    gain = 1 + how.brightness * rng.uniform(-1, 1) + how.color * rng.uniform(-1, 1, 3)
    gamma = np.exp(how.gamma * rng.uniform(-1, 1))
    table = np.clip((LEVELS[:, None] / 255) ** gamma * gain * 255 + 0.5, 0, 255).astype(np.uint8)
    return cv2.LUT(patch, table[:, None, :])


def grey(patch: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(patch, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def optics(patch: np.ndarray, how: Photometry, rng: np.random.Generator) -> np.ndarray:
    """Defocus, motion blur, low resolution and sensor noise."""
    size = patch.shape[0]
    if rng.random() < how.blur:
        patch = cv2.GaussianBlur(patch, (0, 0), rng.uniform(0.5, 2.0) * size / 256)
    if rng.random() < how.motion:
        patch = motion_blur(patch, rng.uniform(3, 16) * size / 256, rng.uniform(0, np.pi))
    if rng.random() < how.low_resolution:
        small = cv2.resize(patch, None, fx=(f := rng.uniform(0.3, 0.8)), fy=f, interpolation=cv2.INTER_AREA)
        patch = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < how.noise:
        grain = _grain()
        y, x = rng.integers(0, grain.shape[0] - size, 2)
        amount = rng.uniform(2, 14)
        patch = cv2.addWeighted(patch, 1, grain[y : y + size, x : x + size], amount, 0, dtype=cv2.CV_8U)
    return patch


def motion_blur(patch: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Smeared along a line of `length` pixels at `angle` radians."""
    side = max(3, int(np.ceil(length)) | 1)
    kernel = np.zeros((side, side), np.float32)
    reach = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    middle = np.full(2, side // 2)
    start, end = (tuple(int(v) for v in np.round(middle + sign * reach)) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return cv2.filter2D(patch, -1, kernel / kernel.sum())


@cache
def _grain() -> np.ndarray:
    """One field of unit noise, read at random places: drawing fresh noise would cost more than all else here."""
    return np.random.default_rng(0).standard_normal((640, 640, 3)).astype(np.float32)
