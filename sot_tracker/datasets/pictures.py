"""Which pictures of a folder are the frames of a sequence, and in which order."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from sot_tracker.errors import UserError
from sot_tracker.stream.pictures import PICTURES, in_natural_order


def list_pictures(folder: Path) -> list[Path]:
    """All pictures directly in that folder, in natural order; hidden files, as other systems leave them, are none.

    Empty where there is no such folder. Raises UserError if it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if not e.name.startswith(".") and e.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"folder '{folder}' cannot be read: {error.strerror}") from None
    return in_natural_order(path for name in names if (path := folder / name).suffix.lower() in PICTURES)


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
