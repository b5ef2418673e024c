import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.tracking.camera_motion import STILL, Velocity
from sot_tracker.tracking.flow import UNKNOWN, Motion
from sot_tracker.tracking.fusion import DEFAULT, FlowPolicy, Source, carried, follow, settle, start

SIZE = (400, 300)


def texture(seed, size, grain):
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), grain), None, 0, 255, cv2.NORM_MINMAX)


SCENE, OBJECT = texture(0, (900, 500), 6), texture(1, (40, 36), 3)
BOX = Box(180, 130, 40, 36)


def frame(x, y, camera=(0, 0)):
    """The object at (x, y) of the frame before a scene that the camera shows from another place."""
    left, top = 200 - camera[0], 100 - camera[1]
    shown = SCENE[top : top + SIZE[1], left : left + SIZE[0]].copy()
    shown[y : y + 36, x : x + 40] = OBJECT
    return shown


def step(image, state=None, box=BOX, lost=False, policy=DEFAULT):
    return follow(state or start(frame(180, 130), BOX, policy), image, box, lost, policy)


def test_flow_moves_the_box():
    moved = step(frame(187, 126))
    assert moved.source is Source.FLOW
    assert moved.box.iou(Box(187, 126, 40, 36)) > 0.93
    assert moved.last == BOX


def test_a_pan_beyond_the_reach_of_flow_alone():
    """The target goes with the background, by a seventh of the frame's width."""
    image, there = frame(240, 130, camera=(60, 0)), Box(240, 130, 40, 36)
    assert step(image).box.iou(there) > 0.9
    assert step(image).camera.dx == pytest.approx(60, abs=1)
    assert step(image, policy=FlowPolicy(use_camera=False)).box.iou(there) < 0.5


def test_what_hides_the_target_is_not_followed_while_lost():
    """The place to search around stays on the background."""
    moved = step(frame(192, 134, camera=(10, 5)), lost=True)
    assert (moved.source, moved.motion) == (Source.CAMERA, UNKNOWN)
    assert moved.box.center == pytest.approx((BOX.center[0] + 10, BOX.center[1] + 5), abs=1)


@pytest.mark.parametrize(
    "box", [Box(0, 130, 40, 36), Box(370, 130, 40, 36), Box(180, -5, 40, 36), Box(180, 264, 40, 36)]
)
def test_a_target_that_left_is_looked_for_where_it_went_out(box):
    moved = step(frame(192, 134, camera=(10, 5)), box=box, lost=True)
    assert (moved.source, moved.box) == (Source.HELD, box)
    assert moved.camera.is_known


def test_without_points_the_box_goes_with_camera_and_velocity():
    state = settle(step(frame(184, 130)), frame(184, 130), Box(184, 130, 40, 36))
    for _ in range(8):  # learn it well
        state = settle(follow(state, frame(184, 130), Box(180, 130, 40, 36)), frame(184, 130), Box(184, 130, 40, 36))
    blank = frame(184, 130)
    blank[110:190, 150:260] = 0
    moved = follow(state, blank, Box(184, 130, 40, 36))
    assert moved.source is Source.CAMERA
    assert moved.box.center[0] == pytest.approx(Box(184, 130, 40, 36).center[0] + 4, abs=1)


def test_nothing_known_holds_the_box():
    moved = step(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    assert (moved.source, moved.motion, moved.camera, moved.box) == (Source.HELD, UNKNOWN, STILL, BOX)


@pytest.mark.parametrize(("least", "source"), [(0.0, Source.FLOW), (1.1, Source.CAMERA)])
def test_too_few_points_do_not_move_the_box(least, source):
    assert step(frame(187, 126), policy=FlowPolicy(least_kept=least)).source is source


def test_settling_learns_the_velocity_and_keeps_what_fits():
    moved = step(frame(186, 130))
    state = settle(moved, frame(186, 130), moved.box)
    assert state.window is moved.window
    assert 1 < state.velocity.x < 6
    jumped = settle(moved, frame(186, 130), Box(20, 20, 90, 90))
    assert jumped.window is not moved.window
    assert jumped.window.fits(Box(20, 20, 90, 90))


def test_a_lost_target_keeps_no_velocity():
    state = settle(step(frame(186, 130)), frame(186, 130), Box(186, 130, 40, 36))
    moved = follow(state, frame(186, 130), Box(186, 130, 40, 36), lost=True)
    assert moved.velocity == Velocity()


@pytest.mark.parametrize(("use_scale", "growth"), [(True, 1.06), (False, 1.0)])
def test_the_size_stays_where_only_the_place_is_asked(use_scale, growth):
    larger = cv2.resize(frame(180, 130), None, fx=1.1, fy=1.1)[15:315, 20:420]
    moved = step(larger, policy=FlowPolicy(use_scale=use_scale))
    assert moved.source is Source.FLOW
    assert moved.box.w / BOX.w == pytest.approx(growth, abs=0.005)


def test_without_the_camera_no_small_copies_are_made():
    policy = FlowPolicy(use_camera=False)
    assert start(frame(180, 130), BOX, policy).reduced is None
    assert step(frame(181, 130), policy=policy).camera == STILL


@pytest.mark.parametrize(
    ("motions", "expected"),
    [
        ([], (10, 20, 30, 40)),
        ([Motion(5, -1, 1, 1, 0)], (15, 19, 30, 40)),
        ([Motion(5, -1, 1, 1, 0), UNKNOWN, Motion(1, 1, 2, 1, 0)], (1, 0, 60, 80)),
    ],
)
def test_late_answers_are_carried(motions, expected):
    assert carried(Box(10, 20, 30, 40), motions).xywh == pytest.approx(expected)
