"""From a pixel to the direction in which it lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sot_tracker.errors import UserError

MODELS = {"": (0, 4, 5, 8, 12, 14), "plumb_bob": (0, 4, 5), "rational_polynomial": (0, 8, 12, 14), "equidistant": (4,)}
"""Distortion models of sensor_msgs/CameraInfo that are understood -> how many coefficients they have."""


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


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. matrix: fx, fy, cx, cy in pixels, with a pixel's centre at whole numbers as in OpenCV."""

    width: int
    height: int
    matrix: tuple[float, float, float, float]
    distortion: tuple[float, ...] = ()
    model: str = ""

    @classmethod
    def of_fov(cls, width: int, height: int, degrees: float) -> Camera:
        """Without distortion, its axis in the middle. degrees: horizontal field of view."""
        focal = 0.5 * width / math.tan(math.radians(degrees) / 2)
        return cls(width, height, (focal, focal, (width - 1) / 2, (height - 1) / 2))

    @classmethod
    def of_info(cls, width: int, height: int, k: Sequence[float], d: Sequence[float], model: str) -> Camera:
        """From a CameraInfo's size, 3 x 3 matrix by rows and distortion.

        Raises UserError for one that does not describe a camera, such as the zeros of an uncalibrated one.
        """
        matrix = (k[0], k[4], k[2], k[5])
        if not (all(map(math.isfinite, (*matrix, *d))) and k[0] > 0 and k[4] > 0):
            raise UserError("camera_info has no calibration (K is zero or not finite)")
        if len(d) not in MODELS.get(model, ()):
            known = ", ".join(name for name in MODELS if name)
            raise UserError(f"camera_info has distortion '{model[:40]}' with {len(d)} numbers: known are {known}")
        return cls(width, height, matrix, tuple(map(float, d)), model)

    def direction(self, x: float, y: float) -> Direction:
        """Of a point in the picture, pixels from the outer corner of the first pixel (`box.py`)."""
        fx, fy, cx, cy = self.matrix
        point = np.array([[[x - 0.5, y - 0.5]]])
        if any(self.distortion):
            matrix, numbers = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), np.array(self.distortion)
            undistort = cv2.fisheye.undistortPoints if self.model == "equidistant" else cv2.undistortPoints
            u, v = np.asarray(undistort(point, matrix, numbers)).ravel().tolist()
        else:
            u, v = (x - 0.5 - cx) / fx, (y - 0.5 - cy) / fy
        return Direction.of_ray(u, v, 1.0)
