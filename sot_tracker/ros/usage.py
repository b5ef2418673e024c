"""The text of `tracker_node --help` and of the other nodes; works without ROS."""

from __future__ import annotations

import textwrap

from sot_tracker.config import Config
from sot_tracker.follow.config import FollowConfig
from sot_tracker.mavlink.config import MavlinkNodeConfig
from sot_tracker.options import Options, defaults_of, options_of
from sot_tracker.ros_tools.player_config import PlayerConfig
from sot_tracker.ros_tools.range_config import RangeConfig
from sot_tracker.view.config import ViewNodeConfig

_NODES: dict[str, tuple[type[Options], str, str]] = {
    "tracker_node": (
        Config,
        "Follows one target: images and one box in, one Detection2D per frame out.",
        "-r image:=/camera/image_raw -p model:=lite",
    ),
    "player": (
        PlayerConfig,
        "Publishes a video, a folder of pictures or a camera as an image topic.",
        "-p source:=clip.mp4 -p 'init_box:=[310.0, 120.0, 48.0, 96.0]'",
    ),
    "view": (
        ViewNodeConfig,
        "Shows a tracker node on a web page, and starts and stops it from there.",
        "-r image:=/camera/image_raw -p host:=0.0.0.0",
    ),
    "mavlink": (
        MavlinkNodeConfig,
        "Shows a tracker node as a MAVLink camera, and starts and stops it at the ground station's command.",
        "-r image:=/camera/image_raw -p connection:=udpout:192.168.1.20:14550",
    ),
    "follow": (
        FollowConfig,
        "Turns a camera so that the target stays in the middle: detections in, rate commands (cmd_vel) out.",
        "-r cmd_vel:=/gimbal/cmd_vel -p max_yaw_rate:=0.5",
    ),
    "range": (
        RangeConfig,
        "A synthetic flight range: a camera on a mount that obeys cmd_vel, before moving targets.",
        "-p seed:=3 -p seconds:=60.0",
    ),
}


def usage(node: str) -> str:
    """Purpose, an example and every parameter with its default."""
    group, purpose, example = _NODES[node]
    lines = [purpose, "", f"  ros2 run sot_tracker {node} --ros-args {example}", "", "Parameters (-p NAME:=VALUE):"]
    for name, facts in options_of(group).items():
        default = defaults_of(group)[name]
        shown = list(default) if isinstance(default, tuple) else default
        choices = f" One of: {', '.join(facts.choices)}." if facts.choices else ""
        text = f"{facts.help}{choices} (default: {shown!r})"
        lines += textwrap.wrap(text, 112, initial_indent=f"  {name:<22}", subsequent_indent=" " * 24)
    return "\n".join([*lines, "", "Topics, services and all else: docs/ros.md"])
