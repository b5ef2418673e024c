"""Start one of this package's nodes as a process. A missing Python package is reported in one line."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from sot_tracker import opencv_environment
from sot_tracker.errors import UserError
from sot_tracker.ros.usage import usage

NODES = {
    "tracker_node": "sot_tracker.ros.node",
    "player": "sot_tracker.ros_tools.player",
    "view": "sot_tracker.ros.view",
    "mavlink": "sot_tracker.ros.mavlink",
    "follow": "sot_tracker.ros_tools.follow",
    "range": "sot_tracker.ros_tools.flight_range",
}
PIP = {"aiohttp": "view", "pymavlink": "mavlink"}
"""Python packages that do not belong to ROS -> the extra of pyproject.toml that installs them."""


def launch(name: str) -> int:
    """Run the node of that name until it ends. Returns its exit status, or 2 if a package is missing."""
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words[: words.index("--ros-args")] if "--ros-args" in words else words):
        print(usage(name))
        return 0
    opencv_environment.prepare()
    try:
        module = import_module(NODES[name])
        from sot_tracker.ros.paths import large_segment  # needs ROS too
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        advice = f"source ROS 2 and `apt install ros-$ROS_DISTRO-{package.replace('_', '-')}`, or run `make demo`"
        if package in PIP:
            advice = f"`pip install {package}` (without ROS: `pip install 'sot_tracker[{PIP[package]}]'`)"
        print(f"error: {name} needs '{package}': {advice}", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    os.environ.update(large_segment())  # before the middleware starts and reads it
    return int(module.main())
