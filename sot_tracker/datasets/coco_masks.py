"""Object masks in COCO's notations: run-length codes, plain and compressed, and polygons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sot_tracker.datasets.records import Mask
from sot_tracker.errors import MissingPackage

_MAX_SIDE = 1 << 15


def read(annotation: Any, width: int, height: int) -> Mask:
    """H x W, 0 and 255, of an annotation in one of COCO's notations.

    annotation: polygons, each a flat list x1, y1, x2, y2, ..., of a picture of that width and height; or a run-length
        code with its own "size" [h, w] and "counts", a list or COCO's compressed string.

    Raises ValueError for anything else, MissingPackage without pycocotools.
    """
    try:
        from pycocotools import mask as coco  # here, since data without masks does without it
    except ModuleNotFoundError:
        raise MissingPackage("pycocotools", "reading masks", "pip install 'sot_tracker[train]'") from None
    if isinstance(annotation, Mapping):
        height, width, counts = _size_and_counts(annotation)
        code = {"size": [height, width], "counts": counts}
        if isinstance(counts, list):
            code = coco.frPyObjects(code, height, width)
    else:
        code = coco.merge(coco.frPyObjects(_polygons(annotation, width, height), height, width))
    mask: Mask = np.ascontiguousarray(coco.decode(code)) * np.uint8(255)
    return mask


def _size_and_counts(annotation: Mapping[str, Any]) -> tuple[int, int, list[int] | str | bytes]:
    size, counts = annotation.get("size"), annotation.get("counts")
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError("a run-length code has a size [h, w]")
    height, width = size
    _require_side(height)
    _require_side(width)
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("run lengths are whole numbers")
        if sum(counts) != height * width:  # pycocotools would take it
            raise ValueError(f"run lengths cover {sum(counts)} of {height * width} pixels")
    elif not isinstance(counts, (str, bytes)):
        raise ValueError("a run-length code has counts, a list or a text")
    return height, width, counts


def _polygons(annotation: Any, width: int, height: int) -> list[list[float]]:
    """pycocotools takes memory for the length of a polygon's sides: they may lie outside of the picture, but near."""
    _require_side(width)
    _require_side(height)
    farthest = 2 * max(width, height)
    if not isinstance(annotation, list) or not annotation:
        raise ValueError("a mask is a list of polygons or a run-length code")
    for polygon in annotation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon has three points or more, as x1, y1, x2, y2, ...")
        if not all(type(value) in (int, float) and -farthest <= value <= farthest for value in polygon):
            raise ValueError(
                f"a polygon has points far outside of its {width}x{height} picture, or that are not numbers"
            )
    return annotation


def _require_side(side: Any) -> None:
    if type(side) is not int or not 0 < side <= _MAX_SIDE:
        raise ValueError(f"a side of the picture is a whole number from 1 to {_MAX_SIDE}")
