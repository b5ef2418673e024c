"""Where a lost target is searched for."""

from __future__ import annotations

import math

import pytest

from sot_tracker.box import Box
from sot_tracker.tracking import reacquire

LAST = Box(90, 85, 40, 10)  # centre (110, 90), side 20, so a step of 60
FRAME = (240, 320)


def test_the_first_frames_and_every_second_one_stay() -> None:
    positions = [reacquire.position(lost, LAST, FRAME, 8) for lost in range(reacquire.PATIENCE + 6)]
    assert [at is None for at in positions] == [True] * reacquire.PATIENCE + [False, True] * 3


def test_the_places_are_the_nearest_ones_in_turn() -> None:
    turns = [reacquire.PATIENCE + 2 * turn for turn in range(5)]
    positions = [reacquire.position(lost, LAST, FRAME, 4) for lost in turns]
    assert {at.center for at in positions[:4]} == {(50, 90), (170, 90), (110, 30), (110, 150)}
    assert positions[4] == positions[0]
    assert all((at.w, at.h) == (40, 10) for at in positions)


def test_the_grid_covers_the_frame_and_stays_in_it() -> None:
    places = reacquire.around((110, 90), 60, FRAME, 100)
    assert len(places) == len(set(places)) == 5 * 4 - 1
    assert all(0 <= x <= 320 and 0 <= y <= 240 for x, y in places)
    distances = [math.dist(place, (110, 90)) for place in places]
    assert distances == sorted(distances)


@pytest.mark.parametrize(("last", "count"), [(LAST, 0), (Box(0, 0, 300, 230), 24)])
def test_nowhere_else_to_look(last: Box, count: int) -> None:
    assert all(reacquire.position(lost, last, FRAME, count) is None for lost in range(20))


@pytest.mark.parametrize("center", [(960, 540), (0, 0), (1920, 540)])
def test_a_speck_in_a_large_frame_costs_no_more(center: tuple[float, float]) -> None:
    """0.01 pixels: the whole grid would have two billion points."""
    places = reacquire.around(center, 0.03, (1080, 1920), 24)
    assert len(places) == 24
    assert max(math.dist(place, center) for place in places) < 0.03 * 8


def test_a_last_place_outside_of_the_frame() -> None:
    places = reacquire.around((-100, 90), 60, FRAME, 24)
    assert places[0] == (20, 90)
    assert all(0 <= x <= 320 for x, _ in places)
