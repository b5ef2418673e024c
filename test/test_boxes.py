"""Arrays of boxes against numbers worked out by hand, and against `Box`."""

import numpy as np
import pytest

from sot_tracker import boxes
from sot_tracker.box import Box

SIZE = (100, 100)
T = [10.0, 10.0, 20.0, 20.0]
ODD = np.array([T, [15, 5, 40, 10], [-5, -5, 300, 200], [0, 0, 0, 0], [5, 5, -3, 4], [5, 5, -3, -4]], float)


def array(*rows):
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (T, T, 1),
        (T, [20, 10, 20, 20], 200 / 600),
        (T, [15, 15, 10, 10], 100 / 400),
        (T, [30, 10, 20, 20], 0),
        (T, [80, 80, 5, 5], 0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 0),
    ],
)
def test_iou(a, b, expected):
    assert boxes.ious(array(a), array(b)) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (T, T),
        ([-10, -20, 30, 30], [0, 0, 20, 10]),
        ([90, 95, 30, 30], [90, 95, 10, 5]),
        ([150, 20, 30, 30], [100, 20, 0, 30]),
    ],
)
def test_clip_to_the_image(box, expected):
    assert boxes.clip(array(box), SIZE).tolist() == [expected]


def test_center_errors():
    predicted, truth = array([13, 14, 20, 20], [10, 10, 40, 20]), array(T, T)
    assert boxes.center_errors(predicted, truth) == pytest.approx([5, 10])
    assert boxes.center_errors(predicted, truth, normalized=True) == pytest.approx([0.25, 0.5])
    assert boxes.center_errors(array([14, 10, 20, 10]), array([10, 10, 20, 10]), normalized=True) == pytest.approx(
        [0.2]
    )


def test_all_pairs_agree_with_box():
    one, other = ODD[:, None], ODD[None]
    made = [Box(*row) for row in ODD]
    np.testing.assert_allclose(boxes.ious(one, other), [[a.iou(b) for b in made] for a in made])
    assert boxes.intersections(one, other).tolist() == [[a.intersection(b) for b in made] for a in made]
    assert boxes.areas(ODD).tolist() == [box.area for box in made]
    assert boxes.centers(ODD).tolist() == [list(box.center) for box in made]
    assert boxes.to_corners(ODD).tolist() == [list(box.xyxy) for box in made]
    assert boxes.are_valid(ODD).tolist() == [box.is_valid for box in made]


def test_corners_return():
    assert boxes.from_corners(boxes.to_corners(ODD)).tolist() == ODD.tolist()


@pytest.mark.parametrize(
    ("box", "by", "share"), [(T, T, 1), (T, [20, 10, 90, 90], 0.5), (T, [50, 50, 5, 5], 0), ([0, 0, 0, 0], T, 0)]
)
def test_coverage(box, by, share):
    assert boxes.coverages(np.array(box, float), np.array(by, float)) == pytest.approx(share)


def test_boxes_that_are_not_finite_are_not_valid():
    assert not boxes.are_valid(array([np.nan, 0, 1, 1], [0, 0, np.inf, 1])).any()
