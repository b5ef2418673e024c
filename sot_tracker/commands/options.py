"""Command-line flags made from the options of `config.Config`."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from typing import Any

from sot_tracker.config import DEFAULTS, OPTIONS, Scope, check


def add_tracker_options(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> None:
    """--model, --engine, --device, --precision, --threads, --weights, --lost-threshold; `without` leaves some out."""
    group = parser.add_argument_group("tracker")
    for name in _names(without):
        facts, default = OPTIONS[name], DEFAULTS[name]
        metavar = None if facts.choices else {int: "N", float: "X"}.get(type(default), name.upper())
        group.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            choices=facts.choices,
            metavar=metavar,
            help=f"{facts.help} (default: {default!r})".replace("%", "%%"),
        )


def tracker_options(args: argparse.Namespace, without: Collection[str] = ()) -> dict[str, Any]:
    """The checked values of those flags, ready for `load(name, **options)`. Raises UserError for one out of range."""
    return {name: check(name, getattr(args, name)) for name in _names({*without, "model"})}


def _names(without: Collection[str]) -> list[str]:
    return [name for name, facts in OPTIONS.items() if facts.scope is Scope.TRACKER and name not in without]
