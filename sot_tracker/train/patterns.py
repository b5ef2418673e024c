"""Generated patterns: blobs of two colours, striped, checked or halved, and smooth scenes to put them on.

Pairs of them are easy and can be won by comparing alone: several blobs stand in the search patch, and only the template
tells which one is meant. A fresh HiT learns to compare on them, which it does not on real pictures
(docs/training_runs.md).
"""

from __future__ import annotations

import cv2
import numpy as np

from sot_tracker.train.copy_paste import Cutout, outline

SIDE = 64
"""Side of a blob's picture, pixels."""
CONTRAST = 90.0
"""Least distance of a blob's two colours, grey levels."""


def cutout(rng: np.random.Generator) -> Cutout:
    """A blob with a random outline, pattern and pair of colours."""
    line = (np.arange(SIDE) - (SIDE - 1) / 2) / (SIDE / 2)  # -1..1
    x, y = np.meshgrid(line, line)
    mask = (np.hypot(x, y) < _radius(np.arctan2(y, x), rng)).astype(np.uint8) * np.uint8(255)
    picture = np.dstack([_colored(_pattern(x, y, rng), rng), mask])
    points = outline(mask)
    assert points is not None  # the radius is never 0
    return Cutout(picture, points)


def scene(size: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, size x size x 3 uint8."""
    coarse = rng.uniform(40, 215, (int(rng.integers(3, 9)),) * 2 + (3,)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def _radius(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of a closed line with waves of one to four periods, 0.5..0.95 in all directions."""
    waves = np.zeros_like(angle)
    for k in range(1, 5):
        waves += rng.uniform(-1, 1) / k * np.sin(k * angle + rng.uniform(0, 2 * np.pi))
    radius: np.ndarray = 0.725 + 0.225 * waves / max(1.0, float(np.abs(waves).max()))
    return radius


def _pattern(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which of its two colours a pixel has, bool."""
    turn = rng.uniform(0, np.pi)
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    period, kind = rng.uniform(0.3, 0.7), rng.integers(3)
    stripes, bars = np.floor(along / period), np.floor(across / period)
    first: np.ndarray = along > 0 if kind == 0 else (stripes if kind == 1 else stripes + bars) % 2 == 0
    return first


def _colored(first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    colors = np.zeros((2, 3))
    while np.linalg.norm(colors[0] - colors[1]) < CONTRAST:
        colors = rng.uniform(0, 255, (2, 3))
    picture: np.ndarray = np.where(first[..., None], colors[0], colors[1]).astype(np.uint8)
    return picture
