"""Finds sequences: `find` in a data folder, `sequences_in` in the folder of one sequence."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sot_tracker.datasets.layouts import LAYOUTS, Layout, Place, Topics
from sot_tracker.datasets.layouts.coco import read_listing
from sot_tracker.datasets.layouts.recording import read_recordings
from sot_tracker.datasets.layouts.sequence_folder import PICTURE_FOLDERS
from sot_tracker.datasets.pictures import list_pictures
from sot_tracker.datasets.records import Array, Refused, Sequence
from sot_tracker.errors import UserError
from sot_tracker.natural import natural
from sot_tracker.stream.recordings import is_recording

NO_TOPICS = Topics()


def find(data: Path, topics: Topics = NO_TOPICS) -> Iterator[Sequence | Refused]:
    """All sequences in that folder and its subfolders, or in that listing of COCO, in natural order of the names.

    topics: of recordings. Links are followed, each folder is read once, hidden folders and __MACOSX are left out. For a
    sequence that cannot be read, a `Refused` is yielded, so that the others can be used. Raises UserError if nothing
    there has a known layout.
    """
    if not data.exists():
        raise UserError(f"data folder '{data}' does not exist: give a folder in one of the layouts of {_names()}")
    if data.is_file():
        if is_recording(data):
            yield from read_recordings(Place(data.parent, frozenset(), frozenset([data.name]), topics))
            return
        if data.suffix != ".json":
            raise UserError(
                f"data '{data}' is a file: give a folder, a recording, or an annotation file of COCO (.json)"
            )
        yield from read_listing(data)
        return
    empty = True
    for place, layout in _places(data, topics):
        empty = False
        yield from _read(place, layout, data)
    if empty:
        raise UserError(
            f"no data set was found in '{data}' and its subfolders: there is no groundtruth.txt, groundtruth_rect.txt,"
            f" recording or annotation file of the known layouts ({_names()}); see docs/datasets.md"
        )


def _read(place: Place, layout: Layout, data: Path) -> Iterator[Sequence | Refused]:
    folder = place.folder if layout.whole else place.folder.parent
    inside = place.folder != data and folder != data
    prefix = folder.relative_to(data).as_posix() if inside else ""
    try:
        for found in layout.read(place):
            if isinstance(found, Refused):
                yield Refused("/".join(filter(None, (prefix, found.name))), found.error)
            else:
                yield dataclasses.replace(found, place="/".join(filter(None, (prefix, found.place))))
    except UserError as error:
        yield Refused(place.folder.name, error)


def layout_of(place: Place) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.detect(place)), None)


def _places(data: Path, topics: Topics) -> Iterator[tuple[Place, Layout]]:
    """Every folder with a known layout, and the layout. Subfolders of a folder that is read as a whole are skipped."""
    seen = set()
    for name, subfolders, files in os.walk(data, followlinks=True):
        folder = Path(name)
        if (real := folder.resolve()) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted((f for f in subfolders if not f.startswith(".") and f != "__MACOSX"), key=natural)
        place = Place(folder, frozenset(subfolders), frozenset(f for f in files if not f.startswith(".")), topics)
        layout = layout_of(place)
        if layout is None:
            continue
        yield place, layout
        subfolders[:] = [] if layout.whole else [f for f in subfolders if f not in PICTURE_FOLDERS]


def sequences_in(folder: Path) -> list[Sequence]:
    """The sequences in this folder itself, one per target; empty if there is no truth, or no such folder.

    Raises UserError if one of them cannot be read.
    """
    if not folder.is_dir():
        return []
    _, folders, files = next(os.walk(folder), ("", [], []))
    place = Place(folder, frozenset(folders), frozenset(f for f in files if not f.startswith(".")))
    layout = layout_of(place)
    found = [] if layout is None or layout.whole else list(layout.read(place))
    for item in found:
        if isinstance(item, Refused):
            raise item.error
    return [item for item in found if isinstance(item, Sequence)]


def frames_of(folder: Path) -> list[Path]:
    """The frames of a folder: those of its truth, or all its pictures if it has none.

    Raises UserError as `sequences_in`.
    """
    if sequences := sequences_in(folder):
        return list(sequences[0].frames)
    places = [folder, *(folder / name for name in PICTURE_FOLDERS)]
    return next((found for place in places if (found := list_pictures(place))), [])


def truth_of(folder: Path, has_box: bool = False) -> Array | None:
    """N x 4 boxes of those frames, NaN if the target is absent or unknown; None if there is no truth.

    Raises UserError as `sequences_in`, and if there are several targets. has_box: the user gives a box, so that the
    result is None for several targets.
    """
    sequences = sequences_in(folder)
    if len(sequences) > 1 and not has_box:
        names = ", ".join(sequence.name for sequence in sequences)
        raise UserError(f"'{folder}' has truth for several targets ({names}): give the box of one of them")
    if len(sequences) != 1:
        return None
    return np.where(sequences[0].visible[:, None], sequences[0].truth, np.nan)


def _names() -> str:
    return ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS))
