"""Sizes in the terms of the given box, and without jumps."""

from __future__ import annotations

import math

import pytest

from sot_tracker.box import Box
from sot_tracker.tracking import box_size

GIVEN = Box(10, 10, 40, 20)


@pytest.mark.parametrize(
    ("found", "bias"),
    [
        (Box(10, 10, 40, 20), (0, 0)),
        (Box(5, 10, 50, 20), (math.log(50 / 40), 0)),
        (Box(10, 12, 40, 16), (0, math.log(16 / 20))),
        (Box(10, 10, 90, 20), (0, 0)),  # overlap 40 / 90
        (Box(50, 10, 40, 20), (0, 0)),  # elsewhere
        (Box(10, 10, -40, 20), (0, 0)),
    ],
)
def test_bias_is_of_the_same_thing_alone(found: Box, bias: tuple[float, float]) -> None:
    assert box_size.bias(found, GIVEN) == pytest.approx(bias)


@pytest.mark.parametrize(
    ("share", "sides"), [(0.0, (50, 16)), (1.0, (40, 20)), (0.5, (math.sqrt(2000), math.sqrt(320)))]
)
def test_fitting_takes_a_share_of_the_bias_back(share: float, sides: tuple[float, float]) -> None:
    found = Box.from_cxcywh(30, 20, 50, 16)
    box = box_size.fitted(found, box_size.bias(found, GIVEN), share)
    assert (box.w, box.h) == pytest.approx(sides)
    assert box.center == pytest.approx((30, 20))


@pytest.mark.parametrize(("rate", "width"), [(1.0, 80), (0.5, 40 * math.sqrt(2))])
def test_a_new_size_is_approached_at_its_own_place(rate: float, width: float) -> None:
    box = box_size.steadied(Box.from_cxcywh(100, 90, 80, 20), GIVEN, rate)
    assert (box.w, box.h) == pytest.approx((width, 20))
    assert box.center == pytest.approx((100, 90))


def test_sizes_that_are_none_stay_positive() -> None:
    for box in (box_size.fitted(Box(0, 0, -5, 3), (0.1, 0.1), 1.0), box_size.steadied(Box(0, 0, -5, 3), GIVEN, 0.3)):
        assert box.w > 0
