import numpy as np
import pytest

from sot_tracker.tracking.online_filter import (
    CHANNELS,
    Equations,
    equations,
    fit_projection,
    learn,
    mean,
    peak_label,
    respond,
    samples,
    solve,
    start,
    weights,
)

GRID, KINDS = 16, 24
BASE = np.random.default_rng(0).normal(size=(6, KINDS)).astype(np.float32)
TARGET, LOOKALIKE, CHANGED = BASE[0], 0.8 * BASE[0] + 0.6 * BASE[1], BASE[2]


def features(*placed, seed=1):
    """KINDS x GRID x GRID of noise with patterns of 3 x 3 cells: (pattern, column, row)."""
    field = np.random.default_rng(seed).normal(scale=0.5, size=(KINDS, GRID, GRID)).astype(np.float32)
    for pattern, column, row in placed:
        field[:, row - 1 : row + 2, column - 1 : column + 2] += pattern[:, None, None]
    return field


def label(column, row):
    return peak_label(column + 0.5, row + 0.5, 1.0, GRID)


def peak(response):
    row, column = divmod(int(response.argmax()), GRID)
    return column, row


def filter_of(pattern=TARGET):
    return start([features((pattern, 8, 8)), features((pattern, 6, 9), seed=2)], [label(8, 8), label(6, 9)])


@pytest.mark.parametrize("place", [(8, 8), (3, 12), (13, 4)])
def test_the_target_is_found_where_it_went(place):
    response = respond(filter_of(), features((TARGET, *place), seed=5))
    assert response.shape == (GRID, GRID)
    assert peak(response) == place
    assert response.max() > 0.6


def test_a_patch_without_the_target_has_no_peak():
    assert respond(filter_of(), features(seed=6)).max() < 0.4


def test_a_lookalike_is_reported_from_the_target_once_it_was_seen():
    known = filter_of()
    both = features((TARGET, 5, 5), (LOOKALIKE, 11, 11), seed=7)
    before = respond(known, both)
    for seed in range(20, 26):
        known = learn(known, features((TARGET, 5, 5), (LOOKALIKE, 11, 11), seed=seed), label(5, 5), rate=0.3)
    after = respond(known, both)
    assert peak(after) == (5, 5)
    assert after[11, 11] < 0.6 * before[11, 11]


def test_a_target_that_changes_is_learnt_and_the_first_is_kept():
    known = filter_of()
    assert respond(known, features((CHANGED, 8, 8), seed=8))[8, 8] < 0.4
    for seed in range(30, 60):
        known = learn(known, features((CHANGED, 8, 8), seed=seed), label(8, 8))
    assert respond(known, features((CHANGED, 8, 8), seed=8))[8, 8] > 0.6
    assert respond(known, features((TARGET, 8, 8), seed=8))[8, 8] > 0.4


def test_learning_leaves_the_old_filter_alone():
    known, probe = filter_of(), features((TARGET, 8, 8), seed=9)
    before = respond(known, probe)
    learn(known, features((CHANGED, 4, 4), seed=3), label(4, 4), rate=0.9)
    assert (respond(known, probe) == before).all()


def test_the_same_input_gives_the_same_answer():
    probe = features((TARGET, 8, 8), seed=9)
    assert (respond(filter_of(), probe) == respond(filter_of(), probe)).all()


def test_solve_is_the_solution_of_the_equations():
    rng = np.random.default_rng(4)
    rows, y = rng.normal(size=(GRID * GRID, 30)).astype(np.float32), label(8, 8)
    known = equations(rows, y)
    ridge = 0.03 * np.trace(known.gram) / 30
    exact = np.linalg.solve(known.gram + ridge * np.eye(30), known.moment)
    assert solve(known, np.zeros(30, np.float32), 100) == pytest.approx(exact, abs=1e-4)


def test_steps_from_a_good_guess_are_few():
    known = filter_of().first
    solved = solve(known, np.zeros_like(known.moment), 200)
    far = solve(known, np.zeros_like(known.moment), 2)
    near = solve(known, (solved * 1.01).astype(np.float32), 2)
    assert np.linalg.norm(near - solved) < 0.2 * np.linalg.norm(far - solved)


def test_nothing_to_learn_from_is_no_filter():
    empty = Equations(np.zeros((9, 9), np.float32), np.zeros(9, np.float32))
    assert (solve(empty, np.zeros(9, np.float32), 5) == 0).all()


def test_constant_features_do_not_blow_up():
    flat = np.ones((KINDS, GRID, GRID), np.float32)
    assert np.isfinite(respond(start([flat], [label(8, 8)]), flat)).all()


def test_the_projection_whitens_and_keeps_the_strongest():
    known = fit_projection([features((TARGET, 8, 8))], channels=5)
    assert known.matrix.shape == (KINDS, 5)
    cells = (features((TARGET, 8, 8)).reshape(KINDS, -1).T - known.mean) @ known.matrix
    covariance = np.cov(cells, rowvar=False)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-4
    assert fit_projection([features()]).matrix.shape[1] == min(CHANNELS, KINDS)


def test_samples_hold_each_cell_with_its_neighbours():
    known = fit_projection([features()], channels=3)
    rows = samples(known, features()).reshape(GRID, GRID, 3, 3, 3)
    middle = rows[:, :, :, 1, 1]
    assert (rows[4, 7, :, 0, 2] == middle[3, 8]).all()
    assert (rows[0, 0, :, 0, :] == 0).all(), "zero beyond the patch"


def test_a_label_peaks_at_its_place():
    assert peak(peak_label(3.5, 9.5, 1.0, GRID)) == (3, 9)
    assert peak_label(3.5, 9.5, 1.0, GRID).max() == pytest.approx(1)
    assert peak_label(3.0, 9.5, 1.0, GRID)[9, 2] == pytest.approx(peak_label(3.0, 9.5, 1.0, GRID)[9, 3])


def test_weights_sum_to_one_and_favour_the_target():
    w = weights(label(8, 8)).reshape(GRID, GRID)
    assert w.sum() == pytest.approx(1)
    assert w[8, 8] > 3 * w[0, 0]


def test_the_mean_is_numpys_to_the_last_bit():
    rng = np.random.default_rng(3)
    every = [Equations(*(rng.normal(size=shape).astype(np.float32) for shape in ((9, 9), 9))) for _ in range(12)]
    found = mean(iter(every))
    for name in ("gram", "moment"):
        expected = np.mean([getattr(item, name) for item in every], axis=0)
        assert getattr(found, name).dtype == expected.dtype
        assert np.array_equal(getattr(found, name), expected)
