"""The options of the controller and of its node; importable without ROS."""

from __future__ import annotations

from dataclasses import dataclass

from sot_tracker.options import Options, Scope, option


@dataclass(frozen=True)
class FollowConfig(Options):
    """How a target's direction becomes a rate command. Angles in radians but for `fov`."""

    target: str = option(
        "", "Id of the target to follow. Empty: the first target, and when it is gone, the next one.", Scope.NODE
    )
    gain: float = option(
        2.5, "Proportional gain: rate per angle from the middle, 1/s; higher is faster.", Scope.NODE, low=0.0, high=20.0
    )
    integral: float = option(
        2.0,
        "Integral gain: growth of the rate per angle from the middle, 1/s^2; it removes the lag behind a "
        "target that moves steadily. 0: proportional controller.",
        Scope.NODE,
        low=0.0,
        high=20.0,
    )
    dead_band: float = option(
        0.01, "Angle from the middle below which nothing is corrected, rad.", Scope.NODE, low=0.0, high=0.5
    )
    max_yaw_rate: float = option(1.0, "Largest yaw rate, rad/s; 0: no yaw.", Scope.NODE, low=0.0, high=10.0)
    max_pitch_rate: float = option(0.6, "Largest pitch rate, rad/s; 0: no pitch.", Scope.NODE, low=0.0, high=10.0)
    max_acceleration: float = option(
        6.0, "Largest change of a rate, rad/s^2; stopping is not limited by it.", Scope.NODE, low=0.01, high=1000.0
    )
    coast: float = option(
        0.3,
        "Time constant in seconds with which the command decays while the target is UNCERTAIN; 0 stops at once.",
        Scope.NODE,
        low=0.0,
        high=5.0,
    )
    max_age: float = option(
        0.2,
        "Largest age in seconds of a box that may move the camera, counted from its frame's stamp. With an older box, "
        "or no message for this time, the command is 0. Must be longer than the time between two frames.",
        Scope.NODE,
        low=0.02,
        high=5.0,
    )
    search: bool = option(
        False, "Turn slowly left and right once the target has been LOST for search_after seconds.", Scope.NODE
    )
    search_after: float = option(2.0, "Seconds of LOST before the search begins.", Scope.NODE, low=0.0, high=600.0)
    search_rate: float = option(0.2, "Yaw rate of the search, rad/s.", Scope.NODE, low=0.0, high=2.0)
    search_angle: float = option(
        0.5,
        "Largest yaw of the search to either side of where the target was lost, rad.",
        Scope.NODE,
        low=0.01,
        high=3.2,
    )
    fov: float = option(
        60.0,
        "Horizontal field of view in degrees, used if nobody publishes camera_info.",
        Scope.NODE,
        low=1.0,
        high=170.0,
    )
    rate: float = option(30.0, "Smallest number of commands per second.", Scope.NODE, low=1.0, high=1000.0)
    frame_id: str = option(
        "camera_link",
        "frame_id of the commands: a frame at the camera with x forward, y left and z up.",
        Scope.NODE,
    )
