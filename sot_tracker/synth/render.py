"""Draw a planned clip: frames and exact truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.synth.config import ClipConfig
from sot_tracker.synth.motion import Array, Track
from sot_tracker.synth.pictures import Picture, builtin_pictures
from sot_tracker.synth.scene import Scene, plan
from sot_tracker.synth.sensor import Sensor
from sot_tracker.synth.sprite import Sprite

_PIXELS_PER_SAMPLE = 1.5
_MAX_SAMPLES = 7


@dataclass(frozen=True)
class SynthFrame:
    """One frame and its truth.

    image: height x width x 3 BGR uint8, the caller's to keep.
    box: the upright box around the whole target (amodal, as in GOT-10k: also what an occluder covers) in the middle of
        the exposure, cut to the frame; None while less than `ClipConfig.min_visible` of the target shows.
    visible: 0..1, the part of the target's area that lies in the frame and is not covered.
    """

    image: npt.NDArray[np.uint8]
    box: Box | None
    visible: float


def render(config: ClipConfig, pictures: Sequence[Picture] | None = None) -> Iterator[SynthFrame]:
    """The frames of a clip, one after the other.

    pictures: scenes (3 channels) and objects (4 channels); without objects, blobs are cut from the scenes. None takes
        `builtin_pictures()`, which are the project's test range: train on others.

    Raises UserError, at the first frame, if the pictures do not make a clip.
    """
    scene = plan(config, builtin_pictures() if pictures is None else pictures)
    sensor = Sensor(config)
    shutter = 0.5 if "blur" in config.events else 0.0
    for time in range(config.frames):
        yield _frame(config, scene, sensor, time, shutter)


def _frame(config: ClipConfig, scene: Scene, sensor: Sensor, time: int, shutter: float) -> SynthFrame:
    image = _background(config, scene, time, shutter)
    cover: Cover | None = None
    for index, actor in enumerate(scene.actors):
        matrices = _exposure(actor.track, scene.shake, scene.middle, actor.sprite.anchor, time, shutter)
        if actor.shadow is not None:
            draw_sprite(image, actor.shadow, [_fallen(matrices[len(matrices) // 2], actor.sprite.size)])
        where, alpha = draw_sprite(image, actor.sprite, matrices)
        if index == scene.target:
            cover = Cover(where, alpha.astype(np.float32))
        elif cover is not None:
            cover.hide(where, alpha)
    target = scene.actors[scene.target]
    (matrix,) = _exposure(target.track, scene.shake, scene.middle, target.sprite.anchor, time, 0.0)
    full = target.sprite.area * abs(float(np.linalg.det(matrix[:2, :2])))
    visible = min(1.0, cover.total / full) if cover is not None else 0.0
    box = outline_box(target.sprite, matrix).clipped(config.width, config.height)
    return SynthFrame(sensor.expose(image, time), box if visible >= config.min_visible else None, visible)


class Cover:
    """What still shows of the target: its alpha, lessened by every actor drawn after it."""

    def __init__(self, where: tuple[int, int, int, int], alpha: npt.NDArray[np.float32]) -> None:
        self._where = where
        self._alpha = alpha

    def hide(self, where: tuple[int, int, int, int], alpha: npt.NDArray[np.uint8]) -> None:
        x1, y1 = max(where[0], self._where[0]), max(where[1], self._where[1])
        x2, y2 = min(where[2], self._where[2]), min(where[3], self._where[3])
        if x1 < x2 and y1 < y2:
            mine = self._alpha[y1 - self._where[1] : y2 - self._where[1], x1 - self._where[0] : x2 - self._where[0]]
            mine *= 1 - alpha[y1 - where[1] : y2 - where[1], x1 - where[0] : x2 - where[0]] / np.float32(255)

    @property
    def total(self) -> float:
        """Pixels."""
        return float(self._alpha.sum()) / 255


def outline_box(sprite: Sprite, matrix: Array) -> Box:
    """The upright box around a sprite that is drawn with that 3 x 3 map; it may leave the frame."""
    corners = sprite.outline @ matrix[:2, :2].T + matrix[:2, 2] + 0.5
    return Box.from_xyxy(*corners.min(0), *corners.max(0))


def _moments(first: Array, last: Array, reach: float) -> int:
    """How many moments of the exposure to draw: enough that a point `reach` pixels from the anchor leaves no gaps."""
    moved = np.abs(last[:2, 2] - first[:2, 2]).max() + reach * np.abs(last[:2, :2] - first[:2, :2]).max()
    return int(np.clip(np.ceil(moved / _PIXELS_PER_SAMPLE), 1, _MAX_SAMPLES))


def _exposure(track: Track, shake: Track, middle: Array, anchor: Array, time: float, shutter: float) -> list[Array]:
    """3 x 3 maps from a picture to the frame, spread evenly over the open shutter and centred on `time`."""

    def at(moment: float) -> Array:
        return np.asarray(shake.matrix(moment, middle) @ track.matrix(moment, anchor))

    if not shutter:
        return [at(time)]
    opened, half, closed = (at(time + shutter * f) for f in (-0.5, 0.0, 0.5))
    count = _moments(opened, closed, float(np.hypot(*anchor)))
    # From -1 at the opening to 1 at the closing, half a step inside either.
    steps = (np.arange(count) + 0.5) * 2 / count - 1
    return [half + abs(f) * ((opened if f < 0 else closed) - half) for f in steps.tolist()]


def _fallen(matrix: Array, size: float) -> Array:
    """Where the shadow falls: a little below and beside its sprite."""
    scale = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    return np.asarray(matrix + np.array([[0, 0, 0.03], [0, 0, 0.07], [0, 0, 0]]) * (scale * size))


def _background(config: ClipConfig, scene: Scene, time: float, shutter: float) -> npt.NDArray[np.uint8]:
    height, width = scene.background.shape[:2]
    anchor = np.array([width - 1, height - 1]) / 2
    size = (config.width, config.height)
    drawn = [
        cv2.warpAffine(scene.background, m[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        for m in _exposure(scene.camera, scene.shake, scene.middle, anchor, time, shutter)
    ]
    return _mean(drawn)


def _mean(images: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    if len(images) == 1:
        return np.asarray(images[0], np.uint8)
    total = images[0].astype(np.float32)
    for image in images[1:]:
        cv2.accumulate(image, total)
    return np.asarray(cv2.convertScaleAbs(total, alpha=1 / len(images)), np.uint8)


def draw_sprite(
    image: npt.NDArray[np.uint8], sprite: Sprite, matrices: list[Array]
) -> tuple[tuple[int, int, int, int], npt.NDArray[np.uint8]]:
    """Blend the sprite into the image; returns the rectangle x1, y1, x2, y2 that was touched and the alpha in it."""
    height, width = image.shape[:2]
    scale = float(np.sqrt(abs(np.linalg.det(matrices[0][:2, :2]))))
    source, to_first = sprite.level_for(scale)
    h, w = source.shape[:2]
    corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]]) - [0.5, 0.5, 0]
    placed = [matrix @ to_first for matrix in matrices]
    reached = np.concatenate([corners @ matrix[:2].T for matrix in placed])
    x1, y1 = np.clip(np.floor(reached.min(0)), 0, (width, height)).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(reached.max(0)) + 1, 0, (width, height)).astype(int).tolist()
    if x1 >= x2 or y1 >= y2:
        return (0, 0, 0, 0), np.zeros((0, 0), np.uint8)
    to_corner = np.array([[0, 0, x1], [0, 0, y1], [0, 0, 0]])
    layer = _mean([cv2.warpAffine(source, (m - to_corner)[:2], (x2 - x1, y2 - y1)) for m in placed])
    alpha = layer[..., 3]
    part = image[y1:y2, x1:x2]
    behind = cv2.cvtColor(255 - alpha, cv2.COLOR_GRAY2BGR)
    image[y1:y2, x1:x2] = cv2.add(cv2.multiply(part, behind, scale=1 / 255), cv2.cvtColor(layer, cv2.COLOR_BGRA2BGR))
    return (x1, y1, x2, y2), alpha
