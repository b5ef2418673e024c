import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.stream.draw import (
    COLORS,
    OLD_COLOR,
    PROPOSAL_COLOR,
    TRUTH_COLOR,
    caption,
    draw_beside,
    draw_estimate,
    draw_small,
    draw_text,
)
from sot_tracker.tracker import Estimate, Reason, State

GREY = np.full((240, 320, 3), 128, np.uint8)
GREY.flags.writeable = False
BOX = Box(100, 80, 60, 50)


def test_a_tracked_box_is_drawn_whole():
    drawn = draw_estimate(GREY, Estimate(BOX, 0.5, State.TRACKING), "kcf")
    assert tuple(drawn[80, 130]) == COLORS[State.TRACKING]
    assert (drawn[80, 100:160] == COLORS[State.TRACKING]).all()
    assert (drawn[80:130, 159] == COLORS[State.TRACKING]).all()
    assert tuple(drawn[105, 130]) == (128, 128, 128), "the inside is left free"
    assert (GREY == 128).all()


def test_an_uncertain_box_is_dashed():
    drawn = draw_estimate(GREY, Estimate(BOX, 0.5, State.UNCERTAIN), "kcf")
    for side in (drawn[80, 100:160], drawn[129, 100:160], drawn[80:130, 100], drawn[80:130, 159]):
        share = (side == COLORS[State.UNCERTAIN]).all(axis=-1).mean()
        assert 0.3 < share < 0.8


def test_a_lost_target_has_no_box():
    drawn = draw_estimate(GREY, Estimate(BOX, 0.5, State.LOST), "kcf")
    assert (drawn[60:] == 128).all()


def test_truth_is_white():
    drawn = draw_estimate(GREY, Estimate(BOX, 1, State.TRACKING), "kcf", truth=Box(200, 150, 20, 20))
    assert tuple(drawn[150, 210]) == TRUTH_COLOR


@pytest.mark.parametrize("box", [Box(np.nan, 0, 5, 5), Box(0, 0, np.inf, 5), Box(-1e12, 0, 5, 5), Box(9e9, 9e9, 5, 5)])
def test_boxes_that_are_nowhere_only_leave_the_label(box):
    drawn = draw_estimate(GREY, Estimate(box, 0, State.UNCERTAIN), "kcf")
    assert (drawn[60:] == 128).all()
    assert not (drawn[:30, :60] == 128).all()


def test_views_of_any_strides():
    drawn = draw_estimate(GREY[::2, ::-1, ::-1], Estimate(BOX, 1, State.TRACKING), "kcf")
    assert drawn.shape == (120, 320, 3)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(BOX, 0.931, State.TRACKING, {"crop": 1.0, "search": 11.1}), "mvt  score 0.93  12.1 ms"),
        (Estimate(BOX, 0, State.LOST, reason=Reason.EDGE), "mvt  LOST (edge)  score 0.00"),
        (Estimate(BOX, 0.5, State.UNCERTAIN), "mvt  UNCERTAIN  score 0.50"),
        (
            Estimate(BOX, 0.9, State.UNCERTAIN, reason=Reason.LOOK_ALIKE, probability=0.25),
            "mvt  UNCERTAIN (look-alike)  probability 0.25",
        ),
    ],
)
def test_caption(estimate, text):
    assert caption(estimate, "mvt") == text


@pytest.mark.parametrize("width", [160, 240, 320, 640])
def test_a_long_caption_stays_within_the_picture(width):
    image = np.full((width * 3 // 4, width, 3), 128, np.uint8)
    nowhere = Box(np.nan, 0, 5, 5)  # only the text is drawn
    long = Estimate(nowhere, 0.4, State.UNCERTAIN, {"flow": 3.0}, "flow", 140.0, Reason.OCCLUDED, probability=0.42)
    written = (draw_estimate(image, long, "nanotrack") == COLORS[State.UNCERTAIN]).all(2)
    short = (draw_estimate(image, Estimate(nowhere, 1, State.UNCERTAIN), "x") == COLORS[State.UNCERTAIN]).all(2)
    assert written.any()
    assert not written[:, -2:].any()
    assert written.any(1).sum() > 1.5 * short.any(1).sum(), "it takes more than one line"


def test_no_text_covers_a_box_of_a_small_picture():
    box = Box(0, 0, 320, 240)
    estimates = (None, Estimate(box, 0.4, State.TRACKING, {"flow": 3.0}, "flow", 140.0, probability=0.42))
    for estimate, color in zip(estimates, (PROPOSAL_COLOR, COLORS[State.TRACKING]), strict=True):
        drawn = draw_small(GREY, estimate, "nanotrack", 80, box if estimate is None else None)
        assert drawn.shape == (60, 80, 3)
        for side in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
            assert (side == color).all()
        assert (drawn[:40] == 0).all(axis=-1).mean() > 0.2, "there is a text"


def test_one_more_target_in_a_shrunk_picture():
    canvas = draw_small(GREY, Estimate(BOX, 0.9, State.TRACKING), "csrt", GREY.shape[1] // 2)
    before = canvas.copy()
    draw_beside(canvas, Estimate(Box(200, 60, 40, 30), 0.9, State.LOST), "two", 0.5)
    assert (canvas[40:44, 100:120] == before[40:44, 100:120]).all(), "no box while lost"
    assert (canvas[20:28, 100:112] != before[20:28, 100:112]).any(), "its name"
    draw_beside(canvas, Estimate(Box(200, 60, 40, 30), 0.9, State.TRACKING), "two", 0.5)
    assert canvas[40, 100].tolist() == list(COLORS[State.TRACKING])
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
