"""Writes result files for the evaluation servers of GOT-10k and TrackingNet.

GOT-10k (toolkit 0.1.3, experiments/got10k.py): one zip per tracker; in it, for each sequence, SEQUENCE/SEQUENCE_001.txt
with x,y,w,h of every frame, three decimals, and SEQUENCE/SEQUENCE_time.txt with the seconds spent in each frame.
TrackingNet (devkit, metrics.py and dummy_subm.zip): one zip with VIDEO.txt per video, x,y,w,h of every frame, two
decimals. The first row of both is the box that was given.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sot_tracker.atomic import new_file
from sot_tracker.datasets.records import Sequence
from sot_tracker.errors import UserError
from sot_tracker.evaluate.metrics import hold_last
from sot_tracker.evaluate.raw import Track

Run = tuple[Sequence, Track]


@dataclass(frozen=True)
class Server:
    """An evaluation server. files: yields names in the zip and contents for a run. sequences: size of its test set."""

    title: str
    layouts: tuple[str, ...]
    sequences: int
    files: Callable[[Sequence, Track], Iterator[tuple[str, str]]]


def _got10k(sequence: Sequence, track: Track) -> Iterator[tuple[str, str]]:
    name = sequence.own_name
    yield f"{name}/{name}_001.txt", _rows(hold_last(track.boxes), 3)
    yield f"{name}/{name}_time.txt", _rows(track.seconds[:, None], 8)


def _trackingnet(sequence: Sequence, track: Track) -> Iterator[tuple[str, str]]:
    yield f"{sequence.own_name}.txt", _rows(hold_last(track.boxes), 2)


def _rows(values: np.ndarray, decimals: int) -> str:
    return "".join(",".join(f"{value:.{decimals}f}" for value in row) + "\n" for row in values.tolist())


SERVERS = {
    "got10k": Server("GOT-10k", ("got10k", "folder"), 180, _got10k),
    "trackingnet": Server("TrackingNet", ("trackingnet",), 511, _trackingnet),
}


def require_layout(server: str, sequences: Iterable[Sequence]) -> None:
    """Raise UserError for a sequence that is not of that server's data set, and for two with the same name."""
    taken = SERVERS[server]
    names = set()
    for sequence in sequences:
        if sequence.layout not in taken.layouts:
            raise UserError(
                f"--submission {server}: sequence '{sequence.name}' has the layout {sequence.layout}; give --data the "
                f"test set of {taken.title}"
            )
        if sequence.own_name in names:
            raise UserError(f"--submission {server}: two sequences are called '{sequence.own_name}'")
        names.add(sequence.own_name)


def write_submission(server: str, path: Path, runs: Iterable[Run]) -> None:
    """Write the zip file of one tracker. Raises UserError if it cannot be written."""
    with new_file(path) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for sequence, track in runs:
            for name, content in SERVERS[server].files(sequence, track):
                archive.writestr(name, content)
