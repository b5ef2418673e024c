"""Directions, rates and predictions for a controller, against projections made the other way round."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream import control

K = (500.0, 0.0, 319.5, 0.0, 510.0, 239.5, 0.0, 0.0, 1.0)
LENSES = {
    "none": ("", ()),
    "plumb_bob": ("plumb_bob", (-0.28, 0.09, 0.001, -0.0005, -0.01)),
    "rational_polynomial": ("rational_polynomial", (0.3, -0.1, 0.0005, 0.0002, 0.02, 0.6, -0.05, 0.01)),
    "equidistant": ("equidistant", (0.02, -0.01, 0.003, -0.001)),
}
SECOND = 1_000_000_000
VGA = control.Readout((640, 480))


def project(camera: control.Camera, vector: np.ndarray) -> tuple[float, float]:
    """Where a point in that direction is in the picture, from the corner of the first pixel."""
    points, zero = vector.reshape(1, 1, 3), np.zeros(3)
    way = cv2.fisheye.projectPoints if camera.is_fisheye else cv2.projectPoints
    x, y = np.asarray(way(points, zero, zero, camera.matrix, camera.distortion)[0]).ravel()
    return x + 0.5, y + 0.5


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("toward", [(0.0, 0.0, 1.0), (0.3, -0.2, 1.0), (-0.5, 0.35, 1.0)])
def test_directions(lens: str, toward: tuple[float, float, float]) -> None:
    model, distortion = LENSES[lens]
    camera = control.camera(model, K, distortion, VGA)
    vector = np.array(toward) / np.linalg.norm(toward)
    found = control.direction(camera, project(camera, vector))
    assert found == pytest.approx(tuple(vector), abs=1e-4)
    assert math.hypot(*found) == pytest.approx(1)  # type: ignore[misc]


def test_a_point_that_no_direction_projects_to_has_none() -> None:
    camera = control.camera("plumb_bob", K, (-0.4, 0.0, 0.0, 0.0), VGA)
    assert control.direction(camera, (3000.0, 3000.0)) is None


@pytest.mark.parametrize(
    ("model", "matrix", "distortion", "message"),
    [
        ("plumb_bob", (0.0,) * 9, (), "not calibrated"),
        ("plumb_bob", (math.nan, *K[1:]), (), "not calibrated"),
        ("plumb_bob", (-500.0, *K[1:]), (), "not calibrated"),
        ("thin_prism", K, (), "'thin_prism' is not known"),
        ("plumb_bob", K, (0.1,) * 6, "6 distortion coefficients"),
        ("equidistant", K, (0.1,) * 5, "5 distortion coefficients"),
        ("plumb_bob", K, (0.1, math.inf, 0.0, 0.0, 0.0), "not all finite"),
    ],
)
def test_cameras_that_cannot_be_used(model: str, matrix: tuple, distortion: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UserError, match=message):
        control.camera(model, matrix, distortion, VGA)


def test_a_picture_of_half_the_size() -> None:
    camera = control.camera("", K, (), VGA)
    assert control.fitted(camera, 640, 480) is camera
    half = control.fitted(camera, 320, 240)
    assert control.direction(half, (100.0, 50.0)) == pytest.approx(control.direction(camera, (200.0, 100.0)))
    unknown = control.camera("", K, (), control.Readout())
    assert control.fitted(unknown, 320, 240) is unknown


@pytest.mark.parametrize(
    ("readout", "size", "point"),
    [
        (control.Readout((640, 480), (100, 40, 320, 240)), (320, 240), (100, 160)),
        (control.Readout((640, 480), binning=(2, 2)), (320, 240), (100, 100)),
        (control.Readout((640, 480), (100, 40, 320, 240), (2, 1)), (160, 240), (50, 160)),
        (control.Readout((640, 480), (100, 40, 0, 0), (1, 1)), (640, 480), (200, 200)),
    ],
    ids=["roi", "binning", "both", "whole"],
)
def test_part_of_the_sensor(readout: control.Readout, size: tuple[int, int], point: tuple[float, float]) -> None:
    """A point at (200, 200) of the sensor has the same direction, wherever it is in the picture."""
    camera = control.camera("", K, (), readout)
    assert (readout.picture_size, camera.size) == (size, size)
    whole = control.direction(control.camera("", K, (), VGA), (200.0, 200.0))
    assert control.direction(control.fitted(camera, *size), point) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("readout", "message"),
    [
        (control.Readout((640, 480), (400, 0, 320, 240)), r"roi, 320x240 at \(400, 0\), is not within .* 640x480"),
        (control.Readout((640, 480), (0, 400, 320, 240)), "is not within"),
        (control.Readout((640, 480), binning=(2, 1000)), "binning 2x1000 leaves no pixel of 640x480"),
    ],
)
def test_parts_that_the_sensor_does_not_have(readout: control.Readout, message: str) -> None:
    with pytest.raises(UserError, match=message):
        control.camera("", K, (), readout)


@pytest.mark.parametrize(
    ("size", "is_scaled"),
    [((640, 480), True), ((320, 240), True), ((107, 80), True), ((480, 640), False), ((640, 360), False)],
)
def test_pictures_of_another_aspect_ratio_are_cropped_or_rotated(size: tuple[int, int], is_scaled: bool) -> None:
    camera = control.camera("", K, (), VGA)
    if is_scaled:
        assert control.for_pictures(camera, *size).size == size
    else:
        with pytest.raises(UserError, match=f"pictures of 640x480, but they are {size[0]}x{size[1]}"):
            control.for_pictures(camera, *size)


def test_without_a_size_the_camera_is_for_all_pictures() -> None:
    camera = control.camera("", K, (), control.Readout())
    assert control.for_pictures(camera, 100, 900) is camera


@pytest.mark.parametrize(
    ("axis", "before", "after"),
    [
        ((1, 0, 0), (0, 0, 1), (0, -math.sin(0.1), math.cos(0.1))),
        ((0, 1, 0), (0, 0, 1), (math.sin(0.1), 0, math.cos(0.1))),
        ((0, 0, 0), (0, 0, 1), (0, 0, 1)),
    ],
)
def test_rates_turn_one_direction_into_the_other(axis: tuple, before: tuple, after: tuple) -> None:  # type: ignore[type-arg]
    rate = control.rate_between(before, after, 0.5)
    assert rate == pytest.approx(tuple(0.2 * of for of in axis), abs=1e-9)
    turned = cv2.Rodrigues(np.array(rate) * 0.5)[0] @ np.array(before, float)
    assert turned == pytest.approx(np.array(after, float), abs=1e-9)


def moving(speed: float, frames: int = 30, dt: float = 1 / 30) -> control.Motion:
    """A target at `speed` pixels per second to the right, and as many rad/s / 500 about y."""
    motion = None
    for index in range(frames):
        x, angle = 100 + speed * dt * index, speed / 500 * dt * index
        toward = (math.sin(angle), 0.0, math.cos(angle))
        motion = control.updated(motion, round(index * dt * SECOND), Box(x, 50, 20, 30), toward)
    assert motion is not None
    return motion


def test_a_steady_target_is_predicted_exactly() -> None:
    motion = moving(120.0)
    assert motion.velocity == pytest.approx((120.0, 0.0), rel=1e-3)
    assert motion.rate == pytest.approx((0.0, 0.24, 0.0), rel=1e-3)
    later = control.predicted(motion, motion.stamp_ns + SECOND // 10)
    assert later is not None
    assert later.xywh == pytest.approx((motion.box.x + 12, 50, 20, 30), rel=1e-3)


@pytest.mark.parametrize(("ahead", "known"), [(-1, False), (0, True), (SECOND, True), (SECOND + 1, False)])
def test_how_far_it_is_predicted(ahead: int, known: bool) -> None:
    motion = moving(60.0)
    assert (control.predicted(motion, motion.stamp_ns + ahead) is not None) == known


@pytest.mark.parametrize(("later", "keeps"), [(0, True), (SECOND // 10, True), (SECOND, False), (-5, False)])
def test_after_a_gap_the_velocity_is_forgotten(later: int, keeps: bool) -> None:
    motion = moving(120.0)
    after = control.updated(motion, motion.stamp_ns + later, motion.box, motion.direction)
    assert (after.velocity[0] > 1) == keeps
    assert (after.rate[1] > 0.001) == keeps


def test_without_a_camera_there_is_no_rate() -> None:
    motion = control.updated(moving(120.0), 2 * SECOND, Box(1, 2, 3, 4), None)
    assert (motion.direction, motion.rate) == (None, (0.0, 0.0, 0.0))
