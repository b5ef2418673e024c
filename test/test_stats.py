"""How well a score separates two kinds."""

import numpy as np
import pytest

from sot_tracker.stats import best_threshold, calibration_error, roc_auc


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ([0.9, 0.8], [0.1, 0.2], 1.0),
        ([0.1, 0.2], [0.9, 0.8], 0.0),
        ([0.5, 0.5], [0.5, 0.5], 0.5),
        ([0.9, 0.3], [0.5], 0.5),
        ([], [0.5], None),
        ([0.5], [], None),
    ],
)
def test_roc_auc(positive, negative, expected):
    mask = np.array([True] * len(positive) + [False] * len(negative))
    found = roc_auc(np.array(positive + negative), mask)
    assert np.isnan(found) if expected is None else found == expected


def test_ranks_count_every_pair():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 8, 200) / 8, rng.random(200) < 0.3
    yes, no = score[positive], score[~positive]
    pairs = (yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean()
    assert roc_auc(score, positive) == pytest.approx(pairs)


def test_the_best_threshold_lies_between_both_kinds():
    score, positive = np.array([0.9, 0.8, 0.7, 0.3, 0.2]), np.array([1, 1, 1, 0, 0], bool)
    assert best_threshold(score, positive) == pytest.approx(0.5)
    assert best_threshold(score[:3], np.array([1, 0, 0], bool)) == pytest.approx(0.85)
    assert best_threshold(score, ~positive) == pytest.approx(0.2)
    assert np.isnan(best_threshold(score, np.ones(5, bool)))


@pytest.mark.parametrize(
    ("probability", "right", "expected"),
    [
        ([0.5, 0.5], [True, False], 0.0),
        ([1.0, 1.0], [True, False], 0.5),
        ([0.05, 0.95], [False, True], 0.05),
        ([0.9, 0.1], [False, True], 0.9),
    ],
)
def test_calibration_error(probability, right, expected):
    assert calibration_error(np.array(probability), np.array(right)) == pytest.approx(expected)


def test_the_calibration_error_of_nothing_is_not_known():
    assert np.isnan(calibration_error(np.empty(0), np.empty(0, bool)))
