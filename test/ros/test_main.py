"""What a node's imports lack is one line and exit status 2."""

import subprocess
import sys
from pathlib import Path

import pytest

from sot_tracker.ros import PROFILE_VARIABLES
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


LIMITED = """
import os, sys, types
from sot_tracker.ros.main import launch
node = types.ModuleType("sot_tracker.ros.node")
node.main = lambda: print(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"], before) or 0
sys.modules["sot_tracker.ros.node"] = node
before = "cv2" in sys.modules
sys.exit(launch("tracker_node"))
"""


def test_opencv_gets_its_limit_of_pixels_before_it_is_imported():
    pytest.importorskip("ament_index_python")
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(1 << 27), "False"]


CHOSEN = """
import os, sys, types
node = types.ModuleType("sot_tracker.ros_tools.player")
node.main = lambda: print(os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"]) or 0
sys.modules["sot_tracker.ros_tools.player"] = node
from sot_tracker.ros.main import launch
sys.exit(launch("player"))
"""


@pytest.mark.parametrize("given", [None, "mine.xml"])
def test_images_get_the_large_segment_unless_the_user_chose(given, monkeypatch):
    pytest.importorskip("ament_index_python")
    for name in PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", given)
    reported = subprocess.run(
        [sys.executable, "-c", CHOSEN], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert reported.strip() == given if given else Path(reported.strip()).name == "fastdds_large.xml"
