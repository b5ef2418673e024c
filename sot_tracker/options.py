"""Options: their defaults, allowed values and help texts; groups of options, checks of values, tables for the docs.

The options themselves are in `config.py` (tracker and node) and in a `config.py` or `*_config.py` of other packages.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from sot_tracker.box import Box
from sot_tracker.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self


class Scope(Enum):
    """Where an option can be used."""

    TRACKER = "tracker"  # `load()`, every command line and the node
    NODE = "node"  # only the node


@dataclass(frozen=True, slots=True)
class Option:
    """Facts about an option besides its type and default."""

    help: str
    scope: Scope
    choices: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    live: bool = False  # may be changed while the node runs
    items: tuple[str, ...] = ()  # names of the numbers of a list, which may also be empty
    fits: Callable[[tuple[float, ...]], bool] | None = None  # whether these numbers are valid together
    rule: str = ""  # what `fits` requires, for messages


def option(default: Any, text: str, scope: Scope = Scope.TRACKER, **facts: Any) -> Any:
    return dataclasses.field(default=default, metadata={"option": Option(text, scope, **facts)})


@dataclass(frozen=True)
class Options:
    """Base class of option groups. Fields are defined by `option` and checked when an object is created.

    Raises UserError naming the option, its value and what is allowed.
    """

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, check(item.name, getattr(self, item.name), type(self)))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Create the group from option names and values. Raises UserError for an option that does not exist."""
        known = options_of(cls)
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(f"unknown option '{unknown[0]}': known are {', '.join(known)}")
        return cls(**values)


BOX_ITEMS, BOX_RULE = ("x", "y", "w", "h"), "four finite numbers with positive width and height"
RANGE_ITEMS, RANGE_RULE = ("low", "high"), "two numbers from 0 to 65535, the smaller first"


def is_box(values: tuple[float, ...]) -> bool:
    return Box.from_xywh(values).is_valid


def is_range16(values: tuple[float, ...]) -> bool:
    return 0 <= values[0] < values[1] <= 65535


def options_of(group: type[Options]) -> dict[str, Option]:
    """Name -> facts of every option of that group."""
    return {item.name: item.metadata["option"] for item in dataclasses.fields(group)}


def defaults_of(group: type[Options]) -> dict[str, Any]:
    """Name -> default of every option of that group."""
    return {item.name: item.default for item in dataclasses.fields(group)}


def check(name: str, value: Any, group: type[Options]) -> Any:
    """The value, converted to the option's type. Raises UserError for a wrong type or a value that is not allowed."""
    item = group.__dataclass_fields__[name]
    facts, default = item.metadata["option"], item.default
    value = _coerce(name, _switch(value, facts), default)
    if facts.choices is not None and value not in facts.choices:
        raise UserError(f"{name}='{value}' is not possible: choose one of {', '.join(facts.choices)}")
    if facts.low is not None and facts.high is not None and not facts.low <= value <= facts.high:
        raise UserError(f"{name}={value} is out of range: give {facts.low:g} to {facts.high:g}")
    if facts.items and len(value) not in (0, len(facts.items)):
        wanted = ", ".join(facts.items)
        raise UserError(f"{name}={list(value)} has {len(value)} numbers: give [{wanted}] or nothing")
    if facts.fits is not None and value and not facts.fits(value):
        raise UserError(f"{name}={list(value)} cannot be used: give {facts.rule}")
    return value


def _switch(value: Any, facts: Option) -> Any:
    """The original word "on" or "off": YAML, and so ROS, reads these as booleans (propagate:=off)."""
    is_switch = facts.choices is not None and not {"on", "off"}.isdisjoint(facts.choices)
    return ("off", "on")[value] if is_switch and isinstance(value, bool) else value


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", tuple: "a list of numbers"}


def _coerce(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    if getattr(value, "shape", None) == ():  # one number, truth value or text of NumPy's
        value = value.item()
    try:
        if kind is tuple:
            if isinstance(value, str) or any(isinstance(v, (str, bool)) for v in value):
                raise TypeError
            return tuple(float(v) for v in value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, os.PathLike):
            return str(value)
        if kind is str and isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # ROS reads source:=0 and weights:=2024 as numbers
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{name}={value!r} has the wrong type: give {_WORDS[kind]}") from None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{name}={value!r} has the wrong type: give {_WORDS[kind]}, for example {default!r}")
    return value


def markdown_table(group: type[Options]) -> str:
    """The options of a group as a table for the docs: name, default, allowed values, help.

    If some are only for the node, a column tells which.
    """
    options = options_of(group)
    mixed = len({facts.scope for facts in options.values()}) > 1
    rows = _row("option", "default", "allowed", "known to" if mixed else None, "meaning")
    rows += _row("---", "---", "---", "---" if mixed else None, "---")
    for name, facts in options.items():
        default = defaults_of(group)[name]
        shown = list(default) if isinstance(default, tuple) else default
        known = "node, CLI, Python" if facts.scope is Scope.TRACKER else "node"
        live = " Can be changed while running." if facts.live else ""
        allowed = _allowed(facts, default)
        rows += _row(f"`{name}`", f"`{shown!r}`", allowed, known if mixed else None, f"{facts.help}{live}")
    return "\n".join(rows)


def _row(*cells: str | None) -> list[str]:
    return [f"| {' | '.join(cell for cell in cells if cell is not None)} |"]


def _allowed(facts: Option, default: Any) -> str:
    if facts.choices:
        return ", ".join(f"`{choice}`" for choice in facts.choices)
    if facts.low is not None and facts.high is not None:
        return f"{facts.low:g} to {facts.high:g}"
    return {bool: "`true`, `false`", tuple: "numbers", str: "text"}[type(default)]
