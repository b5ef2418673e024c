"""Layouts in which each sequence is a folder with its truth file: GOT-10k, LaSOT, OTB, VOT, and plain folders."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sot_tracker.datasets.layouts.layout import Layout, Place, guarded
from sot_tracker.datasets.layouts.video import numbered, video_sequence
from sot_tracker.datasets.pictures import choose_frames, list_pictures
from sot_tracker.datasets.records import Refused, Sequence
from sot_tracker.datasets.truth import read_truth, read_values
from sot_tracker.errors import UserError
from sot_tracker.natural import natural

TRUTH_FILES = ("groundtruth.txt", "groundtruth_rect.txt")
_OF_ONE_TARGET = re.compile(r"groundtruth(?:_rect)?[._](\d+)\.txt")
"""Truth files of folders with several targets: OTB's Jogging and Skating2 have groundtruth_rect.1.txt and .2.txt."""

PICTURE_FOLDERS = ("img", "color")
"""Below the sequence's folder: OTB and LaSOT, VOT. Other layouts keep the pictures beside the truth file."""

_LABELS = {  # file -> highest value, and whether a zero in it means that the target shows
    "absence.label": (1, True),  # GOT-10k: 1 = absent
    "cover.label": (8, False),  # GOT-10k: eighths of the target that show
    "full_occlusion.txt": (1, True),  # LaSOT
    "out_of_view.txt": (1, True),  # LaSOT
}

OTB_FRAMES = {
    "david": (300, 770),
    "diving": (1, 215),
    "tiger1": (6, 354),
    "football1": (1, 74),
    "freeman3": (1, 460),
    "freeman4": (1, 283),
    "blurcar1": (247, 988),
    "blurcar3": (3, 359),
    "blurcar4": (18, 397),
}
"""First and last picture, by the number in its name, of OTB's sequences whose truth is for a part of the pictures
(Wu, Lim and Yang, TPAMI 2015; startFrame and endFrame in the benchmark's configSeqs.m)."""


def truth_files(files: frozenset[str] | set[str]) -> dict[str, str]:
    """Target -> truth file. The target is "" in a folder with one; two of its names are of the same target."""
    found = {}
    if of_one := next((name for name in TRUTH_FILES if name in files), None):
        found[""] = of_one
    for name in files:
        if match := _OF_ONE_TARGET.fullmatch(name):
            found[match[1]] = name
    return dict(sorted(found.items(), key=lambda item: natural(item[0])))


def read_folder(place: Place, layout: str) -> Iterator[Sequence | Refused]:
    """The sequence of each truth file; an empty one beside others has no target (OTB's Human4 has such)."""
    own, targets = place.folder.resolve().name, truth_files(place.files)
    if len(targets) > 1:
        targets = {t: file for t, file in targets.items() if (place.folder / file).stat().st_size}
    for target, file in targets.items():
        name = f"{own}-{target}" if target else own
        yield from guarded(name, partial(_sequence, place, layout, name, place.folder / file))


def _sequence(place: Place, layout: str, name: str, truth_file: Path) -> Sequence:
    own = place.folder.resolve().name
    pictures = _pictures(place.folder)
    if not pictures:
        raise UserError(
            f"sequence '{place.folder}' has no frames: pictures are expected in it or in its folder "
            f"{' or '.join(PICTURE_FOLDERS)}"
        )
    truth = read_truth(truth_file)
    frames = every = choose_frames(pictures, len(truth.boxes))
    if len(frames) != len(truth.boxes) and own.lower() in OTB_FRAMES:
        part = numbered(every, *OTB_FRAMES[own.lower()])
        frames = part if len(part) == len(truth.boxes) else every
    found = video_sequence(layout, name, frames, truth, truth_file, group=own, start=every.index(frames[0]))
    visible = found.visible
    for label, (highest, zero_shows) in _LABELS.items():
        if label in place.files:
            zero = read_values(place.folder / label, len(frames), highest) == 0
            visible = visible & (zero == zero_shows)
    return dataclasses.replace(found, visible=visible)


def _pictures(folder: Path) -> list[Path]:
    """Of the first place that has any."""
    places = [*(folder / name for name in PICTURE_FOLDERS), folder]
    return next((found for place in places if (found := list_pictures(place))), [])


def _layout(name: str, structure: str, detect: Callable[[Place], bool]) -> Layout:
    return Layout(name, structure, detect, partial(read_folder, layout=name), whole=False)


def _has(*names: str) -> Callable[[Place], bool]:
    """Whether there is groundtruth.txt, and any of these names."""
    return lambda place: TRUTH_FILES[0] in place.files and bool({*names} & (place.files | place.folders))


GOT10K = _layout(
    "got10k",
    "SEQUENCE/00000001.jpg, groundtruth.txt, absence.label, cover.label",
    _has("absence.label", "cover.label", "meta_info.ini"),
)
LASOT = _layout(
    "lasot",
    "CLASS/SEQUENCE/img/00000001.jpg, ../groundtruth.txt, ../full_occlusion.txt, ../out_of_view.txt",
    _has("full_occlusion.txt", "out_of_view.txt"),
)
VOT = _layout(
    "vot",
    "SEQUENCE/color/00000001.jpg or SEQUENCE/00000001.jpg, groundtruth.txt",
    _has("color", "sequence", "camera_motion.label", "camera_motion.tag"),
)
OTB = _layout(
    "otb",
    "SEQUENCE/img/0001.jpg, SEQUENCE/groundtruth_rect.txt or groundtruth_rect.1.txt, .2.txt",
    lambda place: any(name.startswith("groundtruth_rect") for name in truth_files(place.files).values()),
)
FOLDER = _layout("folder", "SEQUENCE/pictures, groundtruth.txt", lambda place: bool(truth_files(place.files)))
