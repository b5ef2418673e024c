from __future__ import annotations

import math

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.clicks import CORNERS_S, PROPOSAL_S, Clicks

PROPOSAL = Box(40, 40, 30, 30)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def picture(shift: int = 0) -> np.ndarray:
    """120 x 160: a texture in the place of PROPOSAL, `shift` pixels to the right, on grey."""
    image = np.full((120, 160, 3), 90, np.uint8)
    patch = np.random.default_rng(0).integers(0, 256, (10, 10, 3), np.uint8).repeat(3, 0).repeat(3, 1)
    image[40:70, 40 + shift : 70 + shift] = patch
    return image


@pytest.mark.parametrize(
    ("proposal", "wait", "second", "wanted"),
    [
        (None, 1.0, (20, 90), Box(20, 50, 30, 40)),
        (None, CORNERS_S - 0.1, (90, 20), Box(50, 20, 40, 30)),
        (None, CORNERS_S + 0.1, (90, 20), None),
        (None, 0.1, (52, 51), None),  # a double click is not a box
        (PROPOSAL, 0.5, (60, 60), PROPOSAL),
        (PROPOSAL, PROPOSAL_S - 0.1, (60, 60), PROPOSAL),
        (PROPOSAL, PROPOSAL_S + 0.1, (60, 60), None),
        (PROPOSAL, 0.5, (90, 90), Box(50, 50, 40, 40)),  # outside of the proposal: corners
        (PROPOSAL, CORNERS_S + 0.1, (90, 90), None),  # outside and late: a first click
    ],
)
def test_what_the_second_click_means(
    proposal: Box | None, wait: float, second: tuple[float, float], wanted: Box | None
) -> None:
    clock = Clock()
    clicks = Clicks(clock)
    assert clicks.click(50, 50) is None
    if proposal is not None:
        clicks.propose(proposal, picture())
    clock.now += wait
    assert clicks.click(*second) == wanted
    assert clicks.proposal is None, "it is over, or another object was asked for"


def test_after_a_start_the_next_click_is_a_first_one() -> None:
    clicks = Clicks(Clock())
    assert clicks.click(10, 10) is None
    assert clicks.click(30, 30) == Box(10, 10, 20, 20)
    assert clicks.click(50, 50) is None


@pytest.mark.parametrize("point", [(math.nan, 5), (5, math.inf)])
def test_a_point_that_is_none_changes_nothing(point: tuple[float, float]) -> None:
    clicks = Clicks(Clock())
    clicks.click(50, 50)
    clicks.propose(PROPOSAL, picture())
    with pytest.raises(UserError, match="finite"):
        clicks.click(*point)
    assert clicks.click(60, 60) == PROPOSAL


def test_a_proposal_moves_with_the_picture() -> None:
    clicks = Clicks(Clock())
    clicks.click(50, 50)
    clicks.propose(PROPOSAL, picture())
    for shift in range(4, 41, 4):
        clicks.see(picture(shift))
    assert clicks.proposal is not None
    assert clicks.proposal.iou(Box(80, 40, 30, 30)) > 0.9
    assert clicks.click(100, 60) is not None, "inside of where it is now"


@pytest.mark.parametrize("frame", [np.zeros((120, 160, 3), np.uint8), picture()[:100]])
def test_a_proposal_that_cannot_be_followed_is_dropped(frame: np.ndarray) -> None:
    clicks = Clicks(Clock())
    clicks.click(50, 50)
    clicks.propose(PROPOSAL, picture())
    clicks.see(frame)
    assert clicks.proposal is None
