"""Learning a `Calibration` from looks at clips with known truth: how often is a box right, given a look's features?

Logistic regression on standardised features, then a monotone curve (isotonic regression over equal groups) on
predictions for data sets that the regression did not see, because what a score means differs from one kind of clip to
another; with too few data sets, for sequences that it did not see. Sequences weigh the same, however long they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sot_tracker.calibration import FEATURES, Calibration
from sot_tracker.errors import UserError
from sot_tracker.evaluate.looks import Array, Looks, Mask, Numbers
from sot_tracker.stats import calibration_error, roc_auc
from sot_tracker.tracker import Policy, State
from sot_tracker.tracking import states

CHOSEN = ("score", "recent", "differs", "differs_memory", "nearer")
"""The features with the best predictions for clips of another kind than those learnt from; with all features together
the predictions are worse."""
FOLDS = 5
"""Of sequences, each left out in turn, where there are too few data sets."""
MIN_FOLDERS = 3
"""Data sets, of which each is left out in turn instead."""
GROUPS = 15
"""Of predictions, of which each gives one point of the curve."""
RIDGE = 0.1
"""On standardised weights. It hardly changes probabilities of clips like those learnt from, and helps with others."""
MIN_FRAMES = 100
"""Looks, and right and wrong ones among them a tenth of that."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Of probabilities for clips that were left out when they were learnt. right_auc, presence_auc: ROC AUC for
    right boxes and for frames with the target (NaN where there are none without). error: expected calibration error.
    false_tracking, right_tracking: share of the frames without the target, and of those with a right box, whose state
    would be TRACKING (NaN where there are none).
    """

    right_auc: float
    presence_auc: float
    error: float
    false_tracking: float
    right_tracking: float


def learn(looks: Looks, names: Iterable[str] = CHOSEN) -> tuple[Calibration, Array]:
    """The calibration of all looks, from the features of those names; and for each look the probability that is learnt
    from other data sets, each left out in turn, or with too few of them from other sequences, a fifth left out in turn.

    Raises UserError where there are too few looks, or hardly any right or wrong ones.
    """
    few = min(int(looks.right.sum()), int((~looks.right).sum()))
    if len(looks.right) < MIN_FRAMES or few < MIN_FRAMES // 10 or len(np.unique(looks.clip)) < 2:
        raise UserError(
            f"{len(looks.right)} frames, {few} of the rarer kind (right or wrong boxes): too few to calibrate; give"
            " more clips, some in which the target leaves or is hidden (`sot-tracker synth --events ...,hide,absence`)"
        )
    names = tuple(names)
    chosen = looks.features[:, [FEATURES.index(name) for name in names]]
    weight = 1.0 / np.bincount(looks.clip)[looks.clip]
    folds = _folds(looks)
    values = np.empty(len(looks.right))
    for fold in np.unique(folds):
        rest = folds != fold
        values[~rest] = _values(chosen[~rest], *_regression(chosen[rest], looks.right[rest], weight[rest]))
    curve = _curve(values, looks.right, weight)
    weights, bias = _regression(chosen, looks.right, weight)
    made = Calibration(
        {name: round(float(value), 6) for name, value in zip(names, weights, strict=True)}, round(bias, 6), curve
    )
    return made, _left_out(values, looks, weight, folds)


def _left_out(values: Array, looks: Looks, weight: Array, folds: Numbers) -> Array:
    """Probabilities of values by curves that did not see the clips either."""
    probability = np.empty(len(values))
    for fold in np.unique(folds):
        rest = folds != fold
        points, shares = zip(*_curve(values[rest], looks.right[rest], weight[rest]), strict=True)
        probability[~rest] = np.interp(values[~rest], points, shares)
    return probability


def quality(looks: Looks, probability: Array) -> Quality:
    """How good probabilities of N looks are."""
    said = tracking(looks, probability)
    absent = ~looks.present
    return Quality(
        right_auc=roc_auc(probability, looks.right),
        presence_auc=roc_auc(probability, looks.present),
        error=calibration_error(probability, looks.right),
        false_tracking=float(said[absent].mean()) if absent.any() else math.nan,
        right_tracking=float(said[looks.right].mean()) if looks.right.any() else math.nan,
    )


def tracking(looks: Looks, probability: Array, max_coast: float = Policy().max_coast) -> Mask:
    """Whether the state would be TRACKING at each look, 30 a second, with those probabilities.

    Boxes at the edge of the frame and look-alikes change the reason of a state, not the state, so they are left out.
    """
    said = np.zeros(len(probability), dtype=np.bool_)
    way = np.expm1(looks.features[:, FEATURES.index("jump")])
    way[looks.features[:, FEATURES.index("lost")] > 0] = 0.0
    condition = states.FIRST
    for i in range(len(probability)):
        if i and looks.clip[i] != looks.clip[i - 1]:
            condition = states.FIRST
        seen = states.Observation(bool(looks.accepted[i]), float(probability[i]), float(way[i]))
        condition = states.judge(condition, seen, states.BY_PROBABILITY, None, max_coast)
        said[i] = condition.state is State.TRACKING
    return said


def left_out(looks: Looks) -> str:
    """What is left out in turn: data sets or sequences."""
    return "data sets" if len(np.unique(looks.folder)) >= MIN_FOLDERS else "sequences"


def _folds(looks: Looks) -> Numbers:
    if left_out(looks) == "data sets":
        return looks.folder
    order = np.random.default_rng(0).permutation(int(looks.clip.max()) + 1)
    return np.asarray((order % FOLDS)[looks.clip], np.int64)


def _values(features: Array, weights: Array, bias: float) -> Array:
    return np.asarray(features @ weights + bias, np.float64)


def _regression(features: Array, right: Mask, weight: Array) -> tuple[Array, float]:
    """Weights and bias of the logistic regression: Newton's steps on the weighted loss with a small ridge."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    rows = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    ridge = np.append(np.full(features.shape[1], RIDGE), 0.0)
    share, y = weight / weight.sum(), right.astype(np.float64)

    def loss(at: Array) -> float:
        z = rows @ at
        return float(share @ (np.logaddexp(0, z) - y * z) + 0.5 * ridge @ at**2)

    found = np.zeros(rows.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(rows @ found, -40, 40)))
        slope = rows.T @ (share * (p - y)) + ridge * found
        bend = (rows.T * (share * p * (1 - p))) @ rows + np.diag(ridge + 1e-9)
        step, before = np.linalg.solve(bend, slope), loss(found)
        while loss(found - step) > before and np.abs(step).max() > 1e-9:
            step = step / 2
        found = found - step
        if before - loss(found) < 1e-9:
            break
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ mean)


def _curve(values: Array, right: Mask, weight: Array) -> tuple[tuple[float, float], ...]:
    """Points of a rising curve: mean value and share of right boxes of equal groups, held rising by pooling neighbours
    (pool adjacent violators). One right and one wrong look are added to each, so that no share is 0 or 1.
    """
    pools: list[list[float]] = []  # of weight, of weighted value, of weighted right ones, looks
    for group in np.array_split(np.argsort(values, kind="stable"), GROUPS):
        own = weight[group]
        pools.append([float(own.sum()), float(own @ values[group]), float(own @ right[group]), len(group)])
        while len(pools) > 1 and pools[-2][2] / pools[-2][0] >= pools[-1][2] / pools[-1][0]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    points: dict[float, float] = {}
    for total, value, hits, count in pools:
        points[round(value / total, 4)] = round((hits / total * count + 1) / (count + 2), 4)
    return tuple(points.items())
