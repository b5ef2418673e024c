"""Smooth random movement, sampled once per frame and interpolated between frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MARGIN = 1
"""Samples of a track before the first and after the last frame, since the shutter opens before and closes after
them."""


def frame_times(frames: int) -> Array:
    """-1, 0, ..., frames: the moments at which tracks are sampled."""
    return np.arange(-MARGIN, frames + MARGIN, dtype=np.float64)


def smooth_noise(rng: np.random.Generator, times: Array, period: float, columns: int = 1) -> Array:
    """len(times) x columns, about -1..1: Catmull-Rom interpolation of one random value per `period` frames."""
    position = (times - times[0]) / period + rng.uniform(0, 1)
    knots = rng.uniform(-1, 1, (int(position[-1]) + 4, columns))
    index = position.astype(int)
    f = (position - index)[:, None]
    p0, p1, p2, p3 = (knots[index + k] for k in range(4))
    curve = 2 * p1 + (p2 - p0) * f + (2 * p0 - 5 * p1 + 4 * p2 - p3) * f**2 + (3 * p1 - p0 - 3 * p2 + p3) * f**3
    return np.asarray(0.5 * curve)


def smooth_step(x: Array) -> Array:
    """0 below 0, 1 above 1, and a smooth cubic between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def bump(times: Array, at: float, width: float) -> Array:
    """A Gaussian: 1 at `at`, falling to 0 within about two widths on both sides."""
    return np.exp(-(((times - at) / width) ** 2))


def linear(scale: Array, angle: Array, aspect: Array, shear: Array) -> Array:
    """n x 2 x 2 matrices: scale times rotation (radians) times stretch (natural log), shear; determinant scale^2."""
    c, s, a = np.cos(angle), np.sin(angle), np.exp(aspect / 2)
    rotation = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    zero = np.zeros_like(a)
    stretch = np.stack([np.stack([a, shear / a], -1), np.stack([zero, 1 / a], -1)], -2)
    return np.asarray(scale[:, None, None] * (rotation @ stretch))


@dataclass(frozen=True)
class Track:
    """The positions of an object: centers (n x 2, pixels) and linear maps (n x 2 x 2) at `frame_times`."""

    centers: Array
    linears: Array

    def matrix(self, time: float, anchor: Array) -> Array:
        """The 3 x 3 map at that moment. It maps the picture's point `anchor` to the center."""
        low = min(max(int(np.floor(time)) + MARGIN, 0), len(self.centers) - 2)
        f = time + MARGIN - low
        center = (1 - f) * self.centers[low] + f * self.centers[low + 1]
        turn = (1 - f) * self.linears[low] + f * self.linears[low + 1]
        matrix = np.eye(3)
        matrix[:2, :2] = turn
        matrix[:2, 2] = center - turn @ anchor
        return matrix
