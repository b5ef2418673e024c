"""How well a score separates two kinds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]


def roc_auc(score: Scores, positive: Mask) -> float:
    """The chance that a positive scores above a negative, ties counting half; NaN without both kinds. Both (N,)."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[inverse]
    return float((ranks[positive].sum() - 0.5 * n_positive * (n_positive + 1)) / (n_positive * n_negative))


def best_threshold(score: Scores, positive: Mask) -> float:
    """The score that separates positives from negatives best (Youden's index), midway to the next lower one.

    NaN without both kinds. Both (N,).
    """
    if positive.all() or not positive.any():
        return float("nan")
    levels = np.unique(score)
    yes, no = np.sort(score[positive]), np.sort(score[~positive])
    gain = (len(yes) - np.searchsorted(yes, levels)) / len(yes) - (len(no) - np.searchsorted(no, levels)) / len(no)
    best = int(np.argmax(gain))
    return float(levels[best] if best == 0 else 0.5 * (levels[best - 1] + levels[best]))


def calibration_bins(probability: Scores, right: Mask, bins: int = 10) -> tuple[Scores, Scores, Scores]:
    """For each of `bins` equal parts of 0..1: how many of the N probabilities fall into it, their sum, and how many of
    them were right. Both (N,), results (bins,).
    """
    which = np.minimum((np.asarray(probability) * bins).astype(int), bins - 1)
    weights = np.ones(len(which)), np.asarray(probability, np.float64), np.asarray(right, np.float64)
    counts, sums, hits = (np.bincount(which, of, bins).astype(np.float64) for of in weights)
    return counts, sums, hits


def calibration_error(probability: Scores, right: Mask, bins: int = 10) -> float:
    """Expected calibration error: how far probabilities are from the share that is right, over equal bins of 0..1,
    weighted by how many fall into each (Naeini et al., AAAI 2015). Both (N,); NaN of nothing.
    """
    if not len(probability):
        return float("nan")
    _, sums, hits = calibration_bins(probability, right, bins)
    return float(np.abs(sums - hits).sum()) / len(probability)
