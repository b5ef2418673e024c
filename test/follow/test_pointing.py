from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.follow.pointing import Camera, Direction

K = (500.0, 0.0, 319.5, 0.0, 520.0, 239.5, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("ray", "yaw", "pitch"),
    [
        ((0, 0, 1), 0, 0),
        ((1, 0, 1), 45, 0),
        ((-2, 0, 2), -45, 0),
        ((0, 1, 1), 0, 45),
        ((1, math.sqrt(2), 1), 45, 45),
        ((1, 0, 0), 90, 0),
        ((0, -1, 0), 0, -90),
        ((-1, 0, -1), -135, 0),
    ],
)
def test_direction_of_a_ray(ray: tuple[float, float, float], yaw: float, pitch: float) -> None:
    direction = Direction.of_ray(*ray)
    assert np.degrees([direction.yaw, direction.pitch]) == pytest.approx([yaw, pitch], abs=1e-9)


@pytest.mark.parametrize("ray", [(0, 0, 0), (math.nan, 0, 1), (0, math.inf, 1)])
def test_what_is_no_direction_is_refused(ray: tuple[float, float, float]) -> None:
    with pytest.raises(UserError, match="is no direction"):
        Direction.of_ray(*ray)


@pytest.mark.parametrize(
    ("x", "y", "yaw", "pitch"), [(320, 240, 0, 0), (640, 240, 30, 0), (0, 240, -30, 0), (320, 0, 0, -23.413)]
)
def test_the_field_of_view_reaches_from_edge_to_edge(x: float, y: float, yaw: float, pitch: float) -> None:
    direction = Camera.of_fov(640, 480, 60.0).direction(x, y)
    assert np.degrees([direction.yaw, direction.pitch]) == pytest.approx([yaw, pitch], abs=1e-3)


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("", ()),
        ("plumb_bob", ()),
        ("plumb_bob", (-0.3, 0.1, 0.001, -0.002, 0.0)),
        ("rational_polynomial", (0.1, 0.02, 0.0, 0.001, 0.01, 0.02, 0.01, 0.0)),
        ("equidistant", (0.02, -0.01, 0.003, 0.0)),
    ],
)
def test_a_calibrated_camera_gives_back_what_opencv_projects(model: str, distortion: tuple[float, ...]) -> None:
    ray = np.array([[[0.3, -0.2, 1.0]]])
    matrix, numbers = np.array(K).reshape(3, 3), np.array(distortion or (0.0,) * 4)
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    x, y = np.asarray(project(ray, np.zeros(3), np.zeros(3), matrix, numbers)[0]).ravel()
    found = Camera.of_info(640, 480, K, distortion, model).direction(x + 0.5, y + 0.5)
    wanted = Direction.of_ray(0.3, -0.2, 1.0)
    assert (found.yaw, found.pitch) == pytest.approx((wanted.yaw, wanted.pitch), abs=1e-4)


@pytest.mark.parametrize(
    ("k", "d", "model", "told"),
    [
        ((0.0,) * 9, (), "plumb_bob", "no calibration"),
        ((math.nan, *K[1:]), (), "", "no calibration"),
        (K, (math.inf,) * 5, "plumb_bob", "no calibration"),
        (K, (0.1,) * 3, "plumb_bob", "'plumb_bob' with 3 numbers"),
        (K, (0.1,) * 5, "magic", "'magic' with 5 numbers: known are plumb_bob"),
    ],
)
def test_a_camera_info_that_describes_no_camera(
    k: tuple[float, ...], d: tuple[float, ...], model: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        Camera.of_info(640, 480, k, d, model)
