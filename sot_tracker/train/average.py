"""The mean of several trained weights of one network, which is often better than each of them (Wortsman et al., "Model
soups", 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sot_tracker.catalog import network_spec
from sot_tracker.checkpoints import load_state_dict
from sot_tracker.errors import UserError
from sot_tracker.train import bn_recalibration, precision
from sot_tracker.train.batches import Batches
from sot_tracker.train.cache import Cache
from sot_tracker.train.feed import Feed, build_net
from sot_tracker.train.recipe import Recipe
from sot_tracker.train.sampling import PairSampler

_BATCH, _BATCHES = 32, 8


def mean(model: str, files: Sequence[Path], recipe: Recipe, cache: Cache | None) -> nn.Module:
    """The network with the mean of the files' weights, in eval mode.

    cache: pictures from which the batch-norm statistics are computed; None if all files have the same statistics
    (`--frozen-norms`). Raises UserError for fewer than two files, a file that does not fit, and for different
    statistics without a cache.
    """
    if len(files) < 2:
        raise UserError(f"{len(files)} weights file is not enough for a mean: give two or more")
    net = build_net(model, recipe).eval()
    states: list[dict[str, Tensor]] = []
    for path in files:
        load_state_dict(path, net, model)
        states.append({name: value.clone() for name, value in net.state_dict().items()})
    other = None if cache is not None else _other_norm(states)
    if other is not None:
        raise UserError(f"'{other}' differs between the files, and statistics have no mean: give --cache DIR")
    net.load_state_dict({name: _mean([state[name] for state in states]) for name in states[0]})
    return net if cache is None else _with_statistics(net, model, recipe, cache)


def _other_norm(states: Sequence[dict[str, Tensor]]) -> str | None:
    """The first batch-norm statistic that is not the same in all; the order of saving is the network's."""
    first, *others = states
    names = [name for name in first if name.endswith(("running_mean", "running_var"))]
    return next((name for name in names for state in others if not torch.equal(state[name], first[name])), None)


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean(0) if values[0].is_floating_point() else values[0]


def _with_statistics(net: nn.Module, model: str, recipe: Recipe, cache: Cache) -> nn.Module:
    tracks = np.arange(len(cache.tracks))
    sizes = recipe.template_size, recipe.search_size
    pairs = PairSampler(cache, tracks, recipe.sampling, network_spec(model), *sizes, bn_recalibration.SEED)
    device = torch.device("cpu")
    feed = Feed(network_spec(model), precision.resolve(recipe.precision, device), device)
    return bn_recalibration.calibrated(net, (Batches(pairs, _BATCH)[i] for i in range(_BATCHES)), feed)
