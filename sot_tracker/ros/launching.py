"""Code shared by the launch files: descriptions of options as launch arguments, and parsing of their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.options import Options, check, defaults_of, options_of


def described(group: type[Options]) -> dict[str, str]:
    """Name -> description for `ros2 launch --show-args`: help text, allowed values and default."""
    texts = {}
    for name, facts in options_of(group).items():
        choices = f" One of: {', '.join(facts.choices)}." if facts.choices else ""
        texts[name] = f"{facts.help}{choices}{_default(group, name)}"
    return texts


def values(given: Mapping[str, str], group: type[Options] = Config) -> dict[str, Any]:
    """The non-empty launch arguments that are options of that group, converted to the types of the parameters.

    Raises UserError for an invalid value, RuntimeError for a text that is not YAML.
    """
    return {name: value(name, given[name], group) for name in options_of(group) if given.get(name)}


def value(name: str, text: str, group: type[Options] = Config) -> Any:
    """An option's value from its launch argument."""
    is_text = isinstance(defaults_of(group)[name], str)
    try:
        checked = check(name, text if is_text else yaml.safe_load(text), group)
    except yaml.YAMLError:
        raise RuntimeError(
            f"{name}:={text} is not valid YAML: give a number, true, false or a list such as [1.0, 2.0]"
        ) from None
    return list(checked) if isinstance(checked, tuple) else checked


def clock(given: Mapping[str, str]) -> dict[str, bool]:
    """The parameter use_sim_time, only where the argument is given: else the user's file or launch file may set it.

    Raises UserError for anything but true and false.
    """
    text = given["use_sim_time"]
    return {"use_sim_time": switch("use_sim_time", text)} if text else {}


def switch(name: str, text: str) -> bool:
    """The value of a launch argument that must be true or false. Raises UserError for anything else."""
    if text.lower() not in ("true", "false"):
        raise UserError(f"{name}:={text} is not possible: give true or false")
    return text.lower() == "true"


def _default(group: type[Options], name: str) -> str:
    default = defaults_of(group)[name]
    shown = str(default).lower() if isinstance(default, bool) else default
    return "" if default in ("", ()) else f" Default: {shown}."
