"""Data sets in their official layouts -> tracks. One reader per layout; `read` picks it by what the folder holds."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sot_tracker.datasets.records import Frame, Track
from sot_tracker.errors import UserError
from sot_tracker.train import masks

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def read(root: Path, source: str = "") -> list[Track]:
    """All tracks of a data set folder; `source` renames where they come from, for weights by source.

    Raises UserError if the folder holds no track, or its layout is not known.
    """
    if not root.exists():
        raise UserError(
            f"data folder '{root}' does not exist: give a folder in one of the layouts of {', '.join(READERS)}"
        )
    tracks = list(READERS[layout(root)](root))
    if not tracks:
        raise UserError(f"data folder '{root}' holds no track: check that it is complete")
    return [dataclasses.replace(track, source=source) for track in tracks] if source else tracks


def layout(root: Path) -> str:
    """The layout's name, told from what the folder holds."""
    if (root / "annotations.jsonl").is_file():
        return "list"
    if root.suffix == ".json" or any(root.glob("annotations/instances_*.json")):
        return "coco"
    if any(root.glob("TRAIN_*/anno")) or ((root / "anno").is_dir() and (root / "frames").is_dir()):
        return "trackingnet"
    if any(root.glob("*/*/full_occlusion.txt")) or any(root.glob("*/full_occlusion.txt")):
        return "lasot"
    if any(root.glob("*/groundtruth.txt")) or any(root.glob("*/*/groundtruth.txt")):
        return "got10k"
    raise UserError(f"'{root}' has none of the known layouts ({', '.join(READERS)}): see docs/training.md")


def read_list(root: Path) -> Iterator[Track]:
    """`annotations.jsonl`: one picture per line with file, video, frame and objects (id, box, class, mask)."""
    tracks: dict[tuple[str, str], list[Frame]] = defaultdict(list)
    for number, line in enumerate((root / "annotations.jsonl").read_text().splitlines(), 1):
        row = _json(line, f"{root / 'annotations.jsonl'}:{number}")
        path, group = root / row["file"], row.get("video") or Path(row["file"]).stem
        if not row["objects"]:
            tracks[(group, group)].append(Frame(path, row.get("frame") or 0, None))
        for index, item in enumerate(row["objects"]):
            known = row.get("video") is not None and item.get("id") is not None
            name = f"{group}#{item['id']}" if known else f"{Path(row['file']).stem}@{index}"
            mask = partial(masks.read, item["mask"], row["width"], row["height"]) if item.get("mask") else None
            tracks[(group, name)].append(Frame(path, row.get("frame") or 0, tuple(item["box"]), mask))
    for (group, name), frames in tracks.items():
        yield Track(frames[0].path.name.split("_")[0], name, group, _ordered(frames))


def read_got10k(root: Path) -> Iterator[Track]:
    """GOT-10k: <split>/<sequence>/ or <sequence>/ with 00000001.jpg ..., groundtruth.txt, absence.label,
    cover.label.
    """
    for truth in sorted({*root.glob("*/groundtruth.txt"), *root.glob("*/*/groundtruth.txt")}):
        folder = truth.parent
        absent = _numbers(folder / "absence.label")
        cover = _numbers(folder / "cover.label")
        visible = np.ones(len(_boxes(truth)), bool)
        if absent.size:
            visible &= absent.ravel()[: len(visible)] == 0
        if cover.size:
            visible &= cover.ravel()[: len(visible)] > 0
        yield from _sequence("got10k", folder.name, _pictures(folder), _boxes(truth), visible)


def read_lasot(root: Path) -> Iterator[Track]:
    """LaSOT: <class>/<class>-N/img/00000001.jpg ..., groundtruth.txt, full_occlusion.txt, out_of_view.txt."""
    for truth in sorted({*root.glob("*/groundtruth.txt"), *root.glob("*/*/groundtruth.txt")}):
        folder, boxes = truth.parent, _boxes(truth)
        hidden = np.zeros(len(boxes), bool)
        for name in ("full_occlusion.txt", "out_of_view.txt"):
            flags = _numbers(folder / name).ravel()[: len(boxes)]
            hidden[: len(flags)] |= flags > 0
        yield from _sequence("lasot", folder.name, _pictures(folder / "img"), boxes, ~hidden)


def read_trackingnet(root: Path) -> Iterator[Track]:
    """TrackingNet: TRAIN_n/anno/<video>.txt and TRAIN_n/frames/<video>/0.jpg ...; or one such part as the root."""
    for anno in sorted({*root.glob("TRAIN_*/anno/*.txt"), *root.glob("anno/*.txt")}):
        frames = sorted(_pictures(anno.parent.parent / "frames" / anno.stem), key=lambda p: int(p.stem))
        boxes = _boxes(anno)
        yield from _sequence("trackingnet", anno.stem, frames, boxes, np.ones(len(boxes), bool))


def read_coco(root: Path) -> Iterator[Track]:
    """COCO: annotations/instances_<split>.json with boxes and masks, pictures in <split>/ or images/<split>/.

    root: the folder, for all its splits, or one such file.
    """
    listings = [root] if root.is_file() else sorted(root.glob("annotations/instances_*.json"))
    for listing in listings:
        top, split = listing.parent.parent, listing.stem.removeprefix("instances_")
        folder = next((f for f in (top / split, top / "images" / split, top / "images") if f.is_dir()), top)
        yield from _instances(_json(listing.read_text(), str(listing)), folder)


def _instances(content: Any, folder: Path) -> Iterator[Track]:
    """The objects of one COCO listing that are no crowds."""
    pictures = {row["id"]: row for row in content["images"]}
    for item in content["annotations"]:
        picture = pictures.get(item["image_id"])
        if picture is None or item.get("iscrowd"):
            continue
        mask = None
        if item.get("segmentation"):
            mask = partial(masks.read, item["segmentation"], picture["width"], picture["height"])
        frame = Frame(folder / picture["file_name"], 0, tuple(item["bbox"]), mask)
        yield Track("coco", f"{picture['file_name']}@{item['id']}", picture["file_name"], (frame,))


READERS: dict[str, Callable[[Path], Iterable[Track]]] = {
    "list": read_list,
    "got10k": read_got10k,
    "lasot": read_lasot,
    "trackingnet": read_trackingnet,
    "coco": read_coco,
}


def _sequence(source: str, name: str, pictures: list[Path], boxes: np.ndarray, visible: np.ndarray) -> Iterator[Track]:
    """One track of the visible frames; none where no frame is visible. Extra pictures or rows are left out."""
    frames = [
        Frame(path, number, (float(box[0]), float(box[1]), float(box[2]), float(box[3])))
        for number, (path, box, seen) in enumerate(zip(pictures, boxes, visible, strict=False))
        if seen
    ]
    if frames:
        yield Track(source, name, name, tuple(frames))


def _ordered(frames: list[Frame]) -> tuple[Frame, ...]:
    return tuple(sorted(frames, key=lambda frame: frame.number))


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURES)


def _numbers(path: Path) -> np.ndarray:
    """All numbers of a text file, whatever separates them; empty where there is no file."""
    if not path.is_file():
        return np.empty(0)
    try:
        return np.array(path.read_text().replace(",", " ").split(), float)
    except ValueError:
        raise UserError(f"'{path}' holds something that is no number: mend or remove the file") from None


def _boxes(path: Path) -> np.ndarray:
    """N x 4 rows x, y, w, h."""
    numbers = _numbers(path)
    if numbers.size % 4:
        raise UserError(f"'{path}' holds {numbers.size} numbers, not four per line: mend or exclude this sequence")
    return numbers.reshape(-1, 4)


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{where} is not JSON ({error}): mend or remove it") from None
