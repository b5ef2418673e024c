"""Plans a clip: which pictures are used, and where each of them is at every moment."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.synth.config import ClipConfig
from sot_tracker.synth.motion import Array, Track, bump, frame_times, linear, smooth_noise, smooth_step
from sot_tracker.synth.pictures import Picture, irregular_cut_out, pillar
from sot_tracker.synth.sprite import Sprite

_PAN_ROOM = 1.3
"""Width and height of the background, in widths and heights of the frame."""

_SETTLE = 50
"""Frames after which a look-alike has left its start beside the target and follows its own path."""


@dataclass(frozen=True)
class Actor:
    """An object in front of the background. shadow: cast on everything behind it; None for occluders."""

    sprite: Sprite
    track: Track
    shadow: Sprite | None = None


@dataclass(frozen=True)
class Scene:
    """Everything in a clip except light and sensor. Actors are ordered from far to near.

    camera: movement of the background; shake: movement of the whole picture, background and actors, about `middle`.
    target: index of the target among the actors.
    """

    background: Picture
    camera: Track
    shake: Track
    actors: tuple[Actor, ...]
    target: int
    middle: Array


def stream(config: ClipConfig, name: str) -> np.random.Generator:
    """The random numbers for one part of a clip, identified by a name."""
    return np.random.default_rng([config.seed, zlib.crc32(name.encode())])


def plan(config: ClipConfig, pictures: Sequence[Picture]) -> Scene:
    """Choose and place everything. Raises UserError if there is no scene, or no picture to cut the target from."""
    cast = _Cast(config, pictures)
    centers, scales = _target_path(config)
    target = Actor(cast.target, _track(config, "target", centers, scales / cast.target.size), cast.target.shadow(0.4))
    behind = _clutter(config, cast)
    copies = [_lookalike(config, cast, k, centers, scales) for k in range(_number(config, "lookalikes"))]
    behind += [actor for actor, front in copies if not front]
    front = [actor for actor, front in copies if front]
    extent = scales[:, None] * (cast.target.extent / cast.target.size)
    front += [_occluder(config, cast, k, centers, extent) for k in range(_number(config, "occlusion"))]
    front += [_wide_pillar(config, cast, centers, extent)] if "hide" in config.events else []
    shake, camera = _camera(config, cast.background)
    middle = np.array([config.width, config.height]) / 2
    return Scene(cast.background, camera, shake, (*behind, target, *front), len(behind), middle)


def _number(config: ClipConfig, event: str) -> int:
    count = {"lookalikes": config.lookalikes, "clutter": config.clutter, "occlusion": config.occluders}[event]
    return count if event in config.events else 0


class _Cast:
    """The pictures of one clip: its background, target and a supply of other objects and textures."""

    def __init__(self, config: ClipConfig, pictures: Sequence[Picture]) -> None:
        rng = stream(config, "cast")
        scenes = [p for p in pictures if p.shape[2] == 3]
        objects = [p for p in pictures if p.shape[2] == 4]
        if not scenes:
            raise UserError("a generated clip needs at least one picture without alpha channel as its background")
        self.scene = _chosen(config.scene, len(scenes), "scene", rng)
        if not objects:
            sources = [p for k, p in enumerate(scenes) if k != self.scene] or scenes
            objects = [irregular_cut_out(sources[int(rng.integers(len(sources)))], rng) for _ in range(6)]
        chosen = _chosen(config.target, len(objects), "target", rng)
        self.picture = objects[chosen]
        self.others = [p for k, p in enumerate(objects) if k != chosen] or objects
        self.textures = scenes
        self.background = _background(scenes[self.scene], config, rng)
        self.light = float(self.background.mean())
        self.target = self.sprite(self.picture)

    def sprite(self, picture: Picture, gain: float = 1.0, hue: float = 0.0, mirror: bool = False) -> Sprite:
        """A sprite of the picture, with its brightness adapted to that of the background."""
        inside = picture[..., :3][picture[..., 3] > 128]
        own = float(inside.mean()) if inside.size else self.light
        fitted = float(np.clip((self.light + 10) / (own + 10), 0.3, 3.0)) ** 0.3
        return Sprite.of(picture, gain * fitted, hue, mirror)


def _chosen(wanted: int | None, count: int, what: str, rng: np.random.Generator) -> int:
    drawn = int(rng.integers(count))
    if wanted is not None and not 0 <= wanted < count:
        raise UserError(f"{what} {wanted} of a generated clip: the pictures hold {count}, give 0 to {count - 1}")
    return drawn if wanted is None else wanted


def _background(picture: Picture, config: ClipConfig, rng: np.random.Generator) -> Picture:
    """The scene, enlarged so that the camera can pan over it, slightly out of focus."""
    h, w = picture.shape[:2]
    zoom = rng.uniform(1.0, 1.25) * _PAN_ROOM * max(config.width / w, config.height / h)
    method = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    large = cv2.resize(picture, (round(w * zoom), round(h * zoom)), interpolation=method)
    if rng.uniform() < 0.5:
        large = large[:, ::-1]
    return np.asarray(cv2.GaussianBlur(large, (0, 0), rng.uniform(0.5, 1.2)), np.uint8)


def _unit(config: ClipConfig) -> float:
    """Size of the frame relative to 640 x 480."""
    return min(config.width / 640, config.height / 480)


def _target_path(config: ClipConfig) -> tuple[Array, Array]:
    """Centers (n x 2, pixels) and sizes (n, sqrt(w * h) in pixels) of the target."""
    rng, times = stream(config, "target path"), frame_times(config.frames)
    low, high = (f * config.height for f in config.target_size)
    size = np.full(len(times), np.exp(rng.uniform(np.log(low), np.log(high))))
    if "scale" in config.events:
        size = size * np.exp(0.45 * smooth_noise(rng, times, 60 / config.speed)[:, 0])
    size = np.clip(size, low, high)
    frame = np.array([config.width, config.height], float)
    amplitude = np.maximum(frame / 2 - 0.55 * size.max(), 0.1 * frame)
    centers = frame / 2 + amplitude * np.tanh(1.4 * smooth_noise(rng, times, 55 / config.speed, 2))
    if "absence" in config.events:
        centers = _with_excursions(config, centers, float(size.max()))
    return centers, size


def _with_excursions(config: ClipConfig, centers: Array, size: float) -> Array:
    """The path with excursions out of the picture. The target may leave and return through different sides."""
    rng, times = stream(config, "absence"), frame_times(config.frames)
    count = max(1, config.frames // 150)
    length = 0.75 * config.frames / count
    for k in range(count):
        start = 0.15 * config.frames + k * length * 1.1
        ramp = min(0.3 * length, 35 / config.speed)
        end = min(start + 2 * ramp + rng.uniform(0.0, 0.2) * length, start + length)
        leave = smooth_step((times - start) / ramp)[:, None] * _way_out(config, centers, size, rng)
        enter = smooth_step((end - times) / ramp)[:, None] * _way_out(config, centers, size, rng)
        centers = centers + np.where((times < (start + end) / 2)[:, None], leave, enter)
    return centers


def _way_out(config: ClipConfig, centers: Array, size: float, rng: np.random.Generator) -> Array:
    """n x 2: shifts that move each center completely out of the frame, through one side drawn at random."""
    axis, far = int(rng.uniform() < 0.35), rng.uniform() < 0.5
    side = (config.width, config.height)[axis] if far else 0.0
    way = np.zeros_like(centers)
    way[:, axis] = side - centers[:, axis] + (0.9 if far else -0.9) * size
    return way


def _track(config: ClipConfig, name: str, centers: Array, scales: Array, tilt: float = 0.0) -> Track:
    """The track of these centers and scales, with the rotation and stretching of the events "rotation" and "deform"."""
    rng, times = stream(config, name + " turn"), frame_times(config.frames)
    angle, aspect, shear = smooth_noise(rng, times, 70 / config.speed, 3).T * [[0.35], [0.22], [0.15]]
    angle = tilt + angle * ("rotation" in config.events)
    stretch = float("deform" in config.events)
    return Track(centers, linear(scales, angle, aspect * stretch, shear * stretch))


def _clutter(config: ClipConfig, cast: _Cast) -> list[Actor]:
    actors = []
    for k in range(_number(config, "clutter")):
        rng, times = stream(config, f"clutter {k}"), frame_times(config.frames)
        sprite = cast.sprite(cast.others[int(rng.integers(len(cast.others)))], rng.uniform(0.75, 1.1))
        size = np.full(len(times), config.height * rng.uniform(*config.target_size))
        actors.append(_actor(config, f"clutter {k}", sprite, _wander(config, rng), size / sprite.size))
    return actors


def _wander(config: ClipConfig, rng: np.random.Generator) -> Array:
    """A path all over the frame and a little beyond."""
    frame = np.array([config.width, config.height], float)
    noise = smooth_noise(rng, frame_times(config.frames), 80 / config.speed, 2)
    return np.asarray(frame * (0.5 + 0.55 * noise))


def _actor(config: ClipConfig, name: str, sprite: Sprite, centers: Array, scales: Array) -> Actor:
    return Actor(sprite, _track(config, name, centers, scales), sprite.shadow(0.4))


def _lookalike(config: ClipConfig, cast: _Cast, k: int, target: Array, scales: Array) -> tuple[Actor, bool]:
    """A copy of the target that starts beside it and passes it about every hundred frames; and whether in front."""
    name = f"lookalike {k}"
    rng, times = stream(config, name), frame_times(config.frames)
    sprite = cast.sprite(
        cast.picture, rng.uniform(0.8, 1.2), rng.choice([-1, 1]) * rng.uniform(5, 18), rng.uniform() < 0.5
    )
    inwards = np.where(target[0] < np.array([config.width, config.height]) / 2, 1, -1)
    path, apart = _wander(config, rng), rng.uniform(0.2, np.pi / 2 - 0.2)
    start = target[0] + scales[0] * rng.uniform(2, 3) * inwards * [np.cos(apart), np.sin(apart)]
    path = path + (1 - smooth_step(times / _SETTLE))[:, None] * (start - path)
    meetings = config.frames // 100
    for m in range(meetings):
        at = _SETTLE + (config.frames - _SETTLE) * (m + rng.uniform(0.2, 1)) / meetings
        beside = target + scales[:, None] * rng.uniform(-0.6, 0.6, 2)
        path = path + bump(times, at, 0.35 * _SETTLE)[:, None] * (beside - path)
    size = rng.uniform(0.8, 1.2) * scales / sprite.size
    return _actor(config, name, sprite, path, size), bool(rng.uniform() < 0.35)


def _occluder(config: ClipConfig, cast: _Cast, k: int, target: Array, extent: Array) -> Actor:
    """A pillar or an object that passes in front of a part of the target."""
    name = f"occluder {k}"
    rng, times = stream(config, name), frame_times(config.frames)
    at = 1 + int(config.frames * (0.2 + 0.75 * (k + rng.uniform(0.2, 0.8)) / config.occluders))
    if rng.uniform() < 0.55:
        return _pillar(config, cast, rng, at, extent[at, 0] * rng.uniform(0.35, 0.7), 7.0, target, extent)
    sprite = cast.sprite(cast.others[int(rng.integers(len(cast.others)))], rng.uniform(0.7, 1.1))
    scale = rng.uniform(0.6, 0.9) * np.sqrt(extent[at].prod()) / sprite.size
    centers = _passage(config, rng, at, 7.0, sprite.extent[0] * scale, target, extent)
    centers[:, 1] += extent[at, 1] * rng.choice([-1, 1]) * rng.uniform(0.15, 0.45)
    scales = np.full(len(times), scale)
    return Actor(sprite, _track(config, name, centers, scales), sprite.shadow(0.4))


def _wide_pillar(config: ClipConfig, cast: _Cast, target: Array, extent: Array) -> Actor:
    rng = stream(config, "hide")
    at = 1 + int(config.frames * rng.uniform(0.35, 0.8))
    return _pillar(config, cast, rng, at, extent[at, 0] * rng.uniform(1.4, 1.9), 5.0, target, extent)


def _pillar(
    config: ClipConfig,
    cast: _Cast,
    rng: np.random.Generator,
    at: int,
    width: float,
    speed: float,
    target: Array,
    extent: Array,
) -> Actor:
    """A pillar over the whole height of the frame, in front of the target at frame `at`."""
    texture = cast.textures[int(rng.integers(len(cast.textures)))]
    sprite = cast.sprite(pillar(texture, max(6, round(width)), round(1.3 * config.height), rng))
    centers = _passage(config, rng, at, speed, width, target, extent)
    centers[:, 1] = config.height / 2
    upright = np.ones(len(centers))
    tilt = np.full(len(centers), rng.uniform(-0.04, 0.04))
    return Actor(sprite, Track(centers, linear(upright, tilt, 0 * upright, 0 * upright)))


def _passage(
    config: ClipConfig,
    rng: np.random.Generator,
    at: int,
    speed: float,
    width: float,
    target: Array,
    extent: Array,
) -> Array:
    """A straight path opposite to the target's, which covers it at frame `at` and not in the first frames."""
    times = frame_times(config.frames)
    ahead = target[min(at + 2, len(target) - 1), 0] - target[at, 0]
    direction = -np.sign(ahead) if ahead else 1.0
    velocity = direction * speed * _unit(config) * config.speed * rng.uniform(0.8, 1.4)
    early = times <= min(4, at // 2)
    for _ in range(40):
        x = target[at + 1, 0] + velocity * (times - at)
        if (np.abs(x - target[:, 0]) > 0.75 * (width + extent[:, 0]))[early].all():
            break
        velocity *= 1.2
    return np.stack([x, target[at + 1, 1] + 0 * x], 1)


def _camera(config: ClipConfig, background: Picture) -> tuple[Track, Track]:
    """The camera's shake (about the frame's centre), and the pan, zoom and roll of the background."""
    rng, times = stream(config, "camera"), frame_times(config.frames)
    frame = np.array([config.width, config.height], float)
    slack = (np.array(background.shape[1::-1]) - frame) / 2
    on = float("camera" in config.events)
    pan = frame / 2 + on * slack * 0.9 * np.tanh(1.2 * smooth_noise(rng, times, 90 / config.speed, 2))
    zoom, roll = smooth_noise(rng, times, 80 / config.speed, 2).T * [[0.05], [0.03]] * on
    none = np.zeros(len(times))
    camera = Track(pan, linear(np.exp(zoom), roll, none, none))
    shake = on * smooth_noise(rng, times, 7, 3) * [1.6 * _unit(config), 1.6 * _unit(config), 0.004]
    return Track(frame / 2 + shake[:, :2], linear(none + 1, shake[:, 2], none, none)), camera
