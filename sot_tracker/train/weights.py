"""Initial weights: from another checkpoint of this project, or from a backbone file with timm's names.

Names are mapped and shapes compared. Everything that does not fit is reported, so that it is noticed if only a part of
a backbone was loaded.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sot_tracker.checkpoints import read_safetensors
from sot_tracker.errors import UserError
from sot_tracker.manifest import WEIGHTS
from sot_tracker.nets.family import Family, Rule
from sot_tracker.train import state


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of `initialise`: number of tensors that were loaded, and names of those that were not, by reason."""

    taken: int
    unused: tuple[str, ...]
    misshapen: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"started from {self.taken} tensors; {len(self.left)} of the network keep their fresh values"]
        for title, names in (
            ("unused in the file", self.unused),
            ("of another shape", self.misshapen),
            ("fresh", self.left),
        ):
            if names:
                lines.append(
                    f"  {title}: {', '.join(names[:12])}{f' and {len(names) - 12} more' if len(names) > 12 else ''}"
                )
        return "\n".join(lines)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a model folder, of a checkpoint of this project (its average), or of a plain
    state dict.

    Raises UserError if there is no such file or it cannot be read.
    """
    if path.is_dir():
        path = path / WEIGHTS
    if path.suffix == ".safetensors":
        return read_safetensors(path)[1]
    content = state.load(path)
    tensors: dict[str, Tensor] = content.get("ema", content)
    if not isinstance(tensors, dict) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UserError(f"'{path}' holds no weights: give a checkpoint of `sot-tracker train` or a state dict")
    return tensors


def initialise(net: nn.Module, path: Path, family: Family) -> Loaded:
    """Load all tensors of `path` that fit into `net`, a network of that family. Raises UserError if none fits."""
    own, given = net.state_dict(), read(path)
    config: Any = net.config
    rules = [] if set(given) & set(own) else family.pretrained(config)
    fitting: dict[str, Tensor] = {}
    unused, misshapen = [], []
    for name, value in given.items():
        ours = name if name in own else renamed(name, rules, own)
        if ours is None:
            unused.append(name)
        elif _is_table(ours, own[ours]):
            continue
        elif (fitted := fit(net, family, ours, value, own[ours].shape)) is None:
            misshapen.append(f"{name} {list(value.shape)}, wanted {list(own[ours].shape)}")
        else:
            fitting[ours] = fitted.to(own[ours].dtype)
    if not fitting:
        raise UserError(
            f"--init '{path}' holds nothing that fits {type(net).__name__}: give its backbone or a checkpoint of it"
        )
    net.load_state_dict(fitting, strict=False)
    family.after_loading(net, fitting)
    left = tuple(n for n in own if n not in fitting and own[n].is_floating_point())
    return Loaded(len(fitting), tuple(unused), tuple(misshapen), left)


def _is_table(name: str, value: Tensor) -> bool:
    """Whether a tensor is a table of indices, which is computed from the sizes of the patches."""
    return not value.is_floating_point() and not name.endswith("num_batches_tracked")


def renamed(name: str, rules: Sequence[Rule], known: Container[str]) -> str | None:
    """The network's name for a name of the file, by the first rule that gives one; None if there is none."""
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match is not None and (ours := match.expand(replacement)) in known:
            return ours
    return None


def fit(net: nn.Module, family: Family, name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    """The tensor in the wanted shape, or None if it cannot be converted.

    1x1 convolutions and linear layers differ only in dimensions of size 1. Tensors whose shape depends on the sizes of
    the patches are converted by the family.
    """
    if value.shape == shape:
        return value
    if value.numel() == shape.numel() and [n for n in value.shape if n > 1] == [n for n in shape if n > 1]:
        return value.reshape(shape)
    return family.resize(net, name, value, shape)
