"""Learns a `Calibration` from clips with known truth: how likely is a box to be right, given the features of a search?

First a logistic regression on standardised features, then a monotone curve (isotonic regression over equal groups).
Scores mean different things in different kinds of clips. So the curve is learnt from predictions for data sets that the
regression has not seen, or, with too few data sets, for sequences that it has not seen. All sequences have the same
weight, however long they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sot_tracker.calibration import FEATURES, Calibration
from sot_tracker.errors import UserError
from sot_tracker.evaluate.samples import Array, Mask, Numbers, Samples
from sot_tracker.stats import calibration_error, roc_auc
from sot_tracker.tracker import Policy, State
from sot_tracker.tracking import states

CHOSEN = ("score", "recent", "differs", "differs_memory", "nearer")
"""The features that give the best predictions for clips of another kind than those learnt from. With all features the
predictions are worse."""
FOLDS = 5
"""Number of folds for cross-validation over sequences, used with too few data sets."""
MIN_FOLDERS = 3
"""With at least this many data sets, each data set is a fold."""
GROUPS = 15
"""Number of groups of predictions; each group gives one point of the curve."""
RIDGE = 0.1
"""Ridge penalty on standardised weights. It hardly changes the probabilities for clips like those learnt from, and
improves them for other clips."""
MIN_FRAMES = 100
"""Smallest number of samples; at least a tenth of this number must be right, and as many wrong."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of probabilities for clips from which they were not learnt.

    right_auc: ROC AUC for right boxes. presence_auc: ROC AUC for frames with the target (NaN if it is in all frames).
    error: expected calibration error. false_tracking: share of the frames without the target whose state would be
    TRACKING. right_tracking: the same for frames with a right box. Both are NaN if there are no such frames.
    """

    right_auc: float
    presence_auc: float
    error: float
    false_tracking: float
    right_tracking: float


def learn(samples: Samples, names: Iterable[str] = CHOSEN) -> tuple[Calibration, Array]:
    """Learn a calibration from the features of those names. Returns it with a probability for each sample.

    The probability of a sample is computed by a calibration that was learnt from the other folds.
    Raises UserError if there are too few samples, or hardly any right or wrong ones.
    """
    few = min(int(samples.right.sum()), int((~samples.right).sum()))
    if len(samples.right) < MIN_FRAMES or few < MIN_FRAMES // 10 or len(np.unique(samples.clip)) < 2:
        raise UserError(
            f"{len(samples.right)} frames, {few} of the rarer kind (right or wrong boxes): too few to calibrate; give"
            " more clips, some in which the target leaves or is hidden (`sot-tracker synth --events ...,hide,absence`)"
        )
    names = tuple(names)
    chosen = samples.features[:, [FEATURES.index(name) for name in names]]
    weight = 1.0 / np.bincount(samples.clip)[samples.clip]
    folds = _folds(samples)
    values = np.empty(len(samples.right))
    for fold in np.unique(folds):
        rest = folds != fold
        values[~rest] = _values(chosen[~rest], *_regression(chosen[rest], samples.right[rest], weight[rest]))
    curve = _curve(values, samples.right, weight)
    weights, bias = _regression(chosen, samples.right, weight)
    made = Calibration(
        {name: round(float(value), 6) for name, value in zip(names, weights, strict=True)}, round(bias, 6), curve
    )
    return made, _left_out(values, samples, weight, folds)


def _left_out(values: Array, samples: Samples, weight: Array, folds: Numbers) -> Array:
    """Probabilities for the held-out predictions, by curves that were learnt from the other folds."""
    probability = np.empty(len(values))
    for fold in np.unique(folds):
        rest = folds != fold
        points, shares = zip(*_curve(values[rest], samples.right[rest], weight[rest]), strict=True)
        probability[~rest] = np.interp(values[~rest], points, shares)
    return probability


def quality(samples: Samples, probability: Array) -> Quality:
    """The quality of the probabilities of N samples."""
    is_tracking = tracking(samples, probability)
    absent = ~samples.present
    return Quality(
        right_auc=roc_auc(probability, samples.right),
        presence_auc=roc_auc(probability, samples.present),
        error=calibration_error(probability, samples.right),
        false_tracking=float(is_tracking[absent].mean()) if absent.any() else math.nan,
        right_tracking=float(is_tracking[samples.right].mean()) if samples.right.any() else math.nan,
    )


def tracking(samples: Samples, probability: Array, max_coast: float = Policy().max_coast) -> Mask:
    """Whether the state would be TRACKING in each frame, at 30 frames per second, with those probabilities.

    The edge of the frame and look-alikes only affect the reason of a state, not the state, so they are left out.
    """
    is_tracking = np.zeros(len(probability), dtype=np.bool_)
    jump = np.expm1(samples.features[:, FEATURES.index("jump")])
    jump[samples.features[:, FEATURES.index("lost")] > 0] = 0.0
    condition = states.FIRST
    for i in range(len(probability)):
        if i and samples.clip[i] != samples.clip[i - 1]:
            condition = states.FIRST
        seen = states.Observation(bool(samples.accepted[i]), float(probability[i]), float(jump[i]))
        condition = states.judge(condition, seen, states.BY_PROBABILITY, None, max_coast)
        is_tracking[i] = condition.state is State.TRACKING
    return is_tracking


def left_out(samples: Samples) -> str:
    """What the folds are made of: "data sets" or "sequences"."""
    return "data sets" if len(np.unique(samples.folder)) >= MIN_FOLDERS else "sequences"


def _folds(samples: Samples) -> Numbers:
    if left_out(samples) == "data sets":
        return samples.folder
    order = np.random.default_rng(0).permutation(int(samples.clip.max()) + 1)
    return np.asarray((order % FOLDS)[samples.clip], np.int64)


def _values(features: Array, weights: Array, bias: float) -> Array:
    return np.asarray(features @ weights + bias, np.float64)


def _regression(features: Array, right: Mask, weight: Array) -> tuple[Array, float]:
    """Weights and bias of the logistic regression, by Newton's method on the weighted loss with a ridge penalty."""
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
        gradient = rows.T @ (share * (p - y)) + ridge * found
        hessian = (rows.T * (share * p * (1 - p))) @ rows + np.diag(ridge + 1e-9)
        step, before = np.linalg.solve(hessian, gradient), loss(found)
        while loss(found - step) > before and np.abs(step).max() > 1e-9:
            step = step / 2
        found = found - step
        if before - loss(found) < 1e-9:
            break
    weights = found[:-1] / spread
    return weights, float(found[-1] - weights @ mean)


def _curve(values: Array, right: Mask, weight: Array) -> tuple[tuple[float, float], ...]:
    """Points of a rising curve: mean value and share of right boxes of groups of equal size.

    Neighbouring groups are pooled where the curve would fall (pool adjacent violators). One right and one wrong sample
    are added to each group, so that no share is 0 or 1.
    """
    pools: list[list[float]] = []  # sums over a pool: weight, weighted value, weighted right boxes, samples
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
