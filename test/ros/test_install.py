"""What `colcon build` installed, as `ros2 run` and `ros2 launch` find it; package.xml names what is used."""

from __future__ import annotations

import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
packages = pytest.importorskip("ament_index_python.packages", reason="ROS 2 is not here: `make test` brings it")


@pytest.fixture
def prefix() -> Path:
    try:
        return Path(packages.get_package_prefix("sot_tracker"))
    except packages.PackageNotFoundError:
        pytest.skip("sot_tracker is not built and sourced: `make test` does both")


def executed(prefix: Path, folder: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run an installed executable from a folder that is not the checkout's."""
    command = [str(prefix / "lib" / "sot_tracker" / name), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=folder, env={**os.environ})


@pytest.mark.ros
@pytest.mark.usefixtures("ros_domain")
@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("tracker_node", ["--ros-args", "-p", "model:=bogus"], "error: unknown model 'bogus'"),
        ("player", ["--ros-args", "-p", "source:=/nowhere"], "error: '/nowhere' does not exist"),
        ("sot-tracker", ["models", "--bogus"], "sot-tracker: error:"),
    ],
)
def test_executables_run_from_anywhere(prefix: Path, tmp_path: Path, name: str, words: list[str], message: str) -> None:
    done = executed(prefix, tmp_path, name, *words)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    assert message in done.stderr


def test_launch_and_config_files_are_in_the_share_folder(prefix: Path) -> None:
    share = prefix / "share" / "sot_tracker"
    for folder in ("launch", "config"):
        wanted = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        assert wanted <= {path.name for path in (share / folder).iterdir()}
    assert (share / "package.xml").is_file()
    assert (share / "msg" / "TrackerState.msg").is_file()
    assert (share / "srv" / "Init.srv").is_file()


def test_package_xml_names_every_ros_package_that_is_imported() -> None:
    root = ElementTree.parse(ROOT / "package.xml").getroot()
    keys = {item.text for item in root if item.tag.endswith("depend")}
    sources = "\n".join(path.read_text() for path in (ROOT / "sot_tracker" / "ros").glob("*.py"))
    imported = set(
        re.findall(r"^\s*from (\w+_msgs|\w+_srvs|rcl\w+|cv_bridge|ament_index_python)\b", sources, re.MULTILINE)
    )
    assert {"rclpy", "vision_msgs", "sensor_msgs"} <= imported
    assert imported <= keys
    assert {"python3-opencv", "python3-numpy", "rosidl_default_runtime"} <= keys
    declared = re.findall(r"find_package\((\w+)", (ROOT / "CMakeLists.txt").read_text())
    assert {name for name in declared if name != "ament_cmake_pytest"} <= keys
