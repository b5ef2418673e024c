import math

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.tracking.camera_motion import (
    STILL,
    WIDTH,
    CameraMotion,
    Velocity,
    _fitted,
    estimate_camera,
    predicted,
    reduced_frame,
    updated_velocity,
)

NOISE = np.random.default_rng(3).integers(0, 256, (500, 800, 3)).astype(np.uint8)
SCENE = cv2.normalize(cv2.GaussianBlur(NOISE, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)
SIZE = (480, 320)  # of a frame: width, height


def seen(dx=0.0, dy=0.0, angle=0.0, zoom=1.0, size=SIZE):
    """The scene after the background moved by that, about the frame's origin."""
    a, b = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = np.float64([[a, -b, dx], [b, a, dy], [0, 0, 1]]) @ np.float64([[1, 0, -150], [0, 1, -90], [0, 0, 1]])
    return cv2.warpAffine(SCENE, matrix[:2], size)


def estimate(before, after, target=None):
    return estimate_camera(reduced_frame(before), reduced_frame(after), [target] if target else [])


@pytest.mark.parametrize(
    ("dx", "dy", "angle", "zoom"),
    [
        (0, 0, 0, 1),
        (12, -7, 0, 1),
        (48, 0, 0, 1),  # a tenth of the width: half of a frame in five
        (-48, 20, 0, 1),
        (3, 2, 0.04, 1),
        (-4, -3, 0, 1.05),
        (-10, 4, -0.03, 0.96),
    ],
)
def test_the_motion_of_the_background_is_found(dx, dy, angle, zoom):
    camera = estimate(seen(), seen(dx, dy, angle, zoom))
    assert camera.kept > 0.7
    assert camera.zoom == pytest.approx(zoom, abs=0.01)
    for x, y in ((100, 80), (240, 160), (400, 250)):
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        assert camera.moved(x, y) == pytest.approx((cos * x - sin * y + dx, sin * x + cos * y + dy), abs=1.5)


@pytest.mark.parametrize(("a", "b", "dx", "dy"), [(1, 0, 0, 0), (1.02, 0.03, -40, 12), (0.9, -0.2, 5, 0)])
def test_the_motion_fits_clean_points_exactly_and_leaves_strays_out(a, b, dx, dy):
    start = np.random.default_rng(0).random((20, 2)) * (120, 90)
    end = start @ np.array([[a, b], [-b, a]]) + (dx / 4 + (a - b - 1) / 2, dy / 4 + (a + b - 1) / 2)
    end[:5] += 25
    camera = _fitted(start.astype(np.float32), end.astype(np.float32), (4, 4))
    assert (camera.a, camera.b, camera.kept) == pytest.approx((a, b, 0.75), abs=1e-4)
    assert (camera.dx, camera.dy) == pytest.approx((dx, dy), abs=5e-3)


def with_object(image, box):
    moved = image.copy()
    x, y, w, h = (round(v) for v in box.xywh)
    moved[y : y + h, x : x + w] = 255 - SCENE[100 : 100 + h, 200 : 200 + w]
    return moved


def test_what_moves_by_itself_does_not_count():
    """Not even a target that fills a third of the frame, if it is named; a smaller one need not be."""
    large, after = Box(60, 60, 260, 200), Box(100, 70, 260, 200)
    camera = estimate(with_object(seen(), large), with_object(seen(8, 3), after), large)
    assert (camera.dx, camera.dy) == pytest.approx((8, 3), abs=1)
    small, after = Box(60, 60, 90, 80), Box(90, 70, 90, 80)
    camera = estimate(with_object(seen(), small), with_object(seen(8, 3), after))
    assert (camera.dx, camera.dy) == pytest.approx((8, 3), abs=1)


@pytest.mark.parametrize(
    ("before", "after", "target"),
    [
        (np.zeros((240, 320, 3), np.uint8), np.zeros((240, 320, 3), np.uint8), None),  # nothing to see
        (seen(), 255 - cv2.flip(seen(), 1), None),  # a cut
        (seen(), seen(5, 5), Box(-50, -50, 2000, 2000)),  # all of it is target
        (seen(), seen(size=(320, 320)), None),  # another size
    ],
)
def test_nothing_is_said_where_nothing_can_be_said(before, after, target):
    assert estimate(before, after, target) == STILL
    assert not STILL.is_known
    assert STILL.moved(7, 9) == (7, 9)


def test_the_same_input_gives_the_same_answer():
    first, _ = estimate(seen(), seen(11, 3, 0.02)), cv2.setRNGSeed(99)
    assert estimate(seen(), seen(11, 3, 0.02)) == first


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (160, 120), (100, 80), (333, 251)])
def test_reduced_frames_are_small_and_know_by_how_much(size):
    reduced = reduced_frame(np.zeros((size[1], size[0], 3), np.uint8))
    height, width = reduced.pixels.shape
    assert width == min(WIDTH, size[0])
    assert (width * reduced.shrink[0], height * reduced.shrink[1]) == pytest.approx(size)


def test_a_view_of_any_strides_is_read():
    image = seen()
    assert (reduced_frame(image[:, :, ::-1]).pixels == reduced_frame(image).pixels).all()


PAN = CameraMotion(1, 0, 10, -5, 1)
TURN = CameraMotion(0, 1, 0, 0, 1)  # a quarter turn
ZOOM = CameraMotion(2, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("camera", "velocity", "expected"),
    [
        (STILL, Velocity(), (40, 30, 20, 10)),
        (STILL, Velocity(3, 1), (43, 31, 20, 10)),
        (PAN, Velocity(3, 1), (53, 26, 20, 10)),
        (TURN, Velocity(), (-30, 40, 20, 10)),
        (ZOOM, Velocity(1, 0), (81, 60, 40, 20)),
    ],
)
def test_a_box_is_expected_where_background_and_velocity_take_it(camera, velocity, expected):
    assert predicted(Box.from_cxcywh(40, 30, 20, 10), velocity, camera).cxcywh == pytest.approx(expected)


def test_velocity_is_relative_to_the_background():
    last, box = Box.from_cxcywh(40, 30, 20, 10), Box.from_cxcywh(54, 27, 20, 10)
    assert updated_velocity(Velocity(), PAN, last, box, rate=1) == Velocity(4, 2)
    half = updated_velocity(Velocity(2, 0), PAN, last, box, rate=0.5)
    assert (half.x, half.y) == pytest.approx((3, 1))


def test_velocity_turns_with_the_camera():
    last = Box.from_cxcywh(40, 30, 20, 10)
    there = predicted(last, Velocity(0, 0), TURN)
    turned = updated_velocity(Velocity(5, 0), TURN, last, there, rate=0)
    assert (turned.x, turned.y) == pytest.approx((0, 5))


def test_a_constant_velocity_is_learnt_through_a_pan():
    velocity, box = Velocity(), Box.from_cxcywh(40, 30, 20, 10)
    for camera in (STILL, PAN, STILL, PAN, PAN, STILL) * 3:
        there = predicted(box, Velocity(4, -1), camera)
        velocity, box = updated_velocity(velocity, camera, box, there), there
    assert (velocity.x, velocity.y) == pytest.approx((4, -1), abs=0.05)
