"""Object masks: annotated ones in COCO's notations, and GrabCut ones where only a box, or nothing, is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from sot_tracker.datasets.records import XYWH, Mask

GRABCUT_SIDE = 160
"""GrabCut works on a picture reduced to this long side: 40 ms each, and its edge is softened anyway."""
MARGIN = 0.08
"""Share of a picture at each border in which GrabCut expects no object where no box is known."""


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


def grabcut(image: np.ndarray, box: XYWH | None) -> Mask | None:
    """The object inside a box (Rother et al. 2004), without one inside the picture's margins; None where no plausible
    one stands out.

    Plausible: the mask fills 20 to 90 % of the box, one connected part holds most of it, and it spans the box's sides
    to
    at least 60 %, so that the box really bounds what was found.
    """
    if box is None:
        height, width = image.shape[:2]
        box = MARGIN * width, MARGIN * height, (1 - 2 * MARGIN) * width, (1 - 2 * MARGIN) * height
    scale = min(1.0, GRABCUT_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    x, y, w, h = (round(v * scale) for v in box)
    x, y = max(x, 1), max(y, 1)
    w, h = min(w, small.shape[1] - x - 1), min(h, small.shape[0] - y - 1)
    if w < 8 or h < 8:
        return None
    labels = np.zeros(small.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(small, labels, (x, y, w, h), np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_RECT)
    mask = _largest_part(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8))
    if mask is None or not 0.2 <= mask.sum() / (w * h) <= 0.9:
        return None
    _, _, found_w, found_h = cv2.boundingRect(mask)
    if found_w < 0.6 * w or found_h < 0.6 * h:
        return None
    full = cv2.resize(mask * 255, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(full > 127, 255, 0).astype(np.uint8)


def _largest_part(mask: Mask) -> Mask | None:
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < 0.7 * opened.sum():
        return None
    part: Mask = (parts == largest).astype(np.uint8)
    return part
