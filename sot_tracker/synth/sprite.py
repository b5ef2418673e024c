"""A picture prepared for drawing: premultiplied, in halving sizes, with its exact outline and area."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.errors import UserError
from sot_tracker.synth.motion import Array
from sot_tracker.synth.pictures import Picture

_LEVELS = 5
_PAD = 2


@dataclass(frozen=True)
class Sprite:
    """Coordinates are OpenCV's: a pixel's centre is an integer.

    levels: premultiplied BGRA, each half the size of the one before.
    outline: k x 2, convex hull of the outer pixel corners of the mask (alpha of at least one half).
    area: sum of alpha, in pixels. anchor, extent: centre and w, h of the outline's upright box.
    """

    levels: tuple[npt.NDArray[np.uint8], ...]
    outline: Array
    area: float
    anchor: Array
    extent: Array

    @classmethod
    def of(cls, picture: Picture, gain: float = 1.0, hue: float = 0.0, mirror: bool = False) -> Sprite:
        """From a BGRA picture, with brightness gain, a turn of hue in degrees, or mirrored left to right.

        Raises UserError for an object that is nowhere at least half opaque.
        """
        if picture[..., 3].max() < 128:
            raise UserError("an object of the generated clip shows nothing: its alpha is below one half everywhere")
        color, alpha = _tinted(picture[..., :3], gain, hue), picture[..., 3]
        if mirror:
            color, alpha = color[:, ::-1], alpha[:, ::-1]
        multiple = 2 ** (_LEVELS - 1)
        h, w = alpha.shape
        fill_h, fill_w = -(h + 2 * _PAD) % multiple, -(w + 2 * _PAD) % multiple
        premultiplied = np.dstack([(color * (alpha[..., None] / np.float32(255))).round(), alpha]).astype(np.uint8)
        base = np.pad(premultiplied, ((_PAD, _PAD + fill_h), (_PAD, _PAD + fill_w), (0, 0)))
        return cls(_pyramid(base), *_measure(base[..., 3]))

    @property
    def size(self) -> float:
        """Square root of the outline box's area."""
        return float(np.sqrt(self.extent.prod()))

    def level_for(self, scale: float) -> tuple[npt.NDArray[np.uint8], Array]:
        """The picture to warp for that scale, and the 3 x 3 map from its pixels to those of the first level."""
        level = int(np.clip(np.floor(-np.log2(max(scale, 1e-6))), 0, len(self.levels) - 1))
        factor = 2.0**level
        shift = 0.5 * factor - 0.5
        return self.levels[level], np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]])

    def shadow(self, strength: float) -> Sprite:
        """The sprite's soft shadow: black, blurred, of the same coordinates."""
        alpha = self.levels[0][..., 3]
        soft = cv2.GaussianBlur(alpha, (0, 0), max(1.0, 0.035 * self.size))
        black = np.zeros((*alpha.shape, 4), np.uint8)
        black[..., 3] = (soft * strength).astype(np.uint8)
        return Sprite(_pyramid(black), self.outline, self.area, self.anchor, self.extent)


def _pyramid(base: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], ...]:
    sizes = [(base.shape[1] >> k, base.shape[0] >> k) for k in range(_LEVELS)]
    return tuple(np.asarray(cv2.resize(base, size, interpolation=cv2.INTER_AREA), np.uint8) for size in sizes)


def _measure(alpha: npt.NDArray[np.uint8]) -> tuple[Array, float, Array, Array]:
    """Outline, area, anchor and extent of a mask."""
    contours, _ = cv2.findContours((alpha >= 128).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = np.concatenate(contours).reshape(-1, 1, 2).astype(np.float32)
    corners = points + np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]], np.float32)
    outline = cv2.convexHull(corners.reshape(-1, 1, 2)).reshape(-1, 2).astype(np.float64)
    low, high = outline.min(0), outline.max(0)
    return outline, float(alpha.sum() / 255), (low + high) / 2, high - low


def _tinted(color: npt.NDArray[np.uint8], gain: float, hue: float) -> npt.NDArray[np.uint8]:
    if hue:
        hsv = np.asarray(cv2.cvtColor(color, cv2.COLOR_BGR2HSV))
        hsv[..., 0] = (hsv[..., 0].astype(int) + round(hue / 2)) % 180
        color = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR), np.uint8)
    return np.asarray(cv2.convertScaleAbs(color, alpha=gain), np.uint8) if gain != 1.0 else color
