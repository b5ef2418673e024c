import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.stream.draw import (
    COLORS,
    OLD_COLOR,
    TRUTH_COLOR,
    caption,
    draw_beside,
    draw_estimate,
    draw_small,
    draw_text,
)
from sot_tracker.tracker import Estimate, State

GREY = np.full((240, 320, 3), 128, np.uint8)
GREY.flags.writeable = False
BOX = Box(100, 80, 60, 50)


@pytest.mark.parametrize("state", State)
def test_box_is_drawn_in_the_colour_of_its_state(state):
    drawn = draw_estimate(GREY, Estimate(BOX, 0.5, state), "kcf")
    assert tuple(drawn[80, 130]) == COLORS[state]
    assert tuple(drawn[105, 159]) == COLORS[state]
    assert tuple(drawn[105, 130]) == (128, 128, 128), "the inside is left free"
    assert (GREY == 128).all()


def test_truth_is_white():
    drawn = draw_estimate(GREY, Estimate(BOX, 1, State.TRACKING), "kcf", truth=Box(200, 150, 20, 20))
    assert tuple(drawn[150, 210]) == TRUTH_COLOR


@pytest.mark.parametrize("box", [Box(np.nan, 0, 5, 5), Box(0, 0, np.inf, 5), Box(-1e12, 0, 5, 5), Box(9e9, 9e9, 5, 5)])
def test_boxes_that_are_nowhere_only_leave_the_label(box):
    drawn = draw_estimate(GREY, Estimate(box, 0, State.LOST), "kcf")
    assert (drawn[60:] == 128).all()
    assert not (drawn[:30, :60] == 128).all()


def test_views_of_any_strides():
    drawn = draw_estimate(GREY[::2, ::-1, ::-1], Estimate(BOX, 1, State.TRACKING), "kcf")
    assert drawn.shape == (120, 320, 3)


def test_caption():
    assert caption(Estimate(BOX, 0.931, State.TRACKING, {"crop": 1.0, "search": 11.1}), "mvt") == "mvt  0.93  12.1 ms"
    assert caption(Estimate(BOX, 0, State.LOST), "mvt") == "mvt  LOST  0.00"


def test_one_more_target_in_a_shrunk_picture():
    canvas = draw_small(GREY, Estimate(BOX, 0.9, State.TRACKING), "csrt", GREY.shape[1] // 2)
    other = Estimate(Box(200, 60, 40, 30), 0.9, State.LOST)
    before = canvas.copy()
    draw_beside(canvas, other, "two", 0.5)
    assert canvas[40, 100].tolist() == list(COLORS[State.LOST])
    assert (canvas[20:28, 100:112] != before[20:28, 100:112]).any(), "its name"
    drawn = canvas.copy()
    draw_beside(canvas, Estimate(Box(float("nan"), 0, 1, 1), 0, State.LOST), "none", 1)
    assert (canvas == drawn).all()


def test_text():
    assert not (draw_text(GREY, "no target")[:30] == 128).all()


def test_text_with_truth_and_an_old_box():
    plain = draw_text(GREY, "dropped")
    drawn = draw_text(GREY, "dropped", truth=BOX, old=Box(200, 60, 40, 30))
    x, y = (round(v) for v in BOX.xyxy[2:])
    assert drawn[y - 1, x - 1].tolist() == list(TRUTH_COLOR)
    assert drawn[60, 200].tolist() == list(OLD_COLOR)
    assert (plain[60, 200] == 128).all()
