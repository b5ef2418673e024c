"""The configuration of a generated clip, `ClipConfig`, and presets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sot_tracker.errors import UserError

EVENTS: dict[str, str] = {
    "scale": "the target grows and shrinks",
    "rotation": "the target turns in the picture",
    "deform": "the target is stretched and sheared, as if turning in depth",
    "camera": "the camera pans, rolls, zooms and shakes",
    "clutter": "other objects move behind the target",
    "lookalikes": "slightly different copies of the target pass close by, behind or in front of it",
    "occlusion": "pillars and objects cover a part of the target for a while",
    "hide": "a wide pillar covers the whole target for a while",
    "absence": "the target leaves the picture and comes back",
    "blur": "motion blur of a shutter that is open for half of the frame time",
    "light": "brightness, contrast and colour of the light drift, cloud shadows pass",
    "noise": "sensor noise",
    "jpeg": "artefacts of strong JPEG compression",
}
MAX_SIDE = 7680
"""Largest width and height of a clip, pixels."""
DEFAULT_EVENTS = tuple(name for name in EVENTS if name not in ("hide", "absence", "jpeg"))


@dataclass(frozen=True)
class ClipConfig:
    """A generated clip. The same configuration, pictures and OpenCV version give the same frames.

    frames, width, height (pixels), fps: of the clip; fps only matters for a written video.
    seed: any non-negative integer. Each event has its own random numbers, so that adding one does not change the
    others.
    events: names of `EVENTS`.
    target, scene: index of the object and of the scene among the pictures of their kind; None draws one by the seed.
    target_size: smallest and largest sqrt(w * h) of the target's box, as a fraction of the frame's height.
    speed: 1 moves the target by up to about one hundredth of the frame's width per frame.
    lookalikes, clutter, occluders: numbers of objects, if the event of that name is on (occluders: "occlusion").
    min_visible: below this visible fraction the target counts as absent.

    Raises UserError for an invalid value.
    """

    frames: int = 300
    width: int = 640
    height: int = 480
    fps: float = 30.0
    seed: int = 0
    events: tuple[str, ...] = DEFAULT_EVENTS
    target: int | None = None
    scene: int | None = None
    target_size: tuple[float, float] = (0.13, 0.36)
    speed: float = 1.0
    lookalikes: int = 1
    clutter: int = 2
    occluders: int = 2
    min_visible: float = 0.1

    def __post_init__(self) -> None:
        unknown = [name for name in self.events if name not in EVENTS]
        if unknown:
            raise UserError(f"unknown event '{unknown[0]}': known are {', '.join(EVENTS)}")
        for name, low in (("frames", 1), ("width", 32), ("height", 32), ("seed", 0)):
            if getattr(self, name) < low:
                raise UserError(f"{name} {getattr(self, name)} of a generated clip: give at least {low}")
        if (larger := max(self.width, self.height)) > MAX_SIDE:
            raise UserError(f"width or height {larger} of a generated clip: give at most {MAX_SIDE}")
        for name in ("lookalikes", "clutter", "occluders"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} {getattr(self, name)} of a generated clip: give 0 or more")
        if not 0 < self.target_size[0] <= self.target_size[1] <= 1:
            raise UserError(f"target_size {self.target_size} of a generated clip: give 0 < smallest <= largest <= 1")
        if not (self.fps > 0 and self.speed > 0 and 0 < self.min_visible < 1):
            raise UserError("a generated clip needs fps > 0, speed > 0 and min_visible between 0 and 1")


_SCENES = (5, 1, 7, 4, 0, 6, 2, 3, 1, 6, 4, 0, 5, 7, 0, 1, 2, 4, 1, 2)
"""Scenes of the fixed clips, chosen so that no object moves in front of the photograph that it was cut from."""


def demo_clip() -> ClipConfig:
    """The clip of the README: with `builtin_pictures`, a motorcycle in front of a launch site."""
    return ClipConfig(seed=1, target=1, scene=1, clutter=0, target_size=(0.24, 0.4))


def benchmark_clips(count: int = 20) -> list[ClipConfig]:
    """The fixed clips behind the project's "generated clips" figures: 300 frames, occlusion and look-alikes in all.

    The eight objects and the eight scenes of `builtin_pictures` take turns.
    """
    return [
        ClipConfig(
            seed=1000 + k, target=k % 8, scene=_SCENES[k % len(_SCENES)], lookalikes=1 + k % 2, occluders=2 + k % 2
        )
        for k in range(count)
    ]


def absence_clips(count: int = 10) -> list[ClipConfig]:
    """Clips in which the target leaves the picture, or is hidden, and returns: for calibrating scores."""
    events = (*DEFAULT_EVENTS, "hide", "absence")
    return [
        ClipConfig(seed=2000 + k, target=k % 8, scene=_SCENES[k % len(_SCENES)], events=events) for k in range(count)
    ]


def demo_clips() -> list[ClipConfig]:
    """`demo_clip` alone."""
    return [demo_clip()]


PRESETS: dict[str, Callable[[], list[ClipConfig]]] = {
    "demo": demo_clips,
    "benchmark": benchmark_clips,
    "absence": absence_clips,
}
