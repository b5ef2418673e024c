"""`annotations.jsonl`: one picture per line with file, width, height, video, frame and objects (id, box, class, mask).

Objects with an id in pictures of one video become one sequence each, all others a sequence of one frame; a picture
without objects is a background.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sot_tracker.datasets import coco_masks
from sot_tracker.datasets.layouts.layout import Layout, Place
from sot_tracker.datasets.records import MaskReader, Sequence
from sot_tracker.datasets.truth import read_text
from sot_tracker.errors import UserError

NAME = "list"
FILE = "annotations.jsonl"


class _Row(NamedTuple):
    """One object in one picture; box is None in a background."""

    number: int
    path: Path
    box: tuple[float, ...] | None
    mask: MaskReader | None


def read(place: Place) -> Iterator[Sequence]:
    """Raises UserError, naming the line, for one of another form."""
    objects: dict[tuple[str, str], list[_Row]] = defaultdict(list)
    file = place.folder / FILE
    for number, line in enumerate(read_text(file).splitlines(), 1):
        if line.strip():
            _add_line(objects, place.folder, line, f"{file}:{number}")
    for (group, name), rows in objects.items():
        yield _sequence(group, name, sorted(rows, key=lambda row: row.number))


def _add_line(objects: dict[tuple[str, str], list[_Row]], root: Path, line: str, where: str) -> None:
    try:
        row = json.loads(line)
        path, stem = root / row["file"], Path(row["file"]).stem
        group, number = str(row.get("video") or stem), int(row.get("frame") or 0)
        if abs(number) >= 2**31:
            raise ValueError(f"frame {number}")
        if not row["objects"]:
            objects[(group, group)].append(_Row(number, path, None, None))
        for index, item in enumerate(row["objects"]):
            in_video = row.get("video") is not None and item.get("id") is not None
            name = f"{group}#{item['id']}" if in_video else f"{stem}@{index}"
            objects[(group, name)].append(_Row(number, path, _box(item["box"]), _mask(item, row)))
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{where} is not a picture with objects ({reason}): see `list` in docs/datasets.md") from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{where} is not JSON, or a value in it is wrong ({error}): repair or remove it") from None


def _box(values: Any) -> tuple[float, ...]:
    box = tuple(float(value) for value in values)
    if len(box) != 4:
        raise ValueError(f"box has {len(box)} numbers, not x,y,w,h")
    return box


def _mask(item: dict[str, Any], row: dict[str, Any]) -> MaskReader | None:
    return partial(coco_masks.read, item["mask"], row["width"], row["height"]) if item.get("mask") else None


def _sequence(group: str, name: str, rows: list[_Row]) -> Sequence:
    known = np.array([row.box is not None for row in rows])
    return Sequence(
        layout=NAME,
        source=rows[0].path.name.split("_")[0],
        own_name=name,
        group=group,
        frames=tuple(row.path for row in rows),
        truth=np.array([row.box or (np.nan,) * 4 for row in rows], dtype=np.float64),
        visible=known,
        known=known,
        numbers=np.array([row.number for row in rows], dtype=np.int64),
        masks=tuple(row.mask for row in rows) if any(row.mask for row in rows) else (),
    )


LIST = Layout(NAME, f"{FILE}, pictures where it says", lambda place: FILE in place.files, read)
