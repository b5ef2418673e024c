"""In which direction a target lies, as the two angles that a controller corrects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.stream.control import Camera, direction


@dataclass(frozen=True, slots=True)
class Direction:
    """Where something is, seen from the camera: yaw to the right and pitch down from the optical axis, radians."""

    yaw: float
    pitch: float

    @classmethod
    def of_ray(cls, x: float, y: float, z: float) -> Direction:
        """Of a vector in the camera's optical frame (x right, y down, z forward), of any length but 0.

        Raises UserError for one that is none.
        """
        if not all(map(math.isfinite, (x, y, z))) or x == y == z == 0:
            raise UserError(f"({x:g}, {y:g}, {z:g}) is no direction: give finite numbers, not all 0")
        return cls(math.atan2(x, z), math.atan2(y, math.hypot(x, z)))

    @classmethod
    def of_point(cls, camera: Camera, point: tuple[float, float]) -> Direction | None:
        """Of a point in the picture, pixels as in `box.py`; None where the lens model cannot tell."""
        ray = direction(camera, point)
        return None if ray is None else cls.of_ray(*ray)


def camera_of_fov(width: int, height: int, degrees: float) -> Camera:
    """Without distortion, its axis in the middle of the picture. degrees: horizontal field of view."""
    focal = 0.5 * width / math.tan(math.radians(degrees) / 2)
    matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    return Camera(matrix, np.zeros(4), size=(width, height))
