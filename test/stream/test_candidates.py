from __future__ import annotations

import math

import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.candidates import Candidate, Selection

CENTER = (320.0, 240.0)
CAR = Candidate(Box(10, 10, 100, 60), "7", (("car", 0.6), ("truck", 0.9)))
TRUCK = Candidate(Box(300, 200, 200, 200), "8", (("truck", 0.7),))
MAN = Candidate(Box(310, 230, 20, 40), "9", (("person", 0.8),))
BOY = Candidate(Box(600, 400, 20, 40), "9", (("person", math.nan), ("person", 0.2)))
BROKEN = Candidate(Box(math.nan, 0, 5, 5), "8", (("person", 1.0),))
FLAT = Candidate(Box(320, 240, 0, 5), "8", (("person", 1.0),))
BARE = Candidate(Box(0, 400, 50, 50))
ALL = [CAR, TRUCK, MAN, BOY, BROKEN, FLAT, BARE]


@pytest.mark.parametrize(
    ("rule", "value", "wanted"),
    [
        ("off", "", None),
        ("id", "7", CAR),
        ("id", "8", TRUCK),  # and not the broken ones of the same id
        ("id", "9", MAN),  # the better of two
        ("id", "10", None),
        ("class", "truck", CAR),  # by the score of that class, not by the best one
        ("class", "person", MAN),
        ("class", "cat", None),
        ("best", "", CAR),
        ("nearest", "", MAN),  # inside of two: the nearer centre
        ("nearest", "450, 380", TRUCK),
        ("nearest", "(0,479)", BARE),
        ("nearest", "640 400", BOY),
    ],
)
def test_the_rule_finds_the_one_that_it_means(rule: str, value: str, wanted: Candidate | None) -> None:
    assert Selection(rule, value).choose(ALL, CENTER) is wanted


@pytest.mark.parametrize(
    ("rule", "value", "text"),
    [
        ("id", "10", "no detection has the id '10': there are '', '7', '8', '9'"),
        ("class", "cat", "no detection has the class 'cat': there are 'car', 'person', 'truck'"),
        ("id", "7", ""),
        ("class", "car", ""),
        ("nearest", "", ""),
        ("best", "", ""),
    ],
)
def test_what_there_is_instead(rule: str, value: str, text: str) -> None:
    assert Selection(rule, value).mismatch(ALL) == text
    assert Selection(rule, value).mismatch([]) == ""


def test_without_any_hypothesis_there_are_no_classes() -> None:
    assert Selection("class", "cat").mismatch([BARE]).endswith("there are none")


def test_of_nothing_nothing_is_chosen() -> None:
    assert [Selection(rule, "1").choose([], CENTER) for rule in ("id", "class", "best")] == [None] * 3
    assert Selection("best").choose([BROKEN, FLAT], CENTER) is None


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        ("id", "", "needs select_value: the id"),
        ("class", "", "needs select_value: the class"),
        ("nearest", "left", "is not a point"),
        ("nearest", "1,2,3", "is not a point"),
        ("nearest", "nan,2", "is not a point"),
        ("first", "", "choose one of off, id, class, nearest, best"),
    ],
)
def test_what_is_no_rule_is_reported(rule: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Selection(rule, value)
