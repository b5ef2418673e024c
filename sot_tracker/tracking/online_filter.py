"""A filter that learns one target while it is followed: ridge regression from a network's features to a peak on it.

In the way of ATOM (Danelljan et al., CVPR 2019) and DiMP (Bhat et al., ICCV 2019), with nothing trained before: a small
filter f, so that the features of a search patch, correlated with f, give a Gaussian peak on the target's centre and
nothing elsewhere. It minimises sum_n w_n |X_n f - y_n|^2 + ridge |f|^2 by conjugate gradients.

ATOM keeps some fifty samples and goes through all of them in each step. Here a sample goes into the normal equations
(X'X and X'y) at once and is forgotten: the sums are a moving average over all frames, and one step of the solver is one
small matrix times a vector, whatever the number of samples. The first frame keeps a fixed share of the weight.

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
"""Features after the projection."""
REACH = 1
"""Cells around each cell that the filter sees: 3 x 3."""
RIDGE = 0.03
"""Regularisation, as a share of the mean of the diagonal of X'X."""
FIRST_SHARE = 0.35
"""Weight of the first frame for good."""
SIGMA = 0.25
"""Of the peak, in sides of the target, sqrt(w h)."""
FIRST_STEPS, STEPS = 40, 4
"""Of the solver: at the start and after each new sample."""
_FLOOR = 0.15  # of the spectrum's head, added before whitening: directions of noise are not blown up
_NEAR_WEIGHT = 4.0  # of cells on the target, against 1 for the background


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """From C channels to whitened principal components: (x - mean) @ matrix."""

    mean: Array
    matrix: Array


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """X'WX (D x D) and X'Wy (D), D the filter's coefficients; per unit of weight."""

    gram: Array
    moment: Array

    def mixed(self, other: Equations, share: float) -> Equations:
        """These with `share` of the other ones."""
        return Equations(
            self.gram + share * (other.gram - self.gram), self.moment + share * (other.moment - self.moment)
        )


@dataclass(frozen=True, slots=True, eq=False)
class OnlineFilter:
    """What is remembered of a target: the projection and equations of the first frame, those since, the solution."""

    projection: Projection
    first: Equations
    since: Equations
    coefficients: Array


def start(features: Sequence[Array], labels: Sequence[Array]) -> OnlineFilter:
    """The filter of a target from patches of its first frame (shifted, scaled, flipped) and where it is in them."""
    projection = fit_projection(features)
    first = mean(equations(samples(projection, item), label) for item, label in zip(features, labels, strict=True))
    return OnlineFilter(projection, first, first, solve(first, np.zeros_like(first.moment), FIRST_STEPS))


def learn(known: OnlineFilter, features: Array, label: Array, rate: float = 0.1, steps: int = STEPS) -> OnlineFilter:
    """The filter after one more patch; `rate`, 0 to 1, is its share of what was learnt since the first frame."""
    return learn_rows(known, samples(known.projection, features), label, rate, steps)


def learn_rows(known: OnlineFilter, rows: Array, label: Array, rate: float = 0.1, steps: int = STEPS) -> OnlineFilter:
    """`learn`, given what `samples` made of the features."""
    since = known.since.mixed(equations(rows, label), rate)
    both = since.mixed(known.first, FIRST_SHARE)
    return replace(known, since=since, coefficients=solve(both, known.coefficients, steps))


def respond(known: OnlineFilter, features: Array) -> Array:
    """Where the target is: about 1 on its centre, about 0 elsewhere; may be a little outside of 0..1."""
    response: Array = samples(known.projection, features) @ known.coefficients
    return response.reshape(features.shape[1:])


def peak_label(x: float, y: float, sigma: float, grid: int) -> Array:
    """A Gaussian of height 1 at (x, y) cells from the patch's corner (a cell's centre is at +0.5), grid x grid."""
    at = np.arange(grid, dtype=np.float32) + 0.5
    return np.outer(np.exp(-((at - y) ** 2) / (2 * sigma**2)), np.exp(-((at - x) ** 2) / (2 * sigma**2)))


def fit_projection(features: Sequence[Array], channels: int = CHANNELS) -> Projection:
    """Principal components of all cells, whitened, at most `channels` of them and scaled to a sum of squares near 1."""
    cells = np.concatenate([item.reshape(len(item), -1).T for item in features])
    mean = cells.mean(axis=0)
    spectrum, vectors = np.linalg.eigh(np.cov(cells - mean, rowvar=False).astype(np.float64))
    order = np.argsort(spectrum)[::-1][:channels]
    spread = np.sqrt(np.maximum(spectrum[order], 0))
    matrix = vectors[:, order] / (spread + _FLOOR * spread[0] + 1e-12) / np.sqrt(len(order))
    return Projection(mean.astype(np.float32), matrix.astype(np.float32))


def samples(projection: Projection, features: Array) -> Array:
    """g * g x D: what the filter sees at each cell, zero beyond the patch."""
    channels, rows, columns = features.shape
    cells = (features.reshape(channels, -1).T - projection.mean) @ projection.matrix
    padded = np.pad(cells.reshape(rows, columns, -1), ((REACH, REACH), (REACH, REACH), (0, 0)))
    size = 2 * REACH + 1
    return np.ascontiguousarray(sliding_window_view(padded, (size, size), axis=(0, 1))).reshape(rows * columns, -1)


def weights(label: Array) -> Array:
    """g * g, sum 1: the cells on the target count more, since there are so few of them."""
    values: Array = 1 + (_NEAR_WEIGHT - 1) * label.ravel()
    return np.asarray(values / values.sum(), np.float32)


def equations(rows: Array, label: Array) -> Equations:
    """The normal equations of one patch."""
    weight = weights(label)
    weighted = rows * np.sqrt(weight)[:, None]
    return Equations(weighted.T @ weighted, rows.T @ (weight * label.ravel()))


def mean(every: Iterable[Equations]) -> Equations:
    """Added up one after the other, since all of a first frame's together take 18 MB."""
    count, gram, moment = 0, np.float32(0), np.float32(0)
    for item in every:
        count, gram, moment = count + 1, gram + item.gram, moment + item.moment
    return Equations(gram / count, moment / count)


def solve(known: Equations, guess: Array, steps: int) -> Array:
    """Conjugate gradients on (X'WX + ridge) f = X'Wy from `guess`; stops where nothing is left to gain."""
    ridge = np.float32(RIDGE * np.trace(known.gram) / len(guess) + 1e-12)
    f = guess
    residual = known.moment - known.gram @ f - ridge * f
    direction, left = residual, float(residual @ residual)
    enough = 1e-12 * float(known.moment @ known.moment)
    for _ in range(steps):
        if left <= enough:
            break
        turned = known.gram @ direction + ridge * direction
        step = np.float32(left / float(direction @ turned))
        f, residual = f + step * direction, residual - step * turned
        left, before = float(residual @ residual), left
        direction = residual + np.float32(left / before) * direction
    return f
