"""A simulated flight range: a camera on a pan-tilt mount, and a painted wall in front of which targets move.

The wall is a plane, so that a picture of the turned camera is an exact homography of it. Positions on it are tangents:
(0, 0) is straight ahead, (1, 0) at 45 degrees to the right. Angles are radians, yaw to the right and pitch down.
Everything is determined by the seed and the commands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.synth.motion import Array
from sot_tracker.synth.pictures import Picture, builtin_pictures, pillar
from sot_tracker.synth.render import Cover, draw_sprite, outline_box
from sot_tracker.synth.sprite import Sprite

YAW_LIMIT, PITCH_LIMIT = 0.8, 0.45
"""Largest yaw and pitch of the mount in both directions, radians."""
LAG_S = 0.08
"""Time constant with which the mount reaches a commanded rate, seconds."""
COMMAND_S = 0.5
"""Seconds without a command after which the mount stops, as real ones do."""

_WALL = (3.2, 1.8)  # width and height of the wall's picture, tangents; it is mirrored beyond
_REACH = (0.52, 0.2)  # largest distance of a target from the middle, tangents
_TARGET = 0.16  # size of the target, tangents
_MIN_VISIBLE = 0.1
_NOISE, _SHIFTS = 3.0, 32  # grey levels; pixels


@dataclass(frozen=True)
class RangeFrame:
    """A picture and its truth.

    image: H x W x 3 BGR. box: of the whole target, pixels, cut to the frame; None if less than a tenth is visible.
    visible: share of the target's area that is in the frame and not covered, 0 to 1. center: of the target, pixels,
    possibly outside of the frame. yaw, pitch: of the camera.
    """

    image: npt.NDArray[np.uint8]
    box: Box | None
    visible: float
    center: tuple[float, float]
    yaw: float
    pitch: float

    @property
    def in_middle_third(self) -> bool:
        """Whether the target's centre is in the middle third of the width and of the height."""
        height, width = self.image.shape[:2]
        return all(1 / 3 <= at / side <= 2 / 3 for at, side in zip(self.center, (width, height), strict=True))


@dataclass
class Mount:
    """Turns the camera as commanded, with a lag and within limits. It stops when commands stop."""

    yaw: float = 0.0
    pitch: float = 0.0
    yaw_rate: float = 0.0
    pitch_rate: float = 0.0
    _wanted: tuple[float, float] = (0.0, 0.0)
    _silent: float = math.inf

    def command(self, yaw_rate: float, pitch_rate: float) -> None:
        """Set the rates in radians per second; values that are not finite count as 0."""
        self._wanted = tuple(rate if math.isfinite(rate) else 0.0 for rate in (yaw_rate, pitch_rate))  # type: ignore[assignment]
        self._silent = 0.0

    def step(self, dt: float) -> None:
        self._silent += dt
        wanted = self._wanted if self._silent <= COMMAND_S else (0.0, 0.0)
        share = 1 - math.exp(-dt / LAG_S)
        self.yaw_rate += share * (wanted[0] - self.yaw_rate)
        self.pitch_rate += share * (wanted[1] - self.pitch_rate)
        self.yaw, self.yaw_rate = _within(self.yaw + self.yaw_rate * dt, self.yaw_rate, YAW_LIMIT)
        self.pitch, self.pitch_rate = _within(self.pitch + self.pitch_rate * dt, self.pitch_rate, PITCH_LIMIT)


def _within(angle: float, rate: float, limit: float) -> tuple[float, float]:
    return (angle, rate) if abs(angle) <= limit else (math.copysign(limit, angle), 0.0)


@dataclass(frozen=True)
class _Way:
    """A smooth path: the sum of two sines per axis. Arrays are 2 x 2: axis, sine."""

    amplitudes: Array
    periods: Array
    phases: Array

    @classmethod
    def drawn(cls, rng: np.random.Generator, speed: float) -> _Way:
        amplitudes = np.array(_REACH)[:, None] * [[0.75, 0.25], [0.7, 0.3]]
        periods = rng.uniform([[13, 5], [9, 4]], [[18, 7], [13, 6]]) / speed
        return cls(amplitudes, periods, rng.uniform(0, 2 * np.pi, (2, 2)))

    def at(self, time: float) -> Array:
        """The position at that time, tangents x and y."""
        return np.asarray((self.amplitudes * np.sin(2 * np.pi * time / self.periods + self.phases)).sum(axis=1))


@dataclass(frozen=True)
class _Actor:
    """An object in front of the wall. scale: tangents per pixel of the sprite.

    breath: amplitude of its change of size.
    """

    sprite: Sprite
    way: _Way | Array
    scale: float
    breath: float = 0.0

    def at(self, time: float) -> Array:
        """The 3 x 3 map from the sprite's pixels to the wall."""
        center = self.way.at(time) if isinstance(self.way, _Way) else self.way
        scale = self.scale * math.exp(self.breath * math.sin(2 * math.pi * time / 11))
        x, y = center - scale * self.sprite.anchor
        return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]])


class FlightRange:
    """The scene and its camera. Call `mount.command`, `step` and `look` in turn; `latest` is the last picture.

    width, height: of the pictures, pixels. fov: horizontal, degrees. speed: 1 moves the target by at most about 0.35
    radians per second. lookalikes: number of slightly changed copies of the target, on paths of their own. occluders:
    number of pillars; the first is wide enough to hide the whole target. pictures: as for `render`; None: the built-in.

    Raises UserError if the pictures are not suitable for a scene.
    """

    def __init__(
        self,
        width: int = 640,
        height: int = 480,
        fov: float = 60.0,
        seed: int = 0,
        speed: float = 1.0,
        lookalikes: int = 1,
        occluders: int = 2,
        pictures: Sequence[Picture] | None = None,
    ) -> None:
        self.mount, self.time = Mount(), 0.0
        self.latest: RangeFrame | None = None
        self.focal = 0.5 * width / math.tan(math.radians(fov) / 2)
        self._size = width, height
        self._rng = np.random.default_rng([seed, 2])
        noise = 128 + self._rng.normal(0, _NOISE, (height + _SHIFTS, width + _SHIFTS, 1))
        self._grain = np.repeat(np.clip(noise, 0, 255).astype(np.uint8), 3, axis=2)
        rng = np.random.default_rng([seed, 1])
        pictures = builtin_pictures() if pictures is None else pictures
        objects, scenes = ([p for p in pictures if p.shape[2] == n] for n in (4, 3))
        if not objects or not scenes:
            raise UserError("a flight range needs a picture with alpha channel as target and one without as its wall")
        target, scene = (list_[int(rng.integers(len(list_)))] for list_ in (objects, scenes))
        self._wall, self._to_wall = _wall(scene, self.focal)
        way = _Way.drawn(rng, speed)
        self._actors = [_copy(rng, target, speed) for _ in range(lookalikes)]
        self._target = len(self._actors)
        sprite = Sprite.of(target)
        self._actors.append(_Actor(sprite, way, _TARGET / sprite.size, 0.15))
        self._actors += [_post(rng, scenes, way, index) for index in range(occluders)]
        start = way.at(0.0)
        self.mount.yaw = math.atan(start[0])
        self.mount.pitch = math.atan2(start[1], math.hypot(start[0], 1))

    def step(self, dt: float) -> None:
        """Advance the scene by `dt` seconds."""
        self.time += dt
        self.mount.step(dt)

    def look(self) -> RangeFrame:
        """Take a picture at this moment. It has noise, so that two pictures differ."""
        view = self._view()
        image = np.asarray(
            cv2.warpPerspective(
                self._wall, view @ self._to_wall, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
            ),
            np.uint8,
        )
        target, visible = self._draw_actors(image, view)
        box = target.clipped(*self._size) if visible >= _MIN_VISIBLE else None
        center = float(target.center[0]), float(target.center[1])
        self.latest = RangeFrame(self._noisy(image), box, visible, center, self.mount.yaw, self.mount.pitch)
        return self.latest

    def _draw_actors(self, image: npt.NDArray[np.uint8], view: Array) -> tuple[Box, float]:
        """Draw all objects, from far to near.

        Returns the target's box, possibly outside of the frame, and its visible share.
        """
        cover: Cover | None = None
        for index, actor in enumerate(self._actors):
            matrix = _nearby(view, actor.at(self.time), actor.sprite.anchor)
            where, alpha = draw_sprite(image, actor.sprite, [matrix])
            if index == self._target:
                cover, target = Cover(where, alpha.astype(np.float32)), matrix
            elif cover is not None:
                cover.hide(where, alpha)
        assert cover is not None
        sprite = self._actors[self._target].sprite
        visible = min(1.0, cover.total / (sprite.area * abs(float(np.linalg.det(target[:2, :2])))))
        return outline_box(sprite, target), visible

    def _noisy(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Add noise. Each picture gets another part of the noise pattern, which is a little larger than the picture."""
        height, width = image.shape[:2]
        y, x = self._rng.integers(0, _SHIFTS, 2).tolist()
        grain = self._grain[y : y + height, x : x + width]
        return np.asarray(cv2.addWeighted(image, 1, grain, 1, -128), np.uint8)

    def _view(self) -> Array:
        """The 3 x 3 map from the wall to pixels, whose centres have integer coordinates."""
        cy, sy = math.cos(self.mount.yaw), math.sin(self.mount.yaw)
        cp, sp = math.cos(self.mount.pitch), math.sin(self.mount.pitch)
        yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
        pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        width, height = self._size
        lens = np.array([[self.focal, 0, (width - 1) / 2], [0, self.focal, (height - 1) / 2], [0, 0, 1]])
        return np.asarray(lens @ pitch @ yaw)


def _wall(scene: Picture, focal: float) -> tuple[Picture, Array]:
    """The wall's picture, in about the camera's resolution, and the map from its pixels to tangents."""
    size = [round(side * focal) for side in _WALL]
    large = np.asarray(cv2.resize(scene, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    scale = _WALL[0] / size[0]
    to_wall = np.array([[scale, 0, -_WALL[0] / 2], [0, scale, -_WALL[1] / 2], [0, 0, 1]])
    return np.asarray(cv2.GaussianBlur(large, (0, 0), 0.8), np.uint8), to_wall


def _copy(rng: np.random.Generator, picture: Picture, speed: float) -> _Actor:
    """A look-alike: slightly brighter or darker, of another tint, possibly mirrored."""
    tint = float(rng.choice([-1, 1]) * rng.uniform(20, 50))
    sprite = Sprite.of(picture, float(rng.uniform(0.8, 1.2)), tint, bool(rng.uniform() < 0.5))
    return _Actor(sprite, _Way.drawn(rng, speed), _TARGET / sprite.size * float(rng.uniform(0.8, 1.0)))


def _post(rng: np.random.Generator, scenes: Sequence[Picture], way: _Way, index: int) -> _Actor:
    """A pillar at a place that the target passes some seconds after the start; the first is wider than the target."""
    width = _TARGET * (1.1 if index == 0 else 0.4)
    at = way.at(6.0 + 7.0 * index + float(rng.uniform(0, 2)))
    if abs(at[0] - way.at(0.0)[0]) < width + _TARGET:  # not in front of the target at the start
        at[0] += math.copysign(width + _TARGET, at[0] - way.at(0.0)[0])
    sprite = Sprite.of(pillar(scenes[int(rng.integers(len(scenes)))], 60, round(60 * 1.6 / width), rng))
    return _Actor(sprite, np.array([at[0], 0.0]), width / 60)


def _nearby(view: Array, placed: Array, anchor: Array) -> Array:
    """The affine map that is next to `view @ placed` around the sprite's anchor."""
    whole = view @ placed
    x, y, w = whole @ [*anchor, 1.0]
    center = np.array([x, y]) / w
    turn = (whole[:2, :2] - center[:, None] * whole[2, :2]) / w
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = center - turn @ anchor
    return matrix
