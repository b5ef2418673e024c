"""The record that each file in `nets/` exports as `FAMILY`, with everything that the package must know of a network.

A new network needs one file with a configuration, a module and a `FAMILY`, and one line in `catalog.py` that names the
file. No other code depends on which network it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Rule = tuple[str, str]
"""Name of a tensor in a pre-trained file, a regular expression that must match it whole, and our name for it."""

PrincipalFilters = Callable[[int, int], tuple[Tensor, Tensor]]
"""Side of a patch in pixels and number of filters -> filters (count, 3 * side * side) and biases (count,), whose
outputs on the training pictures have mean 0 and size of about 1."""


@dataclass(frozen=True, slots=True)
class Tap:
    """Where features can be read from a network: maps (B, C, g, g) or tokens (B, g * g, C).

    path: of the module. inputs: the features are what the module is given, not what it returns. stride: pixels between
    them, 16 or 8; all are used at 16.
    """

    path: str
    inputs: bool = False
    stride: int = 16


@dataclass(frozen=True, slots=True)
class CellTaps:
    """Where tokens can be read from a network without a score map, for a loss per search cell (`aux_cell_loss`).

    stages: modules that return tokens (B, n, C), those of the search region first: path, C, side of the search grid.
    compared: path of the module that returns the tokens (B, n, C) that the head reads and the vector (B, C) with which
        it weighs them.
    """

    stages: tuple[tuple[str, int, int], ...]
    compared: str


def _no_rules(_config: Any) -> Sequence[Rule]:
    return ()


def _no_resizing(_net: Any, _name: str, _value: Tensor, _shape: torch.Size) -> Tensor | None:
    return None


def _nothing(_net: Any, _loaded: Collection[str]) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Family:
    """One network architecture and all its variants. How it is fed and read stands in its rows of the catalogue.

    variants: catalogue name -> frozen configuration; every configuration has `template_size` and `search_size`.
    build: the network of a configuration, fresh, with `config`, `template`, `search` and `forward`
        (docs/architecture.md, "Maps").
    backbone_features: what it has seen of the pictures, of both patches where it has them apart, the template's first.
    head_features: what its head reads, of the search patch alone.
    paper, scratch: fields of `train.recipe.Recipe` in which this family differs from the preset of that name, with
        "sampling" a table of fields again; `paper` is None where nothing was published.
    positive_above: centre heads: labels above it count as positive in the focal loss.
    fast_parameters: endings of the names of parameters that learn at `Recipe.position_rate` times the backbone's rate.
    pretrained: name rules for the tensors of a pre-trained backbone file, from a configuration.
    resize: brings a tensor that was trained at other picture sizes to the shape given; None where that makes no sense.
    after_loading: called with the names that were loaded, for tensors that follow from others.
    similarity_start: sets the weights of a fresh network so that it finds by similarity; None if there is no such way.
    cell_taps: for networks without a score map; None for the others.
    first_blocks: the parts of the backbone that can be kept as they start, from the picture on; None where that is not
        offered.
    cuda_layout: memory format in which it trains fastest on a CUDA device (measured on an H200, bf16).
    """

    variants: Mapping[str, Any]
    build: Callable[[Any], nn.Module]
    backbone_features: Tap
    head_features: Tap
    paper: Mapping[str, Any] | None = None
    scratch: Mapping[str, Any] = field(default_factory=dict)
    positive_above: float = 0.1
    fast_parameters: tuple[str, ...] = ()
    pretrained: Callable[[Any], Sequence[Rule]] = _no_rules
    resize: Callable[[Any, str, Tensor, torch.Size], Tensor | None] = _no_resizing
    after_loading: Callable[[Any, Collection[str]], None] = _nothing
    similarity_start: Callable[[Any, PrincipalFilters, torch.Generator], None] | None = None
    cell_taps: Callable[[Any], CellTaps] | None = None
    first_blocks: Callable[[Any], Sequence[nn.Module]] | None = None
    cuda_layout: torch.memory_format = torch.channels_last
