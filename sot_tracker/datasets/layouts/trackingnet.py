"""TrackingNet: TRAIN_n/anno/VIDEO.txt and TRAIN_n/frames/VIDEO/0.jpg ..., and the same in TEST with one row a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sot_tracker.datasets.layouts.layout import Layout, Place, guarded
from sot_tracker.datasets.layouts.video import video_sequence
from sot_tracker.datasets.pictures import choose_frames, list_pictures
from sot_tracker.datasets.records import Refused, Sequence
from sot_tracker.datasets.truth import read_truth
from sot_tracker.errors import UserError
from sot_tracker.natural import natural

NAME = "trackingnet"


def read(place: Place) -> Iterator[Sequence | Refused]:
    for file in text_files(place.folder / "anno"):
        yield from guarded(file.stem, partial(_sequence, file, place.folder / "frames" / file.stem))


def _sequence(file: Path, folder: Path) -> Sequence:
    truth = read_truth(file)
    frames = choose_frames(list_pictures(folder), len(truth.boxes))
    if not frames:
        raise UserError(f"'{file}' has boxes, but '{folder}' has no frames: add them, or remove the file")
    return video_sequence(NAME, file.stem, frames, truth, file)


def text_files(folder: Path) -> list[Path]:
    """In natural order, without hidden ones."""
    found = [path for path in folder.glob("*.txt") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: natural(path.stem))


TRACKINGNET = Layout(
    NAME,
    "TRAIN_n/anno/VIDEO.txt, TRAIN_n/frames/VIDEO/0.jpg",
    lambda place: {"anno", "frames"} <= place.folders,
    read,
)
