"""The flight range's ROS parameters; importable without ROS."""

from __future__ import annotations

from dataclasses import dataclass

from sot_tracker.options import Options, Scope, option


@dataclass(frozen=True)
class RangeConfig(Options):
    """What the range shows and for how long; also the flags of `sot-tracker range`."""

    seconds: float = option(0.0, "Stop after this many seconds; 0: never.", Scope.NODE, low=0.0, high=1e6)
    seed: int = option(0, "Random seed of the target, the wall and all paths.", Scope.NODE, low=0, high=2**31 - 1)
    fps: float = option(30.0, "Pictures per second.", Scope.NODE, low=1.0, high=240.0)
    width: int = option(640, "Width of the pictures in pixels.", Scope.NODE, low=64, high=1920)
    height: int = option(480, "Height of the pictures in pixels.", Scope.NODE, low=64, high=1080)
    fov: float = option(60.0, "Horizontal field of view, degrees.", Scope.NODE, low=20.0, high=100.0)
    speed: float = option(1.0, "Speed of the targets; 1 is at most about 0.35 rad/s.", Scope.NODE, low=0.1, high=5.0)
    lookalikes: int = option(
        1, "Number of slightly changed copies of the target that move too.", Scope.NODE, low=0, high=10
    )
    occluders: int = option(2, "Number of pillars; the first can hide the whole target.", Scope.NODE, low=0, high=10)
    pictures: str = option(
        "builtin",
        "Source of target and wall: photographs of scikit-image (builtin), or generated textures (procedural).",
        Scope.NODE,
        choices=("builtin", "procedural"),
    )
    lockstep: bool = option(
        False,
        "Wait after each picture until the tracker's state for it, and then a command, have come.",
        Scope.NODE,
    )
    step_timeout: float = option(
        5.0, "With lockstep: longest wait in seconds after one picture.", Scope.NODE, low=0.01, high=3600.0
    )
    start: bool = option(True, "Send the target's box as init_box until the tracker has a target.", Scope.NODE)
    wait: float = option(
        10.0,
        "Longest wait in seconds, before the first picture, for a tracker and for commands.",
        Scope.NODE,
        low=0.0,
        high=3600.0,
    )
    frame_id: str = option("camera_optical", "frame_id of every picture.", Scope.NODE)
