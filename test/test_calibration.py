"""The calibration as it stands in a manifest."""

from __future__ import annotations

import math

import pytest

from sot_tracker.calibration import Calibration, parse

GOOD = {"weights": {"score": 1.0, "rival": -2.0}, "bias": 0.5, "curve": [[-2.0, 0.1], [0.0, 0.5], [2.0, 0.9]]}


@pytest.mark.parametrize(
    ("score", "rival", "expected"),
    [(0.0, 0.25, 0.5), (0.5, 0.0, 0.7), (9.0, 0.0, 0.9), (-9.0, 0.0, 0.1), (-1.0, 0.25, 0.3)],
)
def test_probability(score: float, rival: float, expected: float) -> None:
    made = parse(GOOD)
    assert made.probability({"score": score, "rival": rival, "jump": 7.0}) == pytest.approx(expected)


def test_it_returns_from_json() -> None:
    made = parse(GOOD)
    assert parse(made.as_json()) == made == Calibration(GOOD["weights"], 0.5, ((-2.0, 0.1), (0.0, 0.5), (2.0, 0.9)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"luck": 1.0}}, "no feature 'luck'"),
        ({"weights": {"score": math.inf}}, "table of numbers"),
        ({"weights": [1.0]}, "table of numbers"),
        ({"bias": True}, "bias"),
        ({"curve": []}, "curve"),
        ({"curve": [[0.0, 0.5], [0.0, 0.6]]}, "curve"),
        ({"curve": [[0.0, 0.5], [1.0, 0.4]]}, "curve"),
        ({"curve": [[0.0, 0.5], [1.0, 1.4]]}, "curve"),
        ({"curve": [[0.0]]}, "curve"),
        ({"luck": 1}, "has weights, bias and curve"),
    ],
)
def test_what_it_is_not(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse({**GOOD, **change})
