"""What the launch files share: option groups as launch arguments, and their texts as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.options import Options, check, defaults_of, options_of


def described(group: type[Options]) -> dict[str, str]:
    """Name -> what `ros2 launch --show-args` says: help text, what is allowed, and the default."""
    texts = {}
    for name, facts in options_of(group).items():
        choices = f" One of: {', '.join(facts.choices)}." if facts.choices else ""
        texts[name] = f"{facts.help}{choices}{_default(group, name)}"
    return texts


def values(given: Mapping[str, str], group: type[Options] = Config) -> dict[str, Any]:
    """The options of that group among the arguments that are not empty, as parameters in their own types.

    Raises UserError for one that is not possible, RuntimeError for one that is not YAML.
    """
    return {name: value(name, given[name], group) for name in options_of(group) if given.get(name)}


def value(name: str, text: str, group: type[Options] = Config) -> Any:
    """An option's value from its launch argument."""
    is_text = isinstance(defaults_of(group)[name], str)
    try:
        checked = check(name, text if is_text else yaml.safe_load(text), group)
    except yaml.YAMLError:
        raise RuntimeError(f"{name}:={text} cannot be read: give it as in a YAML file") from None
    return list(checked) if isinstance(checked, tuple) else checked


def switch(name: str, text: str) -> bool:
    """A launch argument that is true or false. Raises UserError for anything else."""
    if text.lower() not in ("true", "false"):
        raise UserError(f"{name}:={text} is not possible: give true or false")
    return text.lower() == "true"


def _default(group: type[Options], name: str) -> str:
    default = defaults_of(group)[name]
    shown = str(default).lower() if isinstance(default, bool) else default
    return "" if default in ("", ()) else f" Default: {shown}."
