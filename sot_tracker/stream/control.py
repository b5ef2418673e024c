"""What a controller needs to know about a target: its predicted box, its direction, and the direction's rate of turn.

Vectors are in the camera's optical frame (REP 103): x to the right, y down, z forward. All functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.tracker import seconds_between

Array = npt.NDArray[np.float64]

MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""Distortion model of sensor_msgs/CameraInfo -> possible numbers of coefficients."""
SETTLING_S = 0.1
"""Time constant of the velocity's low-pass filter, seconds: after it, a new velocity has replaced 63 % of the old
one."""
FORGET_S = 0.5
"""Seconds without a box after which the velocity is forgotten."""
MAX_PREDICTION_S = 1.0
"""Longest prediction, seconds. An older frame has a stamp of another clock, or is of no use to a controller."""
MAX_STRETCH = 0.03
"""Largest difference of two aspect ratios, as a share, for which a picture counts as scaled and not as cropped."""
_MAX_ERROR = 0.5  # pixels: a direction whose projection is farther from its point is not used


@dataclass(frozen=True, slots=True)
class Readout:
    """Which pixels of the sensor the pictures contain: size, roi and binning of a sensor_msgs/CameraInfo.

    size: width and height of the sensor, (0, 0) where unknown. roi: x, y, width and height of the part that is read,
        pixels of the sensor; with a width or height of 0 the whole sensor.
    binning: sensor pixels per picture pixel, in x and in y; 0 means 1.
    """

    size: tuple[int, int] = (0, 0)
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)
    binning: tuple[int, int] = (0, 0)

    @property
    def origin(self) -> tuple[int, int]:
        """x and y on the sensor of the pictures' first pixel."""
        return self.roi[:2] if all(self.roi[2:]) else (0, 0)

    @property
    def read(self) -> tuple[int, int]:
        """Width and height of the part that is read, pixels of the sensor."""
        return self.roi[2:] if all(self.roi[2:]) else self.size

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of the pictures."""
        return self.read[0] // max(self.binning[0], 1), self.read[1] // max(self.binning[1], 1)


@dataclass(frozen=True, eq=False)
class Camera:
    """A calibrated camera.

    matrix: 3 x 3, pixels. distortion: coefficients in OpenCV's order. is_fisheye: the model is "equidistant".
    size: width and height of the pictures that the matrix is for, (0, 0) where unknown.
    """

    matrix: Array
    distortion: Array
    is_fisheye: bool = False
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Motion:
    """The motion of a target. velocity: of the box's centre, pixels per second. direction: unit vector in the last
    frame, None where it is not known. rate: angular velocity of the direction about the three axes, rad/s.
    """

    stamp_ns: int
    box: Box
    velocity: tuple[float, float] = (0.0, 0.0)
    direction: tuple[float, float, float] | None = None
    rate: tuple[float, float, float] = (0.0, 0.0, 0.0)


def camera(model: str, matrix: Sequence[float], distortion: Sequence[float], readout: Readout) -> Camera:
    """The camera described by a sensor_msgs/CameraInfo. matrix: of the whole sensor, 9 numbers, by row.

    Raises UserError for a camera that was not calibrated, an unknown model, coefficients that do not fit it, and a roi
    or binning that the sensor cannot have.
    """
    k, d = np.array(matrix, np.float64), np.array(distortion, np.float64)
    if k.size != 9 or not np.isfinite(k).all() or k[0] <= 0 or k[4] <= 0:
        raise UserError("the camera matrix has no focal lengths above 0: the camera is not calibrated")
    if model and model not in MODELS:
        raise UserError(f"distortion model {model[:40]!r} is not known: it can be {', '.join(MODELS)}")
    if d.size and d.size not in MODELS[model or "plumb_bob"]:
        raise UserError(f"{d.size} distortion coefficients do not fit the model {model or 'plumb_bob'!r}")
    if not np.isfinite(d).all():
        raise UserError("the distortion coefficients are not all finite: calibrate the camera again")
    _require_possible(readout)
    is_fisheye = model == "equidistant"
    k[2], k[5] = k[2] - readout.origin[0], k[5] - readout.origin[1]
    part = Camera(k.reshape(3, 3), d if d.size else np.zeros(4), is_fisheye, readout.read)
    return fitted(part, *readout.picture_size)


def _require_possible(readout: Readout) -> None:
    (width, height), (x, y, w, h) = readout.size, (*readout.origin, *readout.read)
    if (width and x + w > width) or (height and y + h > height):
        raise UserError(f"the roi, {w}x{h} at ({x}, {y}), is not within the sensor of {width}x{height}")
    if all(readout.size) and not all(readout.picture_size):
        raise UserError(f"binning {readout.binning[0]}x{readout.binning[1]} leaves no pixel of {w}x{h}")


def fitted(of: Camera, width: int, height: int) -> Camera:
    """The camera for pictures of another size than it was calibrated for (binning, a smaller stream)."""
    if of.size in ((0, 0), (width, height)) or not all(of.size):
        return of
    scale = np.diag([width / of.size[0], height / of.size[1], 1.0])
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # ROS counts from the centre of the first pixel
    matrix = np.linalg.inv(shift) @ scale @ shift @ of.matrix
    return Camera(matrix, of.distortion, of.is_fisheye, (width, height))


def for_pictures(of: Camera, width: int, height: int) -> Camera:
    """The camera for pictures of this size. Raises UserError if their aspect ratio is another than the camera's.

    Such pictures are cropped or rotated, and where a pixel of theirs was on the sensor is not known.
    """
    if all(of.size) and abs(width * of.size[1] / (height * of.size[0]) - 1) > MAX_STRETCH:
        described = "{}x{}".format(*of.size)
        raise UserError(
            f"it describes pictures of {described}, but they are {width}x{height}, which is another aspect ratio: "
            "if they are cropped, the camera driver must say so in roi"
        )
    return fitted(of, width, height)


def direction(of: Camera, point: tuple[float, float]) -> tuple[float, float, float] | None:
    """Unit vector towards a point of the picture (pixels, (0, 0) at the corner of the first pixel), undistorted.

    None where the lens model cannot be inverted, as in far corners.
    """
    pixel = np.array([[point]], np.float64) - 0.5
    undistort = cv2.fisheye.undistortPoints if of.is_fisheye else cv2.undistortPoints
    x, y = np.asarray(undistort(pixel, of.matrix, of.distortion), np.float64).ravel()
    if not (math.isfinite(x) and math.isfinite(y)) or _error(of, (x, y), pixel) > _MAX_ERROR:
        return None
    length = math.sqrt(x * x + y * y + 1)
    return x / length, y / length, 1 / length


def _error(of: Camera, point: tuple[float, float], pixel: Array) -> float:
    """Distance in pixels between the projection of a normalised point and `pixel`."""
    if of.is_fisheye:
        back = cv2.fisheye.distortPoints(np.array([[point]], np.float64), of.matrix, of.distortion)
    else:
        back = cv2.projectPoints(np.array([[*point, 1.0]]), np.zeros(3), np.zeros(3), of.matrix, of.distortion)[0]
    distance = float(np.hypot(*(np.asarray(back, np.float64).ravel() - pixel.ravel())))
    return distance if math.isfinite(distance) else math.inf


def rate_between(
    before: tuple[float, float, float], after: tuple[float, float, float], seconds: float
) -> tuple[float, float, float]:
    """Angular velocity, rad/s, of the shortest rotation that turns one unit vector into the other in that time."""
    axis = np.cross(before, after)
    sine, cosine = float(np.linalg.norm(axis)), float(np.dot(before, after))
    if sine < 1e-12 or seconds <= 0:
        return 0.0, 0.0, 0.0
    x, y, z = (axis / sine * math.atan2(sine, cosine) / seconds).tolist()
    return x, y, z


def updated(last: Motion | None, stamp_ns: int, box: Box, toward: tuple[float, float, float] | None) -> Motion:
    """The motion after a new box. stamp_ns: of its frame. toward: its direction, None where it is not known.

    After a gap of more than `FORGET_S` seconds, or if the stamps jump back, the velocity starts from 0 again.
    """
    dt = seconds_between(last.stamp_ns, stamp_ns) if last is not None else None
    if last is None or dt is None or dt > FORGET_S:
        return Motion(stamp_ns, box, direction=toward)
    if dt == 0:
        return Motion(stamp_ns, box, last.velocity, toward, last.rate)
    share = 1 - math.exp(-dt / SETTLING_S)
    shift = [(now - then) / dt for now, then in zip(box.center, last.box.center, strict=True)]
    x, y = (old + share * (new - old) for old, new in zip(last.velocity, shift, strict=True))
    rate = (0.0, 0.0, 0.0)
    if toward is not None and last.direction is not None:
        turn = rate_between(last.direction, toward, dt)
        a, b, c = (old + share * (new - old) for old, new in zip(last.rate, turn, strict=True))
        rate = (a, b, c)
    return Motion(stamp_ns, box, (x, y), toward, rate)


def predicted(motion: Motion, now_ns: int) -> Box | None:
    """Where the box is at that time, at constant velocity; None for a time before its frame or long after it."""
    dt = seconds_between(motion.stamp_ns, now_ns)
    if dt is None or dt > MAX_PREDICTION_S:
        return None
    (x, y), (vx, vy) = motion.box.center, motion.velocity
    return Box.from_cxcywh(x + vx * dt, y + vy * dt, motion.box.w, motion.box.h)
