"""UAV123: anno/UAV123/SEQUENCE.txt and data_seq/UAV123/FOLDER/000001.jpg ..., and UAV20L and UAV123_10fps beside it.

Long videos are cut into several sequences: anno/UAV123/bird1_2.txt is for pictures 775 to 1477 of folder bird1. Where
each begins is a fact of the benchmark (Mueller, Smith and Ghanem, ECCV 2016, configSeqs.m) and not in its files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sot_tracker.datasets.layouts.layout import Layout, Place, guarded
from sot_tracker.datasets.layouts.trackingnet import text_files
from sot_tracker.datasets.layouts.video import numbered, video_sequence
from sot_tracker.datasets.pictures import choose_frames, list_pictures
from sot_tracker.datasets.records import Refused, Sequence
from sot_tracker.datasets.truth import read_truth
from sot_tracker.errors import UserError
from sot_tracker.natural import natural

NAME = "uav123"
PICTURES_OF = {"UAV20L": "UAV123"}
"""Set -> folder of data_seq that holds its pictures, where it is another."""

# fmt: off
STARTS = {
    "bird1_2": 775, "bird1_3": 1573, "car1_2": 751, "car1_3": 1627, "car6_2": 487, "car6_3": 1807, "car6_4": 2953,
    "car6_5": 3925, "car8_2": 1357, "car16_2": 415, "group1_2": 1333, "group1_3": 2515, "group1_4": 3925,
    "group2_2": 907, "group2_3": 1771, "group3_2": 1567, "group3_3": 2827, "group3_4": 4369, "person2_2": 1189,
    "person4_2": 1501, "person5_2": 877, "person7_2": 1249, "person8_2": 1075, "person12_2": 601, "person14_2": 847,
    "person14_3": 1813, "person17_2": 1501, "person19_2": 1243, "person19_3": 2791, "truck4_2": 577, "uav1_2": 1555,
    "uav1_3": 2473,
}
# fmt: on
"""First picture of the later parts of a video, at 30 frames per second; the first part begins with picture 1."""


def read(place: Place) -> Iterator[Sequence | Refused]:
    for folder in sorted((place.folder / "anno").iterdir(), key=lambda path: natural(path.name)):
        if not folder.name.startswith("."):
            for file in text_files(folder):
                yield from guarded(f"{folder.name}/{file.stem}", partial(_sequence, place.folder, folder.name, file))


def _sequence(root: Path, subset: str, file: Path) -> Sequence:
    videos, name = root / "data_seq" / PICTURES_OF.get(subset, subset), file.stem
    truth = read_truth(file)
    rows = len(truth.boxes)
    if (videos / name).is_dir():
        frames, group, start = choose_frames(list_pictures(videos / name), rows), name, 1
    else:
        group, start = name.rpartition("_")[0], _start(name, subset)
        frames = numbered(choose_frames(list_pictures(videos / group), rows), start, start + rows - 1)
    if not frames:
        folder = videos / (group or name)
        raise UserError(f"'{file}' has boxes, but '{folder}' has no frames for them: add them, or remove the file")
    found = video_sequence(NAME, name, frames, truth, file, group=group, start=start - 1)
    return dataclasses.replace(found, place=subset)


def _start(name: str, subset: str) -> int:
    """At 10 frames per second every third picture is kept, the first one included."""
    start = STARTS.get(name, 1)
    return (start - 1) // 3 + 1 if subset.endswith("_10fps") else start


UAV123 = Layout(
    NAME,
    "anno/UAV123/SEQUENCE.txt, data_seq/UAV123/VIDEO/000001.jpg",
    lambda place: {"anno", "data_seq"} <= place.folders,
    read,
)
