import math

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.tracking import flow
from sot_tracker.tracking.flow import SIDE, UNKNOWN, Motion, apply, estimate_motion, grey_window, propagate, same_window

WIDTH, HEIGHT = 320, 240


def texture(seed, height, width, grain=2.0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), grain), None, 0, 255, cv2.NORM_MINMAX)


SCENE = texture(0, HEIGHT, WIDTH, grain=4.0)
OBJECT = texture(1, 128, 128, grain=8.0)


def frame(box, scene=SCENE):
    """The object in the box before a scene that stands still; cut where the box leaves the frame."""
    matrix = np.float32([[box.w / 128, 0, box.x], [0, box.h / 128, box.y]])
    size = scene.shape[1::-1]
    shown = cv2.warpAffine(OBJECT, matrix, size, flags=cv2.INTER_AREA)
    where = cv2.warpAffine(np.full((128, 128), 255, np.uint8), matrix, size)
    return np.where(where[..., None] > 127, shown, scene)


def follow(before, after, image=frame):
    return propagate(grey_window(image(before), before), image(after), before)


@pytest.mark.parametrize(
    ("before", "dx", "dy", "scale"),
    [
        (Box(100, 80, 60, 50), 0, 0, 1.0),
        (Box(100, 80, 60, 50), 7.5, -4.25, 1.0),
        (Box(100, 80, 60, 50), -18, 12, 1.0),
        (Box(100, 80, 60, 50), 3, 2, 1.04),
        (Box(100, 80, 60, 50), 0, 0, 0.96),
        (Box(150, 100, 24, 20), 5, 3, 1.0),
        (Box(150, 100, 12, 14), 2, -3, 1.0),
        (Box(40, 30, 180, 150), 14, 9, 1.02),
        (Box(10, 100, 30, 80), 4, 0, 1.0),
    ],
)
def test_a_moved_object_is_followed(before, dx, dy, scale):
    after = Box.from_cxcywh(before.center[0] + dx, before.center[1] + dy, before.w * scale, before.h * scale)
    motion, box, _ = follow(before, after)
    assert (motion.dx, motion.dy) == pytest.approx((dx, dy), abs=0.6)
    assert motion.scale == pytest.approx(scale, abs=0.015)
    assert motion.kept > 0.6
    assert motion.error < 1
    assert box.iou(after) > 0.9


@pytest.mark.parametrize("before", [Box(-20, 100, 60, 50), Box(290, 210, 60, 50), Box(100, -25, 60, 50)])
def test_an_object_that_sticks_out_is_followed_by_what_shows(before):
    after = Box(before.x + 4, before.y + 3, before.w, before.h)
    assert follow(before, after)[1].iou(after) > 0.85


def test_a_small_step_in_every_frame_does_not_drift():
    path = [Box(60 + 3 * k, 60 + 40 * math.sin(k / 8), 40 + 0.5 * k, 36 + 0.45 * k) for k in range(50)]
    box, window, kept = path[0], grey_window(frame(path[0]), path[0]), 0
    for truth in path[1:]:
        _, box, following = propagate(window, frame(truth), box)
        kept += following.corner == window.corner
        window = following
    assert box.iou(path[-1]) > 0.8
    assert kept > 5, "a square serves several frames"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Box(500, 500, 30, 30), Box(500, 500, 30, 30)),  # out of the frame
        (Box(100, 80, 60, 50), None),  # nothing to be seen in the next frame
    ],
)
def test_nothing_to_follow_is_unknown(before, after):
    gone = np.zeros_like(SCENE)
    window = grey_window(SCENE if after else gone, before)
    motion, box, _ = propagate(window, SCENE if after else gone, before)
    assert motion == UNKNOWN
    assert not motion.is_known
    assert box.xywh == pytest.approx(before.xywh)


def test_another_picture_is_reported_by_few_points_that_return():
    before = Box(100, 80, 60, 50)
    window = grey_window(frame(before), before)
    same, _, _ = propagate(window, frame(before), before)
    other, _, _ = propagate(window, texture(7, HEIGHT, WIDTH), before)
    assert same.kept == 1
    assert other.kept < 0.5
    assert other.error > 5 * same.error + 1


@pytest.mark.parametrize("shift", [(40, 0), (-45, 30)])
def test_an_expected_shift_finds_what_is_beyond_reach(shift):
    before, after = Box(120, 90, 30, 30), Box(120 + shift[0], 90 + shift[1], 30, 30)
    window = grey_window(frame(before), before)
    motion, box, _ = propagate(window, frame(after), before, shift)
    assert box.iou(after) > 0.9
    assert (motion.dx, motion.dy) == pytest.approx(shift, abs=0.6)


@pytest.mark.parametrize("view", ["reversed", "four", "grey"])
def test_views_of_any_strides(view):
    box, moved = Box(100, 80, 60, 50), Box(105, 83, 60, 50)

    def seen(at):
        image = frame(at)
        if view == "reversed":
            return image[:, :, ::-1]
        if view == "four":
            return np.dstack([image, image[:, :, :1]])[:, :, :3]
        return np.broadcast_to(image[:, :, :1], image.shape)

    assert follow(box, moved, seen)[1].iou(moved) > 0.9


def test_the_same_input_gives_the_same_answer():
    before, after = Box(100, 80, 60, 50), Box(104.3, 82.1, 62, 51)
    assert follow(before, after)[0] == follow(before, after)[0]


def test_inputs_are_left_alone():
    before = Box(100, 80, 60, 50)
    image, copy = frame(before), frame(before)
    image.flags.writeable = False
    window = grey_window(image, before)
    pixels = window.pixels.copy()
    propagate(window, image, before)
    assert (image == copy).all()
    assert (window.pixels == pixels).all()


@pytest.mark.parametrize(
    ("box", "shrink"),
    [
        (Box(0, 0, 8, 8), 0.5),
        (Box(0, 0, 25, 20), 1),
        (Box(0, 0, 42, 10), 1),
        (Box(0, 0, 43, 10), 2),
        (Box(0, 0, 500, 900), 22),
    ],
)
def test_the_square_has_one_size_whatever_the_box(box, shrink):
    window = grey_window(SCENE, box)
    assert window.pixels.shape == (SIDE, SIDE)
    assert window.shrink == shrink
    assert window.frame_size == (WIDTH, HEIGHT)
    assert window.fits(box)


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        (Motion(5, 5, 1, 1, 0), True),
        (Motion(30, 0, 1, 1, 0), False),
        (Motion(0, -30, 1, 1, 0), False),
        (Motion(0, 0, 2.2, 1, 0), False),
        (Motion(0, 0, 0.4, 1, 0), False),
    ],
)
def test_a_square_fits_boxes_in_its_middle_and_of_its_size(change, fits):
    box = Box(100, 80, 50, 50)
    assert grey_window(SCENE, box).fits(apply(change, box)) is fits


def test_the_square_of_another_frame_lies_at_the_same_place():
    window = grey_window(SCENE, Box(100, 80, 50, 50))
    other = same_window(255 - SCENE, window, (3.4, -2.6))
    assert other.corner == (window.corner[0] + 3, window.corner[1] - 3)
    assert other.shrink == window.shrink


def test_apply():
    assert apply(Motion(3, -2, 1.1, 1, 0), Box(10, 10, 20, 40)).xywh == pytest.approx((12, 6, 22, 44))
    assert apply(UNKNOWN, Box(1, 2, 3, 4)).xywh == pytest.approx((1, 2, 3, 4))


def test_squares_of_different_frames_give_the_shift_between_them():
    """Their corners need not be the same."""
    before, after = Box(100, 80, 50, 50), Box(108, 84, 50, 50)
    previous, current = grey_window(frame(before), before), grey_window(frame(after), after)
    motion = estimate_motion(previous, current, before)
    assert (motion.dx, motion.dy) == pytest.approx((8, 4), abs=0.3)


def test_points_are_few_and_inside_an_ellipse():
    points = flow._unit_grid()
    assert 40 <= len(points) <= 100
    assert np.hypot(*points.T).max() <= 0.5
