"""Pastes cut-out objects on other scenes: the target, look-alikes beside it, occluders over it.

A small data set shows few objects in front of few backgrounds. Pasting combines every object with every background,
with exact boxes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from sot_tracker.boxes import coverages
from sot_tracker.datasets.records import XYWH
from sot_tracker.train.cache import Cache
from sot_tracker.train.geometry import Affine, crop, move_points, place, warp


@dataclass(frozen=True, slots=True)
class Cutout:
    """picture: H x W x 4, mask last; points: convex hull of the mask, N x 2 corner coordinates."""

    picture: np.ndarray
    points: np.ndarray

    @property
    def center(self) -> tuple[float, float]:
        x, y = 0.5 * (self.points.min(0) + self.points.max(0))
        return float(x), float(y)

    def bounds(self, affine: Affine) -> XYWH:
        return move_points(self.points, affine)


def outline(mask: np.ndarray) -> np.ndarray | None:
    """Convex hull of a mask, N x 2 corner coordinates; None for an empty one."""
    binary = np.ascontiguousarray(mask > 127).astype(np.uint8)
    contours, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    hull = cv2.convexHull(np.concatenate(contours)).reshape(-1, 1, 2)
    corners = np.array(
        [(0, 0), (1, 0), (0, 1), (1, 1)]
    )  # the contour passes through pixel centres, the hull must surround the pixels
    points: np.ndarray = (hull + corners).reshape(-1, 2).astype(np.float64)
    return points


class Cutouts:
    """The cut-out objects of a cache. entries: indices of the entries; only those with a usable mask are used.

    A track with n objects is drawn with the weight sqrt(n), since a long video shows the same object many times.
    """

    def __init__(self, cache: Cache, entries: np.ndarray) -> None:
        self.cache = cache
        sides = cache.index["box"][entries][:, 2:].min(1)
        self.entries = entries[(cache.index["channels"][entries] == 4) & (sides >= 14)]
        _, own, counts = np.unique(cache.index["track"][self.entries], return_inverse=True, return_counts=True)
        self._cumulative = np.cumsum(counts[own] ** -0.5)
        self._hull = lru_cache(100_000)(self._read_hull)

    def _read_hull(self, entry: int) -> np.ndarray | None:
        return outline(self.cache.picture(entry)[..., 3])

    def get(self, entry: int) -> Cutout | None:
        hull = self._hull(int(entry))
        return None if hull is None else Cutout(self.cache.picture(int(entry)), hull)

    def draw_entry(self, rng: np.random.Generator) -> int:
        return int(self.entries[np.searchsorted(self._cumulative, rng.uniform(0, self._cumulative[-1]), "right")])

    def draw(self, rng: np.random.Generator) -> Cutout:
        while True:
            found = self.get(self.draw_entry(rng))
            if found is not None:
                return found


def bent(cutout: Cutout, amount: float, rng: np.random.Generator) -> Cutout:
    """The object deformed by a smooth random field, as if it had moved its limbs or turned in depth.

    amount: standard deviation of the shifts at 4 x 4 knots, in sizes of the object.
    """
    low, high = cutout.points.min(0), cutout.points.max(0)
    size = math.sqrt(float(np.prod(high - low)))
    x0, y0 = (max(int(v - 0.2 * size), 0) for v in low)
    x1, y1 = (int(v + 0.2 * size) + 1 for v in high)
    part = cutout.picture[y0:y1, x0:x1]
    height, width = part.shape[:2]
    knots = rng.normal(0, amount * size, (4, 4, 2)).astype(np.float32)
    field = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.indices((height, width), np.float32)
    moved = cv2.remap(part, field[..., 0] + columns, field[..., 1] + rows, cv2.INTER_LINEAR)
    points = outline(moved[..., 3])
    return cutout if points is None else Cutout(moved, points)


def paste(
    patch: np.ndarray, cutout: Cutout, affine: Affine, opacity: float = 1.0, tint: np.ndarray | None = None
) -> np.ndarray:
    """A copy of the patch with the cut-out pasted on it. tint: factors for the object's channels."""
    size = patch.shape[0]
    x, y, w, h = cutout.bounds(affine)
    x0, y0 = max(int(x) - 2, 0), max(int(y) - 2, 0)
    x1, y1 = min(math.ceil(x + w) + 2, size), min(math.ceil(y + h) + 2, size)
    if x1 <= x0 or y1 <= y0:
        return patch
    moved = affine.copy()
    moved[:, 2] -= (x0, y0)
    layer = warp(cutout.picture, moved, max(x1 - x0, y1 - y0))[: y1 - y0, : x1 - x0].astype(np.float32)
    alpha = layer[..., 3:] * (opacity / 255)
    color = layer[..., :3] if tint is None else np.minimum(layer[..., :3] * tint, 255)
    out: np.ndarray = patch.copy()
    below = out[y0:y1, x0:x1]
    out[y0:y1, x0:x1] = (below + alpha * (color - below) + 0.5).astype(np.uint8)
    return out


def target_map(
    cutout: Cutout, center: tuple[float, float], side: float, angle: float, aspect: float, flip: bool
) -> Affine:
    """The map that brings the object to `center` so that its box has sqrt(w h) = side."""
    linear = place(cutout.center, center, 1.0, angle, aspect, flip)
    _, _, w, h = cutout.bounds(linear)
    scaled = place(cutout.center, center, side / math.sqrt(max(w * h, 1e-6)), angle, aspect, flip)
    x, y, w, h = cutout.bounds(scaled)
    scaled[:, 2] += np.asarray(center) - (x + 0.5 * w, y + 0.5 * h)
    return scaled


def background(picture: np.ndarray, out: int, rng: np.random.Generator) -> np.ndarray:
    """A random square of a picture, out x out; mirrored at the picture's border so that it has no edge."""
    short = min(picture.shape[:2])
    side = short * rng.uniform(0.35, 1.0)
    center = (rng.uniform(0.3, 0.7) * picture.shape[1], rng.uniform(0.3, 0.7) * picture.shape[0])
    affine = crop(center, side, out, flip=bool(rng.random() < 0.5))
    affine[:, 2] += 0.5 * affine[:, :2].sum(1) - 0.5
    return cv2.warpAffine(
        picture[..., :3], affine, (out, out), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


def distractors(
    patch: np.ndarray,
    box: XYWH,
    draw: Callable[[np.random.Generator], Cutout],
    like: Cutout | None,
    count: int,
    rng: np.random.Generator,
    covered: float = 0.15,
) -> np.ndarray:
    """Paste objects of about the target's size, half of them close to it.

    like: the target itself, which is pasted in about half of the cases, in another colour and shape; None: never.
    draw: draws other objects. covered: share of the target's box that one object may cover; 1 if the target is pasted
        over them afterwards.
    """
    size = patch.shape[0]
    side = math.sqrt(box[2] * box[3])
    middle = np.array([box[0] + 0.5 * box[2], box[1] + 0.5 * box[3]])
    for _ in range(count):
        other = like if like is not None and rng.random() < 0.5 else draw(rng)
        near = rng.random() < 0.5
        center = tuple((middle + rng.normal(0, side, 2) if near else rng.uniform(0, size, 2)).tolist())
        aspect = math.exp(rng.normal(0, 0.4 if other is like else 0.2))
        affine = target_map(
            other, center, side * math.exp(rng.normal(0, 0.3)), rng.normal(0, 0.5), aspect, bool(rng.random() < 0.5)
        )
        if coverages(np.array(box), np.array(other.bounds(affine))) > covered:
            continue
        tint = rng.uniform(0.5, 1.5, 3) if other is like else None
        patch = paste(patch, other, affine, tint=tint)
    return patch


def occluder(patch: np.ndarray, box: XYWH, texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a textured rectangle or ellipse that hides 15 to 50 % of the box from one side."""
    size = patch.shape[0]
    x, y, w, h = box
    share = rng.uniform(0.15, 0.5)
    mask = np.zeros((size, size), np.uint8)
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    reach = 0.5 * (abs(direction[0]) * w + abs(direction[1]) * h)
    length = max(w, h) * rng.uniform(0.6, 2.0)
    center = np.array([x + w / 2, y + h / 2]) + direction * (reach * (1 - 2 * share) + length / 2)
    shape = (tuple(center.tolist()), (length, length * rng.uniform(0.7, 2.0)), math.degrees(angle))
    if rng.random() < 0.5:
        cv2.ellipse(mask, shape, 255, -1)
    else:
        cv2.fillPoly(mask, [np.round(cv2.boxPoints(shape)).astype(np.int32)], 255)
    return np.where(mask[..., None] > 0, background(texture, size, rng), patch)
