"""COCO: annotations/instances_SPLIT.json with boxes and masks, pictures in SPLIT/ or images/SPLIT/."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sot_tracker.datasets import coco_masks
from sot_tracker.datasets.layouts.layout import Layout, Place, guarded
from sot_tracker.datasets.records import Refused, Sequence
from sot_tracker.datasets.truth import read_text
from sot_tracker.errors import UserError

NAME = "coco"


def read(place: Place) -> Iterator[Sequence | Refused]:
    for listing in sorted(place.folder.glob("annotations/instances_*.json")):
        yield from read_listing(listing)


def read_listing(listing: Path) -> Iterator[Sequence | Refused]:
    """The objects of one file that are not crowds, each a sequence of one frame.

    Raises UserError if the file is not a listing.
    """
    try:
        content = json.loads(read_text(listing))
        pictures = {row["id"]: row for row in content["images"]}
        annotations = list(content["annotations"])
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{listing}' is not JSON ({error}): repair or remove it") from None
    except (KeyError, TypeError):
        raise UserError(
            f"'{listing}' is not an annotation file of COCO: it needs images with an id, and annotations"
        ) from None
    top, split = listing.parent.parent, listing.stem.removeprefix("instances_")
    folder = next((f for f in (top / split, top / "images" / split, top / "images") if f.is_dir()), top)
    for number, item in enumerate(annotations):
        if isinstance(item, dict) and item.get("iscrowd"):
            continue
        where = f"'{listing}' annotation {number + 1}"
        yield from guarded(where, partial(_object, item, pictures, folder, where))


def _object(item: Any, pictures: dict[Any, Any], folder: Path, where: str) -> Sequence:
    try:
        picture = pictures[item["image_id"]]
        file, box = str(picture["file_name"]), np.array(item["bbox"], dtype=np.float64).reshape(1, 4)
        mask = None
        if item.get("segmentation"):
            mask = partial(coco_masks.read, item["segmentation"], picture["width"], picture["height"])
        own_name = f"{file}@{item['id']}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where} is incomplete or invalid ({type(error).__name__}: {error})") from None
    return Sequence(
        layout=NAME,
        source=NAME,
        own_name=own_name,
        group=file,
        frames=(folder / file,),
        truth=box,
        visible=np.ones(1, dtype=np.bool_),
        known=np.ones(1, dtype=np.bool_),
        numbers=np.zeros(1, dtype=np.int64),
        masks=(mask,),
    )


COCO = Layout(
    NAME,
    "annotations/instances_SPLIT.json, SPLIT/ or images/SPLIT/",
    lambda place: "annotations" in place.folders and any(place.folder.glob("annotations/instances_*.json")),
    read,
)
