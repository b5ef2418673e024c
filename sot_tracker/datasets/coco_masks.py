"""Object masks in COCO's notations: run-length codes, plain and compressed, and polygons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from sot_tracker.datasets.records import Mask


def from_rle(rle: Mapping[str, Any]) -> Mask:
    """COCO run-length code with "size" [h, w] and "counts", a list or COCO's compressed string."""
    height, width = rle["size"]
    counts = _decompress(rle["counts"]) if isinstance(rle["counts"], str) else rle["counts"]
    values = np.arange(len(counts)) % 2 * 255
    flat = np.repeat(values.astype(np.uint8), counts)
    if flat.size != height * width:
        raise ValueError(f"run lengths cover {flat.size} of {height * width} pixels")
    mask: Mask = flat.reshape(width, height).T
    return mask


def _decompress(text: str) -> list[int]:
    """COCO's string form: 5 bits a character, sixth bit continues, from the third run on relative to two before."""
    counts: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def from_polygons(polygons: Sequence[Sequence[float]], width: int, height: int) -> Mask:
    """Filled polygons, each a flat list x1, y1, x2, y2, ..."""
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(np.reshape(p, (-1, 2))).astype(np.int32) for p in polygons], 255)
    return mask


def read(annotation: Any, width: int, height: int) -> Mask:
    """A run-length code or a list of polygons."""
    return from_rle(annotation) if isinstance(annotation, Mapping) else from_polygons(annotation, width, height)
