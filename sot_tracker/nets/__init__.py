"""The networks, one file per paper, in plain PyTorch.

Each file holds a frozen configuration dataclass, `VARIANTS` (catalogue name -> configuration) and `build(config)`.
Parameter names are those of the published checkpoints, so that they load without renaming.
"""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sot_tracker.catalog import network_spec
from sot_tracker.errors import MissingPackage

if TYPE_CHECKING:
    from torch import nn


def build(name: str, **overrides: Any) -> nn.Module:
    """The network of that name with fresh (paper) initialisation, in training mode.

    name: as in `catalog.MODELS`. overrides: fields of the network's configuration, for example
        `build("mvt", template_size=64, search_size=128)`; a field that does not exist raises TypeError.

    Raises UserError for a name without a network, MissingPackage without torch.
    """
    network_spec(name)
    try:
        family = import_module(f"sot_tracker.nets.{name.partition('_')[0]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingPackage("torch", f"the network '{name}'", "pip install 'sot_tracker[torch]'") from None
    network: nn.Module = family.build(dataclasses.replace(family.VARIANTS[name], **overrides))
    return network
