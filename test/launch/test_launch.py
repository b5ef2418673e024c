"""`ros2 launch` itself: only where ROS 2 is installed and this package is built and sourced."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.launch
pytest.importorskip("launch_ros", reason="`ros2 launch` needs an installed ROS 2: no wheel brings it")
pytest.importorskip("sot_tracker.msg", reason="sot_tracker is not built and sourced")

PATIENCE = 60


def test_every_argument_is_shown() -> None:
    shown = subprocess.run(
        ["ros2", "launch", "sot_tracker", "track.launch.py", "--show-args"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert shown.returncode == 0, shown.stderr
    for name in ["model", "device", "image", "image_transport", "params_file", "namespace", "use_sim_time", "rviz"]:
        assert f"'{name}'" in shown.stdout


@pytest.mark.parametrize(
    ("file", "nodes"),
    [
        ("track.launch.py", ["/a/tracker_node"]),
        ("two_cameras.launch.py", ["/left/tracker_node", "/right/tracker_node"]),
    ],
)
def test_nodes_start_and_end_with_ctrl_c(tmp_path: Path, file: str, nodes: list[str]) -> None:
    assert shutil.which("ros2")
    extra = ["namespace:=a"] if file.startswith("track") else []
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(
            ["ros2", "launch", "sot_tracker", file, "model:=kcf", *extra], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        for node in nodes:
            state = subprocess.run(
                ["ros2", "service", "call", f"{node}/get_state", "lifecycle_msgs/srv/GetState"],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert "active" in state.stdout
    finally:
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE) == 0
    reported = (tmp_path / "log").read_text()
    assert "Traceback" not in reported
    assert reported.count("process has finished cleanly") == len(nodes)
