"""Light and camera: what happens to a drawn frame on its way to the file."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.synth.config import ClipConfig
from sot_tracker.synth.motion import MARGIN, frame_times, smooth_noise
from sot_tracker.synth.scene import stream

Image = npt.NDArray[np.uint8]

_FIELD_ONE = 128
"""The value of the cloud-shadow field that leaves a pixel as it is."""


class Sensor:
    """Light, exposure, noise and compression of one clip, as its events ask."""

    def __init__(self, config: ClipConfig) -> None:
        times = frame_times(config.frames)
        rng = stream(config, "light")
        self._light = "light" in config.events
        self._gain, self._gamma, *self._tint = np.exp(
            smooth_noise(rng, times, 50, 5) * [0.28, 0.18, 0.05, 0.02, 0.05]
        ).T
        self._field = _clouds(rng, config) if self._light else None
        self._drift = smooth_noise(rng, times, 120, 2)
        rng = stream(config, "noise")
        self._noise = _grain(rng, config, rng.uniform(1.5, 4.5)) if "noise" in config.events else None
        self._shifts = rng.integers(0, 32, (config.frames, 2))
        quality = int(stream(config, "jpeg").integers(15, 45))
        self._jpeg = [cv2.IMWRITE_JPEG_QUALITY, quality] if "jpeg" in config.events else None

    def expose(self, image: Image, time: int) -> Image:
        """The frame as the camera of this clip hands it over; `image` is not changed."""
        height, width = image.shape[:2]
        if self._field is not None:
            y, x = ((0.5 + 0.45 * np.clip(self._drift[time + MARGIN], -1, 1)) * (height, width)).astype(int)
            shaded = cv2.multiply(image, self._field[y : y + height, x : x + width], scale=1 / _FIELD_ONE)
            image = np.asarray(cv2.LUT(shaded, self._curve(time)), np.uint8)
        if self._noise is not None:
            y, x = self._shifts[time]
            noise = self._noise[y : y + height, x : x + width]
            image = np.asarray(cv2.addWeighted(image, 1, noise, 1, -128), np.uint8)
        if self._jpeg is not None:
            image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, self._jpeg)[1], cv2.IMREAD_COLOR), np.uint8)
        return image

    def _curve(self, time: int) -> Image:
        """1 x 256 x 3 tone curve of that moment."""
        index = time + MARGIN
        level = (np.arange(256) / 255) ** self._gamma[index] * 255 * self._gain[index]
        curves = np.stack([level * tint[index] for tint in self._tint], -1)[None]
        return np.asarray(np.clip(curves, 0, 255), np.uint8)


def _clouds(rng: np.random.Generator, config: ClipConfig) -> Image:
    """Twice the frame's width and height, soft patches of light and shade."""
    size = (2 * config.width, 2 * config.height)
    patches = cv2.resize(rng.normal(0, 1, (7, 9)).astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    field = np.clip(_FIELD_ONE * np.exp(0.13 * patches), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(field, cv2.COLOR_GRAY2BGR), np.uint8)


def _grain(rng: np.random.Generator, config: ClipConfig, sigma: float) -> Image:
    """Noise around 128, a little larger than the frame, so that every frame takes another part of it."""
    shape = (config.height + 32, config.width + 32)
    grain = 0.8 * rng.normal(0, 1, (*shape, 1)) + 0.6 * rng.normal(0, 1, (*shape, 3))
    return np.asarray(np.clip(128 + sigma * grain, 0, 255).round(), np.uint8)
