"""What a node's imports lack is one line and exit status 2."""

import subprocess
import sys

import pytest

from sot_tracker.ros.main import NODES

PROGRAM = """
import sys
sys.modules[{package!r}] = None
from sot_tracker.ros.main import launch
sys.exit(launch({node!r}))
"""


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("package", ["rclpy", "vision_msgs"])
def test_a_missing_package_is_one_line(node, package):
    if package == "vision_msgs":
        pytest.importorskip("rclpy")
    program = PROGRAM.format(package=package, node=node)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"'{package}'" in done.stderr
