"""Reads data sets for evaluation: sequences of at least two frames with a target in the first frame."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sot_tracker.datasets.find import NO_TOPICS, find
from sot_tracker.datasets.layouts import Topics
from sot_tracker.datasets.records import Refused, Sequence
from sot_tracker.errors import UserError


@dataclass(frozen=True)
class DataSet:
    """The contents of a data folder. stills: number of single pictures, which were left out."""

    sequences: list[Sequence]
    refused: list[Refused]
    stills: int = 0


def read(data: Path, names: Collection[str] = (), frames: int = 0, topics: Topics = NO_TOPICS) -> DataSet:
    """The sequences of a data folder, or those of these names (own or with folders, * and ? allowed), or only so many
    frames of each. topics: of recordings.

    Raises UserError if the folder has no known layout, a name is not there, or nothing is left to evaluate.
    """
    sequences, refused, stills = [], [], 0
    for found in find(data, topics):
        if names and not _wanted(found, names):
            continue
        if isinstance(found, Refused):
            refused.append(found)
        elif len(found.frames) < 2:
            stills += 1
        elif not found.first_box.is_valid:
            refused.append(Refused(found.name, UserError(_no_target(found))))
        else:
            sequences.append(first_frames(found, frames) if frames else found)
    _require_all_names(names, sequences, refused, data, topics)
    if not sequences:
        if refused:
            raise refused[0].error
        raise UserError(f"'{data}' holds only {stills} single pictures: give sequences of two frames or more")
    return DataSet(sequences, refused, stills)


def first_frames(sequence: Sequence, count: int) -> Sequence:
    return dataclasses.replace(
        sequence,
        frames=sequence.frames[:count],
        truth=sequence.truth[:count],
        visible=sequence.visible[:count],
        known=sequence.known[:count],
        numbers=sequence.numbers[:count],
        masks=sequence.masks[:count],
    )


def _no_target(sequence: Sequence) -> str:
    return (
        f"sequence '{sequence.name}' has no target in the first frame, '{sequence.frames[0]}': cut it so that it "
        "begins with one"
    )


def _wanted(found: Sequence | Refused, names: Collection[str]) -> bool:
    own = found.own_name if isinstance(found, Sequence) else found.name.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(found.name, name) or fnmatch.fnmatchcase(own, name) for name in names)


def _require_all_names(
    names: Collection[str], sequences: list[Sequence], refused: list[Refused], data: Path, topics: Topics
) -> None:
    for name in names:
        here: list[Sequence | Refused] = [*sequences, *refused]
        if not any(_wanted(found, [name]) for found in here):
            there = [found.name for found in find(data, topics)]
            near = get_close_matches(name, there, 3, 0.4)
            raise UserError(
                f"--sequences {name}: no sequence of '{data}' has this name"
                + (f"; similar names are {', '.join(near)}" if near else f"; there are {len(there)}")
            )
