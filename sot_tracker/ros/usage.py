"""What `tracker_node --help` and `player --help` print; works without ROS."""

from __future__ import annotations

import textwrap

from sot_tracker.config import Config, Options, defaults_of, options_of
from sot_tracker.ros_tools.player_config import PlayerConfig

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
