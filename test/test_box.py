import math

import numpy as np
import pytest

from sot_tracker.box import Box, require_trackable
from sot_tracker.errors import UserError

UNIT = Box(0, 0, 10, 20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3,4", (1, 2, 3, 4)),
        ("1.5 2 3 4", (1.5, 2, 3, 4)),
        ("1\t2\t3\t4", (1, 2, 3, 4)),
        ("1, 2, 3, 4", (1, 2, 3, 4)),
        ("[1, 2, 3, 4]", (1, 2, 3, 4)),
        (str(Box(1.5, -2, 3, 4)), (1.5, -2, 3, 4)),
    ],
)
def test_parse(text, expected):
    assert Box.parse(text).xywh == expected


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d"])
def test_parse_refuses(text):
    with pytest.raises(UserError, match="is not four numbers"):
        Box.parse(text)


@pytest.mark.parametrize("box", [Box(0, 0, 10, 20), Box(-3.5, 7, 2, 0.5), Box(1e4, -1e4, 3, 3)])
def test_conversions_return(box):
    assert Box.from_xyxy(*box.xyxy).xywh == pytest.approx(box.xywh)
    assert Box.from_cxcywh(*box.cxcywh).xywh == pytest.approx(box.xywh)
    assert Box.from_xywh(box.xywh) == box


def test_first_pixel_has_its_centre_at_one_half():
    assert Box(0, 0, 1, 1).center == (0.5, 0.5)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (UNIT, 1.0),
        (Box(5, 0, 10, 20), 100 / 300),
        (Box(0, 10, 10, 20), 100 / 300),
        (Box(2, 5, 5, 10), 50 / 200),
        (Box(10, 0, 10, 20), 0.0),
        (Box(50, 50, 1, 1), 0.0),
        (Box(0, 0, 0, 0), 0.0),
        (Box(5, 5, -3, -3), 0.0),
    ],
)
def test_iou(other, expected):
    assert UNIT.iou(other) == pytest.approx(expected)
    assert other.iou(UNIT) == pytest.approx(expected)


def test_iou_of_empty_boxes_is_zero():
    assert Box(1, 1, 0, 0).iou(Box(1, 1, 0, 0)) == 0


@pytest.mark.parametrize(
    ("box", "valid"),
    [
        (UNIT, True),
        (Box(-5, -5, 1e-3, 1), True),
        (Box(0, 0, 0, 1), False),
        (Box(0, 0, 1, -1), False),
        (Box(math.nan, 0, 1, 1), False),
        (Box(0, 0, math.inf, 1), False),
    ],
)
def test_is_valid(box, valid):
    assert box.is_valid is valid


def test_scaled():
    assert Box(1, 2, 3, 4).scaled(2).xywh == (2, 4, 6, 8)
    assert Box(1, 2, 3, 4).scaled(2, 0.5).xywh == (2, 1, 6, 2)


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        (Box(10, 10, 20, 20), 0, (10, 10, 20, 20)),
        (Box(-5, -5, 20, 20), 0, (0, 0, 15, 15)),
        (Box(90, 70, 20, 20), 0, (90, 70, 10, 10)),
        (Box(200, 200, 20, 20), 10, (90, 70, 10, 10)),
        (Box(-200, -200, 20, 20), 10, (0, 0, 10, 10)),
        (Box(50, 40, 2, 3), 10, (50, 40, 10, 10)),
        (Box(-50, -50, 1000, 1000), 10, (0, 0, 100, 80)),
    ],
)
def test_clipped_to_100_by_80(box, margin, expected):
    assert box.clipped(100, 80, margin).xywh == expected


@pytest.mark.parametrize("box", [Box(0, 0, 1, 1), Box(-10, -10, 11, 11), Box(99, 79, 50, 50)])
def test_require_trackable_accepts(box):
    require_trackable(box, 100, 80)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (Box(0, 0, 0, 5), "cannot be tracked"),
        (Box(math.nan, 0, 5, 5), "cannot be tracked"),
        (Box(0, 0, 5, -5), "cannot be tracked"),
        (Box(100, 0, 5, 5), "outside the 100x80 frame"),
        (Box(-5, 0, 5, 5), "outside the 100x80 frame"),
    ],
)
def test_require_trackable_refuses(box, words):
    with pytest.raises(UserError, match=words):
        require_trackable(box, 100, 80)


@pytest.mark.parametrize(
    "value", [Box(1, 2, 3, 4), (1, 2, 3, 4), [1.0, 2.0, 3.0, 4.0], np.array([1, 2, 3, 4]), np.float32([1, 2, 3, 4])]
)
def test_of_takes_boxes_and_four_numbers(value):
    assert Box.of(value) == Box(1, 2, 3, 4)


@pytest.mark.parametrize(
    "value", [(1, 2, 3), (1, 2, 3, 4, 5), "1234", "1,2,3,4", (1, 2, 3, "4"), (1, 2, 3, True), None, 7, {1, 2, 3, 4}]
)
def test_of_refuses_anything_else(value):
    with pytest.raises(UserError, match="is not four numbers: give a Box, or x, y, w, h"):
        Box.of(value)


@pytest.mark.parametrize("box", [Box(0.25, 0.5, 0.2, 0.25), Box(0, 0, 0.5, 1), Box(-0.1, 0.9, 0.2, 0.2)])
def test_boxes_in_fractions_are_refused(box):
    with pytest.raises(UserError, match="if these are fractions of the 640x480 frame, give") as reported:
        require_trackable(box, 640, 480)
    assert "\n" not in str(reported.value)


def test_fractions_are_reported_in_pixels():
    with pytest.raises(UserError, match="give 160,240,128,120"):
        require_trackable((0.25, 0.5, 0.2, 0.25), 640, 480)


@pytest.mark.parametrize("value", [(80, 60, 1, 1), [0, 0, 2, 1], (0, 0, 1, 1), (0.5, 0.5, 1.5, 1)])
def test_small_boxes_in_pixels_can_be_tracked(value):
    assert require_trackable(value, 640, 480) == Box(*value)
