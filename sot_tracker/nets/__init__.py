"""The networks, one file per paper, in plain PyTorch.

Each file contains a frozen configuration dataclass and `FAMILY` (see `family.Family`), which tells the rest of the
package everything about the network. Parameter names are those of the published checkpoints, which load without
renaming.
"""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sot_tracker.catalog import network_spec, spec
from sot_tracker.errors import MissingPackage

if TYPE_CHECKING:
    from torch import nn

    from sot_tracker.nets.family import Family


def family_of(name: str) -> Family:
    """The family of the network of that name, from the module that its row of the catalogue names.

    Raises UserError for a name without a network, MissingPackage without torch.
    """
    network_spec(name)
    try:
        family: Family = import_module(spec(name).module).FAMILY
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingPackage("torch", f"the network '{name}'", "pip install 'sot_tracker[torch]'") from None
    if name not in family.variants:
        raise LookupError(f"{spec(name).module} has no variant '{name}', which the catalogue says it has")
    return family


def build(name: str, **overrides: Any) -> nn.Module:
    """The network of that name with fresh (paper) initialisation, in training mode.

    name: as in `catalog.MODELS`. overrides: fields of the network's configuration, for example
        `build("mvt", template_size=64, search_size=128)`; a field that does not exist raises TypeError.

    Raises UserError for a name without a network, MissingPackage without torch.
    """
    family = family_of(name)
    return family.build(dataclasses.replace(family.variants[name], **overrides))
