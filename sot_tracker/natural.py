"""The order in which people number files."""

from __future__ import annotations

import re


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key by which "2" comes before "10", and "a/9/b" before "a/10/b"."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name
