"""What a layout is: how its folder is recognised and how its sequences are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sot_tracker.datasets.records import Refused, Sequence
from sot_tracker.errors import UserError


@dataclass(frozen=True)
class Topics:
    """Of recordings: which topics hold the pictures and the true boxes; empty for the only ones."""

    image: str = ""
    truth: str = ""


@dataclass(frozen=True)
class Place:
    """A folder and the names in it, listed once for all layouts. Hidden names are left out."""

    folder: Path
    folders: frozenset[str]
    files: frozenset[str]
    topics: Topics = Topics()


@dataclass(frozen=True)
class Layout:
    """One way in which data sets lie on disk.

    structure: what lies where, for error messages and docs. detect: whether that folder is the root of one. read: its
    sequences, each with its own name and with `place` below the root; one that cannot be read becomes a `Refused`.
    whole: the folder is read as a whole; otherwise it is one sequence, and others may lie below.
    """

    name: str
    structure: str
    detect: Callable[[Place], bool]
    read: Callable[[Place], Iterable[Sequence | Refused]]
    whole: bool = True


def guarded(name: str, read: Callable[[], Sequence]) -> Iterator[Sequence | Refused]:
    """That sequence, or why it was refused."""
    try:
        yield read()
    except UserError as error:
        yield Refused(name, error)
