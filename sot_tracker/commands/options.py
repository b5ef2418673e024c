"""Command-line flags made from the options of `config.Config`."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any, TypeVar

from sot_tracker.config import DEFAULTS, OPTIONS, RENAMED, Config, warn_of_old_name
from sot_tracker.errors import UserError
from sot_tracker.options import Option, Options, Scope, check, defaults_of, options_of

Group = TypeVar("Group", bound=Options)

COMMON = ("model", "weights", "device", "threads")
"""Options of the tracker that stand first in the help."""
EVERY_FRAME_IS_SEARCHED = ("max_search_rate",)
"""Options that `calibrate` and `label` do not have: they search every frame."""


class OldName(argparse.Action):
    """A flag's old name: stores the value under the present one, with a warning."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, flag: str | None = None) -> None:
        warn_of_old_name(str(flag).removeprefix("--").replace("-", "_"))
        setattr(namespace, self.dest, values)


class Once(argparse.Action):
    """A flag whose second value would silently replace the first one: refused."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, flag: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{flag} is given twice: give one")
        setattr(namespace, self.dest, values)


def add_ray_option(parser: argparse._ActionsContainer) -> None:
    """`--ray`, of commands that can use many machines."""
    parser.add_argument(
        "--ray",
        type=_address,
        metavar="ADDRESS",
        help="spread the work over the machines of this Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local for "
        "this machine alone; each must see data and weights under the same paths",
    )


def _address(text: str) -> str:
    if not text.strip():
        raise UserError("--ray is empty: give auto, local, HOST:PORT or ray://HOST:PORT")
    return text.strip()


def add_tracker_options(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> None:
    """A flag for every option of a tracker (`Scope.TRACKER`) but those `without`, and hidden ones for old names.

    Those that most users want are a group of their own.
    """
    common = parser.add_argument_group("tracker")
    group = parser.add_argument_group("tracker, seldom needed")
    for name in _names(without):
        _add(common if name in COMMON else group, name, OPTIONS[name], DEFAULTS[name])
    for old, name in RENAMED.items():
        if name in _names(without):
            kind, hidden = type(DEFAULTS[name]), argparse.SUPPRESS
            group.add_argument(flag(old), dest=name, action=OldName, type=kind, default=hidden, help=hidden)


def add_options(parser: argparse.ArgumentParser, options: type[Options], title: str) -> None:
    """A flag for every option of that group."""
    group = parser.add_argument_group(title)
    for name, facts in options_of(options).items():
        _add(group, name, facts, defaults_of(options)[name])


def given_options(args: argparse.Namespace, options: type[Group]) -> Group:
    """The values of those flags. Raises UserError for one out of range."""
    return options.from_mapping({name: getattr(args, name) for name in options_of(options)})


def _add(group: argparse._ArgumentGroup, name: str, facts: Option, default: Any) -> None:
    if isinstance(default, bool):
        text = f"{facts.help} (default: {'on' if default else 'off'})".replace("%", "%%")
        group.add_argument(flag(name), action=argparse.BooleanOptionalAction, default=default, help=text)
        return
    metavar = None if facts.choices else {int: "N", float: "X"}.get(type(default), name.upper())
    group.add_argument(
        flag(name),
        type=type(default),
        default=default,
        choices=facts.choices,
        metavar=metavar,
        help=f"{facts.help} (default: {default!r})".replace("%", "%%"),
    )


def flag(name: str) -> str:
    """The command-line flag of an option."""
    return f"--{name.replace('_', '-')}"


def tracker_options(args: argparse.Namespace, without: Collection[str] = ()) -> dict[str, Any]:
    """The checked values of those flags, ready for `load(name, **options)`. Raises UserError for one out of range."""
    return {name: check(name, getattr(args, name), Config) for name in _names({*without, "model"})}


def _names(without: Collection[str]) -> list[str]:
    return [name for name, facts in OPTIONS.items() if facts.scope is Scope.TRACKER and name not in without]
