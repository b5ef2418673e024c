from __future__ import annotations

import math

import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.follow.pointing import Direction, camera_of_fov
from sot_tracker.stream.control import Readout, camera


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
    ("point", "yaw", "pitch"),
    [((320, 240), 0, 0), ((640, 240), 30, 0), ((0, 240), -30, 0), ((320, 0), 0, -23.413)],
)
def test_the_field_of_view_reaches_from_edge_to_edge(point: tuple[float, float], yaw: float, pitch: float) -> None:
    direction = Direction.of_point(camera_of_fov(640, 480, 60.0), point)
    assert direction is not None
    assert np.degrees([direction.yaw, direction.pitch]) == pytest.approx([yaw, pitch], abs=1e-3)


def test_a_lens_that_cannot_be_inverted_gives_no_direction() -> None:
    wild = camera("plumb_bob", (300.0, 0, 320, 0, 300.0, 240, 0, 0, 1), (-0.9, 0.1, 0.0, 0.0, 0.0), Readout((640, 480)))
    assert Direction.of_point(wild, (639.0, 479.0)) is None
