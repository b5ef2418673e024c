"""A correlation filter trained on one target while it is tracked: ridge regression from features to a Gaussian peak.

As in ATOM (Danelljan et al., CVPR 2019) and DiMP (Bhat et al., ICCV 2019), but with nothing trained offline. The
features of a search patch, correlated with a small filter f, are to give a Gaussian peak at the target's centre and 0
elsewhere: conjugate gradients minimise sum_n w_n |X_n f - y_n|^2 + ridge |f|^2.

ATOM stores some fifty samples and uses all of them in each step. Here a sample is added to the normal equations (X'X
and X'y) and not stored. The sums are a moving average over all frames, so one step of the solver is the product of a
small matrix and a vector, whatever the number of samples. The first frame keeps a fixed share of the weight.

All functions are pure. Features are C x g x g, float32, of the search patch; responses and labels are g x g.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[np.float32]

CHANNELS = 48
"""Number of features after the projection."""
REACH = 1
"""Radius of the filter in cells: it covers 3 x 3 cells."""
RIDGE = 0.03
"""Regularisation, as a share of the mean of the diagonal of X'X."""
FIRST_SHARE = 0.35
"""Share of the weight that the first frame always keeps."""
SIGMA = 0.25
"""Standard deviation of the Gaussian peak, in sides of the target, sqrt(w h)."""
FIRST_STEPS, STEPS = 40, 4
"""Steps of the solver: for the first frame, and after each new sample."""
_FLOOR = 0.15  # share of the largest standard deviation, added to all before whitening so as not to amplify noise
_NEAR_WEIGHT = 4.0  # weight of cells on the target; background cells have 1


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """From C channels to whitened principal components: (x - mean) @ matrix."""

    mean: Array
    matrix: Array


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """Normal equations: X'WX (D x D) and X'Wy (D) for D filter coefficients, divided by the total weight."""

    gram: Array
    moment: Array

    def mixed(self, other: Equations, share: float) -> Equations:
        """The weighted mean of both, where `other` has the weight `share`, 0 to 1."""
        return Equations(
            self.gram + share * (other.gram - self.gram), self.moment + share * (other.moment - self.moment)
        )


@dataclass(frozen=True, slots=True, eq=False)
class OnlineFilter:
    """The filter of one target: projection and equations of the first frame, equations since then, and coefficients."""

    projection: Projection
    first: Equations
    since: Equations
    coefficients: Array


def start(features: Sequence[Array], labels: Sequence[Array]) -> OnlineFilter:
    """Train a filter on patches of a first frame (shifted, scaled, flipped), given their features and labels."""
    projection = fit_projection(features)
    first = mean(equations(samples(projection, item), label) for item, label in zip(features, labels, strict=True))
    return OnlineFilter(projection, first, first, solve(first, np.zeros_like(first.moment), FIRST_STEPS))


def learn(known: OnlineFilter, features: Array, label: Array, rate: float = 0.1, steps: int = STEPS) -> OnlineFilter:
    """The filter trained on one more patch; `rate`, 0 to 1, is the patch's weight in the moving average."""
    return learn_rows(known, samples(known.projection, features), label, rate, steps)


def learn_rows(known: OnlineFilter, rows: Array, label: Array, rate: float = 0.1, steps: int = STEPS) -> OnlineFilter:
    """As `learn`, given the rows that `samples` made from the features."""
    since = known.since.mixed(equations(rows, label), rate)
    both = since.mixed(known.first, FIRST_SHARE)
    return replace(known, since=since, coefficients=solve(both, known.coefficients, steps))


def respond(known: OnlineFilter, features: Array) -> Array:
    """The response map: about 1 at the target's centre, about 0 elsewhere; it may be a little outside of 0..1."""
    response: Array = samples(known.projection, features) @ known.coefficients
    return response.reshape(features.shape[1:])


def peak_label(x: float, y: float, sigma: float, grid: int) -> Array:
    """A Gaussian of height 1 at (x, y) cells from the patch's corner (a cell's centre is at +0.5), grid x grid."""
    at = np.arange(grid, dtype=np.float32) + 0.5
    return np.outer(np.exp(-((at - y) ** 2) / (2 * sigma**2)), np.exp(-((at - x) ** 2) / (2 * sigma**2)))


def fit_projection(features: Sequence[Array], channels: int = CHANNELS) -> Projection:
    """At most `channels` whitened principal components of all cells, scaled so that the sum of squares is near 1."""
    cells = np.concatenate([item.reshape(len(item), -1).T for item in features])
    mean = cells.mean(axis=0)
    spectrum, vectors = np.linalg.eigh(np.cov(cells - mean, rowvar=False).astype(np.float64))
    order = np.argsort(spectrum)[::-1][:channels]
    spread = np.sqrt(np.maximum(spectrum[order], 0))
    matrix = vectors[:, order] / (spread + _FLOOR * spread[0] + 1e-12) / np.sqrt(len(order))
    return Projection(mean.astype(np.float32), matrix.astype(np.float32))


def samples(projection: Projection, features: Array) -> Array:
    """The filter's inputs at each cell, g * g x D; zero outside of the patch."""
    channels, rows, columns = features.shape
    cells = (features.reshape(channels, -1).T - projection.mean) @ projection.matrix
    padded = np.pad(cells.reshape(rows, columns, -1), ((REACH, REACH), (REACH, REACH), (0, 0)))
    size = 2 * REACH + 1
    return np.ascontiguousarray(sliding_window_view(padded, (size, size), axis=(0, 1))).reshape(rows * columns, -1)


def weights(label: Array) -> Array:
    """Weights of the cells, g * g, sum 1. Cells on the target have a higher weight, since there are few of them."""
    values: Array = 1 + (_NEAR_WEIGHT - 1) * label.ravel()
    return np.asarray(values / values.sum(), np.float32)


def equations(rows: Array, label: Array) -> Equations:
    """The normal equations of one patch."""
    weight = weights(label)
    weighted = rows * np.sqrt(weight)[:, None]
    return Equations(weighted.T @ weighted, rows.T @ (weight * label.ravel()))


def mean(every: Iterable[Equations]) -> Equations:
    """The mean of normal equations, computed one after the other: those of a first frame take 18 MB together."""
    count, gram, moment = 0, np.float32(0), np.float32(0)
    for item in every:
        count, gram, moment = count + 1, gram + item.gram, moment + item.moment
    return Equations(gram / count, moment / count)


def solve(known: Equations, guess: Array, steps: int) -> Array:
    """Solve (X'WX + ridge) f = X'Wy by conjugate gradients from `guess`; stops early when it has converged."""
    ridge = np.float32(RIDGE * np.trace(known.gram) / len(guess) + 1e-12)
    f = guess
    residual = known.moment - known.gram @ f - ridge * f
    direction, left = residual, float(residual @ residual)
    converged = 1e-12 * float(known.moment @ known.moment)
    for _ in range(steps):
        if left <= converged:
            break
        turned = known.gram @ direction + ridge * direction
        step = np.float32(left / float(direction @ turned))
        f, residual = f + step * direction, residual - step * turned
        left, before = float(residual @ residual), left
        direction = residual + np.float32(left / before) * direction
    return f
