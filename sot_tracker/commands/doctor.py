"""`sot-tracker doctor`: check this installation, with advice for each problem."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

from sot_tracker import cpus
from sot_tracker.catalog import MODELS
from sot_tracker.engines.network import ENGINES
from sot_tracker.model_folder import shipped_folder
from sot_tracker.ros import PROFILE_VARIABLES

_PIP_NAMES = {"numpy": "numpy", "cv2": "opencv-contrib-python"}
_MARKS = {"ok": " ok ", "note": "note", "problem": "FIX "}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. kind: "ok"; "note", a thing that is missing and may stay so; "problem", with what to do in `advice`."""

    kind: str
    subject: str
    found: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.epilog = "Exit status 1 if something needs fixing; notes do not count. Example: sot-tracker doctor --json"


def run(args: argparse.Namespace) -> int:
    findings = [finding for check in CHECKS for finding in check()]
    problems = sum(item.kind == "problem" for item in findings)
    if args.json:
        print(json.dumps([dataclasses.asdict(item) for item in findings], indent=1))
        return 1 if problems else 0
    for item in findings:
        advice = f"\n{'':7}-> {item.advice}" if item.advice else ""
        print(f"[{_MARKS[item.kind]}] {item.subject}: {item.found}{advice}")
    print(f"\n{problems} problem{'' if problems == 1 else 's'}" if problems else "\nnothing to fix")
    return 1 if problems else 0


def check_python() -> Iterator[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {_processors()}"
    yield Finding("ok", "Python", found)


def _processors() -> str:
    usable = cpus.usable()
    return f"{usable} of {os.cpu_count()} processors (CPU affinity)" if cpus.is_restricted() else f"{usable} processors"


def check_core() -> Iterator[Finding]:
    found = {name: _imported(name) for name in ("numpy", "cv2")}
    for name, module in found.items():
        if isinstance(module, str):
            yield Finding("problem", name, module, f"pip install {_PIP_NAMES[name]}")
        else:
            yield Finding("ok", name, module.__version__)
    if not isinstance(found["cv2"], str):
        yield from _check_contrib(found["cv2"])


def _check_contrib(cv2: ModuleType) -> Iterator[Finding]:
    from sot_tracker.opencv import PLAIN

    if missing := [name for name, cls in PLAIN.items() if not hasattr(cv2, cls)]:
        advice = "pip uninstall -y opencv-python && pip install --force-reinstall opencv-contrib-python"
        yield Finding("problem", "OpenCV contrib", f"no {', '.join(missing)}", advice)


def check_engines() -> Iterator[Finding]:
    found = {engine: _imported(package) for engine, package in ENGINES.items()}
    for engine, module in found.items():
        if isinstance(module, str):
            yield Finding("note", f"engine {engine}", module, f"pip install 'sot_tracker[{engine}]' if you want it")
        else:
            providers = f", {', '.join(module.get_available_providers())}" if engine == "onnx" else ""
            yield Finding("ok", f"engine {engine}", f"{getattr(module, '__version__', '')}{providers}")
    if all(isinstance(module, str) for module in found.values()):
        yield Finding("problem", "engines", "none is installed, so only csrt, kcf, mil run", "pip install onnxruntime")


def check_weights() -> Iterator[Finding]:
    here = [name for name, model in MODELS.items() if model.network and shipped_folder(name)]
    if here:
        yield Finding("ok", "weights", ", ".join(here))
    else:
        yield Finding("note", "weights", "no network's weights are here", "give --weights, or use csrt, kcf or mil")


def check_extras() -> Iterator[Finding]:
    for package, what, advice in (
        ("rosbags", "recordings", "pip install 'rosbags>=0.11,<0.12' to read and write MCAP and rosbag2 without ROS"),
        ("av", "H.264", "pip install av, or ffmpeg, for saved videos that browsers play"),
    ):
        module = _imported(package)
        if isinstance(module, str):
            yield Finding("note", what, f"{package}: {module}", advice)
        else:
            yield Finding("ok", what, f"{package} {_version(package)}")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def check_gpu() -> Iterator[Finding]:
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        yield Finding("note", "GPU", "no nvidia-smi, networks run on the CPU")
        return
    if answer.returncode:
        yield Finding("problem", "GPU", "nvidia-smi fails", "reinstall the NVIDIA driver, or use device=cpu")
        return
    yield Finding("ok", "GPU", "; ".join(answer.stdout.split("\n")).strip("; "))
    onnx = _imported("onnxruntime")
    if not isinstance(onnx, str) and "CUDAExecutionProvider" not in onnx.get_available_providers():
        advice = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
        yield Finding("note", "ONNX Runtime", "has no CUDA provider, so engine onnx leaves the GPU idle", advice)


def check_display() -> Iterator[Finding]:
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if display or not sys.platform.startswith("linux"):
        yield Finding("ok", "display", display or "native")
    else:
        yield Finding("note", "display", "none: --show and drawing a box need one", "give --box x,y,w,h and --save")


def check_ros() -> Iterator[Finding]:
    module = _imported("rclpy")
    if isinstance(module, str):
        yield Finding("note", "ROS 2", module, "only the node needs it: source /opt/ros/<distro>/setup.bash first")
        return
    distro = os.environ.get("ROS_DISTRO", "not set in ROS_DISTRO")
    yield Finding("ok", "ROS 2", f"rclpy from {Path(str(module.__file__)).parent}, distribution {distro}")
    for package, advice in (
        ("vision_msgs.msg", "sudo apt install ros-$ROS_DISTRO-vision-msgs, or build it, then source its setup file"),
        ("sensor_msgs.msg", "sudo apt install ros-$ROS_DISTRO-sensor-msgs"),
        ("diagnostic_msgs.msg", "sudo apt install ros-$ROS_DISTRO-diagnostic-msgs"),
    ):
        found = _imported(package)
        yield Finding("problem", package, found, advice) if isinstance(found, str) else Finding("ok", package, "found")
    found = _imported("sot_tracker.msg")
    if isinstance(found, str):
        advice = (
            "the node runs without its topic `state`: colcon build this package and source install/local_setup.bash"
        )
        yield Finding("note", "sot_tracker.msg", "not built", advice)
    else:
        yield Finding("ok", "sot_tracker.msg", "built")
    yield from _check_middleware()


def _check_middleware() -> Iterator[Finding]:
    middleware = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if "fastrtps" not in middleware:
        yield Finding("ok", "middleware", middleware)
        return
    names = " and ".join(PROFILE_VARIABLES)
    profile = next((value for name in PROFILE_VARIABLES if (value := os.environ.get(name))), None)
    if not profile:
        advice = f"for a raw camera in another process: set {names} to config/fastdds_large.xml there"
        found = "default profile, which loses best-effort messages above 512 KiB (VGA raw) between processes"
        yield Finding("note", "Fast DDS", found, advice)
    elif not Path(profile).is_file():
        yield Finding(
            "problem",
            "Fast DDS",
            f"profile '{profile}' does not exist",
            f"set or unset {names}",
        )
    else:
        yield Finding("ok", "Fast DDS", f"profile {profile}")


def _imported(name: str) -> ModuleType | str:
    """The module, or why it cannot be imported."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        return "not installed" if error.name in (name, name.partition(".")[0]) else f"needs {error.name}"
    except (ImportError, OSError) as error:  # a library that cannot be loaded
        return f"cannot be loaded ({str(error).splitlines()[0]})"


CHECKS: Iterable[Callable[[], Iterator[Finding]]] = (
    check_python,
    check_core,
    check_engines,
    check_weights,
    check_extras,
    check_gpu,
    check_display,
    check_ros,
)
