"""`--start matching`: initialises a network with filters from the statistics of the training pictures, so that it finds
similar patches before any training. How the filters are used is defined by the family (`Family.similarity_start`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sot_tracker.catalog import network_spec
from sot_tracker.errors import UserError
from sot_tracker.nets import family_of
from sot_tracker.train.cache import Cache

PATCHES = 40_000
WHITENING = 0.4
"""Exponent of the variances. 0.5 would whiten completely, which amplifies noise as much as shapes."""

Normalization = tuple[tuple[float, float, float], tuple[float, float, float]]


def start(net: nn.Module, model: str, cache: Cache, tracks: np.ndarray, seed: int) -> None:
    """Set a new network's weights in place. tracks: indices into cache.tracks of the pictures to use.

    Raises UserError for a network that has no such start.
    """
    family_start = require(model)
    normalization, rng = network_spec(model).normalization, np.random.default_rng(seed)

    def principal(side: int, count: int) -> tuple[Tensor, Tensor]:
        return principal_filters(patches(cache, tracks, side, normalization, rng), count)

    family_start(net, principal, torch.Generator().manual_seed(seed))


def require(model: str) -> Callable[..., None]:
    """The family's function for such a start. Raises UserError for a network that has none."""
    family_start = family_of(model).similarity_start
    if family_start is None:
        raise UserError(f"--start matching is not possible for {model} (it is for FERMT): choose --start random")
    return family_start


def patches(
    cache: Cache, tracks: np.ndarray, side: int, normalization: Normalization, rng: np.random.Generator
) -> np.ndarray:
    """Random patches of the tracks' pictures, normalised: (about PATCHES, 3 * side * side), channel first."""
    entries = np.concatenate([np.arange(*cache.ranges[track]) for track in tracks])
    found = []
    for entry in rng.choice(entries, max(1, PATCHES // 16)):
        picture = cache.picture(int(entry))[..., 2::-1]
        free = np.array(picture.shape[:2]) - side
        if (free < 0).any():
            continue
        for y, x in rng.integers(free + 1, size=(16, 2)):
            found.append(picture[y : y + side, x : x + side])
    if not found:
        raise UserError(f"no picture of the training data has {side} pixels: --start matching cannot learn its patches")
    mean, std = normalization
    values = (np.stack(found) / 255 - np.array(mean)) / np.array(std)
    rows: np.ndarray = values.transpose(0, 3, 1, 2).reshape(len(found), -1)
    return rows


def principal_filters(samples: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
    """Filters (count, D) and biases (count,) whose outputs on samples (N, D) have mean 0 and about unit variance."""
    middle = samples.mean(0)
    variances, directions = np.linalg.eigh(np.cov((samples - middle).T))
    variances, directions = variances[::-1][:count], directions[:, ::-1][:, :count]
    variances = variances.clip(min=1e-6 * variances[0])
    filters = (directions * variances**-WHITENING).T
    filters /= math.sqrt((variances ** (1 - 2 * WHITENING)).mean())
    return torch.from_numpy(filters.copy()).float(), torch.from_numpy(-(filters @ middle)).float()
