"""The probability that a box is right, from features of one search: logistic regression, then a monotone curve.

It is learnt per model by `sot-tracker calibrate`, and stored in the model folder's manifest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

FEATURES = (
    *("score", "peak", "second", "rival", "mass", "spread"),
    *("jump", "resize", "overlap", "lost", "recent", "memory", "jumped", "colour", "colour_memory"),
    *("differs", "differs_memory", "nearer"),
)
"""The features that a calibration may use; `tracking/confidence.py` computes them."""
MAX_POINTS = 64
"""Largest number of points of the curve."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(the box overlaps the target by half or more) = curve(bias + sum of weights times features).

    weights: name of a feature -> its weight. curve: (value, probability) points, both rising; linear in between and
    constant beyond the ends.
    """

    weights: Mapping[str, float]
    bias: float
    curve: tuple[tuple[float, float], ...]

    def logit(self, features: Mapping[str, float]) -> float:
        """The weighted sum. Raises KeyError where a feature is missing."""
        return self.bias + sum(weight * features[name] for name, weight in self.weights.items())

    def probability(self, features: Mapping[str, float]) -> float:
        """The probability that the box is right, 0 to 1."""
        points, values = zip(*self.curve, strict=True)
        return float(np.interp(self.logit(features), points, values))

    def as_json(self) -> dict[str, Any]:
        """The calibration as it is stored in a manifest."""
        return {"weights": dict(self.weights), "bias": self.bias, "curve": [list(point) for point in self.curve]}


def parse(value: Any) -> Calibration:
    """Read a calibration from JSON values. Raises ValueError saying what is wrong."""
    if not isinstance(value, dict) or value.keys() != {"weights", "bias", "curve"}:
        raise ValueError("a calibration has weights, bias and curve")
    weights, bias, curve = value["weights"], value["bias"], value["curve"]
    if not isinstance(weights, dict) or not all(_is_number(weight) for weight in weights.values()):
        raise ValueError("the weights of a calibration are a table of numbers")
    if unknown := sorted(weights.keys() - set(FEATURES)):
        raise ValueError(f"a calibration knows no feature {unknown[0][:40]!r}")
    if not _is_number(bias):
        raise ValueError("the bias of a calibration is a number")
    if not _is_curve(curve):
        raise ValueError(f"the curve of a calibration is 1 to {MAX_POINTS} rising pairs, the second number in 0..1")
    return Calibration(dict(weights), float(bias), tuple((float(x), float(p)) for x, p in curve))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e6


def _is_curve(value: Any) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_POINTS:
        return False
    if not all(isinstance(point, list) and len(point) == 2 and all(map(_is_number, point)) for point in value):
        return False
    rises = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(value))
    return rises and value[0][1] >= 0 and value[-1][1] <= 1
