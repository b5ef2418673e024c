"""Pictures on disk: which files are frames, in which order, and their pixels as stored."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.tracker import Image

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""Suffixes, the likelier ones of frames first: where 0001.jpg and 0001.png are both there, the latter is a mask."""


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key by which "2" comes before "10", and "a/9/b" before "a/10/b"."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def list_pictures(folder: Path) -> list[Path]:
    """All pictures directly in that folder, in natural order; hidden files, as other systems leave them, are none.

    Empty where there is no such folder. Raises UserError if it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if is_picture(e.name) and e.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"folder '{folder}' cannot be read: {error.strerror}") from None
    return [folder / name for name in sorted(names, key=lambda name: natural(Path(name).stem))]


def is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURES


def choose_frames(pictures: list[Path], expected: int) -> list[Path]:
    """Those that are frames of one sequence, where masks, previews and other pictures lie among them.

    Frames are numbered and named alike, as 0001.jpg, 0002.jpg are, beside 0001_mask.png or cover.jpg. Of several such
    groups it is the one with as many pictures as expected, else the largest, then JPEG before PNG, then the shortest
    names. Without any group of two or more, all pictures are taken.
    """
    groups = [group for group in _named_alike(pictures) if len(group) > 1]
    if not groups:
        return pictures
    return min(
        groups,
        key=lambda g: (len(g) != expected, -len(g), PICTURES.index(g[0].suffix.lower()), len(g[0].name), g[0].name),
    )


def _named_alike(pictures: Iterable[Path]) -> list[list[Path]]:
    """The numbered pictures by what is left of their names without digits; by suffix too, if numbers come twice."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in pictures:
        if (pattern := re.sub(r"\d+", "#", path.stem)) != path.stem:
            groups[pattern].append(path)
    found = []
    for group in groups.values():
        by_suffix: dict[str, list[Path]] = defaultdict(list)
        for path in group:
            by_suffix[path.suffix.lower()].append(path)
        twice = len({path.stem for path in group}) < len(group)
        found += list(by_suffix.values()) if twice else [group]
    return found


def picture_number(path: Path) -> int | None:
    """The last number in the file's name; None without one."""
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else None


def read_stored(path: Path) -> Image:
    """H x W x 3 BGR, the pixels as they are stored: annotations are made on these, so EXIF's turn is not applied.

    Raises UserError if the file cannot be read or decoded.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)  # unlike cv2.imread, fine with any path on any system
    except OSError as error:
        raise UserError(f"picture '{path}' cannot be read: {error.strerror}") from None
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    except cv2.error:  # a header that claims an absurd size
        image = None
    if image is None:
        raise UserError(f"picture '{path}' cannot be decoded: it is damaged or no picture")
    return image  # type: ignore[return-value]
