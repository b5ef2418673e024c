"""Whole numbers of the command line, within stated bounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable

MAX_WHOLE = 2**31 - 1


def whole(low: int = 0, high: int = MAX_WHOLE) -> Callable[[str], int]:
    """A type for argparse: a whole number from `low` to `high`. Anything else is an error line naming the option."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text[:40]} is out of range: give {low} to {high}")
        return value

    return read
