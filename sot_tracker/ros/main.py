"""Start one of our nodes as a process; what its imports lack is told in one line."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from sot_tracker.errors import UserError

NODES = {"tracker_node": "sot_tracker.ros.node", "player": "sot_tracker.ros_tools.player"}


def launch(name: str) -> int:
    """Run the node of that name until it ends; its exit status, 2 where a package is missing."""
    try:
        module = import_module(NODES[name])
        from sot_tracker.ros.paths import large_segment  # needs ROS too
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        apt = f"apt install ros-$ROS_DISTRO-{package.replace('_', '-')}"
        print(f"error: {name} needs '{package}': source ROS 2 and `{apt}`, or run `make demo`", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    os.environ.update(large_segment())  # before the middleware starts and reads it
    return int(module.main())
