"""Every number against one worked out by hand."""

import numpy as np
import pytest

from sot_tracker.evaluate.metrics import (
    OVERLAPS,
    hold_last,
    measure,
    over_all_frames,
    summarize,
)

NAN = float("nan")
SIZE = (100, 100)
T = [10.0, 10.0, 20.0, 20.0]


def array(*rows):
    return np.array(rows, dtype=np.float64)


def scored(boxes, truth, visible=None, score=None, tracking=None, seconds=None, size=SIZE):
    n = len(boxes)
    return measure(
        array(*boxes),
        np.ones(n) if score is None else np.array(score, float),
        np.ones(n, bool) if tracking is None else np.array(tracking),
        np.full(n, 0.1) if seconds is None else np.array(seconds, float),
        array(*truth),
        np.ones(n, bool) if visible is None else np.array(visible),
        size,
    )


def test_invalid_predictions_become_the_one_before():
    held = hold_last(array(T, [NAN, 1, 1, 1], [5, 5, 0, 5], [1, 2, 3, 4], [np.inf, 1, 1, 1], [1, 1, 1, -1]))
    assert held.tolist() == [T, T, T, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]]


def test_got10k_leaves_out_the_first_frame_and_hidden_ones():
    """Overlaps of the frames 1, 2, 4: 1, 1/3, 0; frame 3 is hidden and would be 1."""
    truth = [T] * 5
    boxes = [[0, 0, 1, 1], T, [20, 10, 20, 20], T, [60, 60, 20, 20]]
    values = summarize([scored(boxes, truth, visible=[True, True, True, False, True])])
    assert values["ao"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert values["sr50"] == pytest.approx(1 / 3)
    assert values["sr75"] == pytest.approx(1 / 3)


def test_got10k_cuts_boxes_to_the_image():
    """Truth sticks out to the left: inside are 10 x 20 pixels of it, and the prediction is just these."""
    values = summarize([scored([T, [0, 10, 10, 20]], [T, [-10, 10, 20, 20]])])
    assert values["ao"] == pytest.approx(1)
    assert values["auc"] == pytest.approx((20 / 21 + 10 / 21) / 2)  # LaSOT does not cut: overlap 1/2
    assert summarize([scored([T, [-10, 10, 20, 20]], [T, [0, 10, 10, 20]])])["ao"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("predicted", "overlap", "sr50", "sr75"),
    [([20, 10, 20, 20], 1 / 3, 0, 0), ([10, 10, 20, 10], 0.5, 0, 0), ([10, 10, 20, 15], 0.75, 1, 0), (T, 1, 1, 1)],
)
def test_success_rates_are_strictly_greater(predicted, overlap, sr50, sr75):
    values = summarize([scored([T, predicted], [T, T])])
    assert (values["ao"], values["sr50"], values["sr75"]) == (pytest.approx(overlap), sr50, sr75)


def test_overall_values_are_means_over_sequences():
    """One frame right in one sequence, three wrong in the other; GOT-10k's toolkit puts the four together."""
    right = scored([T, T], [T, T])
    wrong = scored([T] + [[70, 70, 20, 20]] * 3, [T] * 4)
    values = summarize([right, wrong])
    assert (values["ao"], values["sr50"], values["sr75"]) == (0.5, 0.5, 0.5)
    assert over_all_frames([right, wrong]) == {"ao": pytest.approx(1 / 4), "sr50": 0.25, "sr75": 0.25}
    # LaSOT counts the first frame: success 1 and 1/4 at all thresholds below 1, of which there are 20 of 21.
    assert values["auc"] == pytest.approx((1 + 1 / 4) / 2 * 20 / 21)
    assert values["precision"] == pytest.approx((1 + 1 / 4) / 2)
    assert values["norm_precision"] == pytest.approx((1 + 1 / 4) / 2)


def test_success_curve_of_one_third_and_the_given_first_box():
    """The overlap 1/3 is above the seven thresholds 0 to 0.30."""
    curve = scored([[0, 0, 1, 1], [20, 10, 20, 20]], [T, T]).success
    assert curve.tolist() == [1.0] * 7 + [0.5] * 13 + [0.0]
    assert len(OVERLAPS) == 21


@pytest.mark.parametrize(("shift", "expected"), [(0, 1), (20, 1), (20.001, 0.5), (50, 0.5)])
def test_precision_admits_twenty_pixels(shift, expected):
    assert summarize([scored([T, [10 + shift, 10, 20, 20]], [T, T])])["precision"] == expected


def test_norm_precision_is_the_mean_over_51_thresholds():
    """An error of a quarter of the width passes 26 thresholds, 0.25 to 0.5; the first frame passes all."""
    values = summarize([scored([T, [15, 10, 20, 20]], [T, T])])
    assert values["norm_precision"] == pytest.approx((51 + 26) / 2 / 51)


def test_absent_frames_do_not_count():
    """Truth of absent frames may be NaN; LaSOT's numbers then come from the first frame and the second."""
    truth = [T, T, [NAN] * 4, [0, 0, 0, 0]]
    boxes = [T, [15, 10, 20, 20], [50, 50, 9, 9], [50, 50, 9, 9]]
    values = summarize([scored(boxes, truth, visible=[True, True, False, False])])
    assert values["ao"] == pytest.approx(300 / 500)
    assert values["precision"] == 1
    assert values["norm_precision"] == pytest.approx((51 + 26) / 2 / 51)


def test_a_prediction_without_size_counts_as_the_one_before():
    assert summarize([scored([T, T, [NAN] * 4], [T, T, T])])["ao"] == pytest.approx(1)


def test_fps_is_frames_by_time_without_the_first():
    assert summarize([scored([T] * 3, [T] * 3, seconds=[9.0, 0.1, 0.3])])["fps"] == pytest.approx(2 / 0.4)


def test_one_frame_has_no_got10k_numbers():
    values = summarize([scored([T], [T])])
    assert (values["ao"], values["fps"], values["auc"]) == (None, None, pytest.approx(20 / 21))
    assert summarize([scored([T], [T]), scored([T, T], [T, T])])["ao"] == pytest.approx(1)


def test_presence_is_measured_where_the_target_was_absent():
    """Scores present 0.9, 0.4; absent 0.4, 0.1: of four pairs three are in order and one is tied."""
    truth, boxes = [T] * 5, [T] * 5
    values = summarize(
        [
            scored(
                boxes,
                truth,
                visible=[True, True, True, False, False],
                score=[1, 0.9, 0.4, 0.4, 0.1],
                tracking=[True, True, True, True, False],
            )
        ]
    )
    assert values["presence_auc"] == pytest.approx(3.5 / 4)
    assert values["false_confidence"] == pytest.approx(0.5)
    assert "presence_auc" not in summarize([scored(boxes, truth)])
