"""The flight range's ROS parameters; importable without ROS."""

from __future__ import annotations

from dataclasses import dataclass

from sot_tracker.config import Options, Scope, option


@dataclass(frozen=True)
class RangeConfig(Options):
    """What the range shows and for how long; also the flags of `sot-tracker range`."""

    seconds: float = option(0.0, "End after so many seconds; 0 goes on.", Scope.NODE, low=0.0, high=1e6)
    seed: int = option(0, "Target, wall and all ways follow from it.", Scope.NODE, low=0, high=2**31 - 1)
    fps: float = option(30.0, "Pictures per second.", Scope.NODE, low=1.0, high=240.0)
    width: int = option(640, "Of the pictures, pixels.", Scope.NODE, low=64, high=1920)
    height: int = option(480, "Of the pictures, pixels.", Scope.NODE, low=64, high=1080)
    fov: float = option(60.0, "Horizontal field of view, degrees.", Scope.NODE, low=20.0, high=100.0)
    speed: float = option(1.0, "Of the targets; 1 is at most about 0.35 rad/s.", Scope.NODE, low=0.1, high=5.0)
    lookalikes: int = option(1, "Changed copies of the target that move too.", Scope.NODE, low=0, high=10)
    occluders: int = option(2, "Pillars that hide the target; the first hides all of it.", Scope.NODE, low=0, high=10)
    pictures: str = option(
        "builtin", "Photographs of scikit-image, or textures.", Scope.NODE, choices=("builtin", "procedural")
    )
    lockstep: bool = option(
        False,
        "Time stands still until the tracker's state of the last picture and a command after it have come.",
        Scope.NODE,
    )
    step_timeout: float = option(
        5.0, "Seconds to wait for them in lock-step before going on.", Scope.NODE, low=0.01, high=3600.0
    )
    start: bool = option(True, "Send the target's box as init_box until the tracker has a target.", Scope.NODE)
    wait: float = option(
        10.0,
        "Longest wait in seconds for a tracker and for commands before the first picture.",
        Scope.NODE,
        low=0.0,
        high=3600.0,
    )
    frame_id: str = option("camera_optical", "Of every picture.", Scope.NODE)
