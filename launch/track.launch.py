"""Track one target: ros2 launch sot_tracker track.launch.py model:=fermt image:=/camera/image_raw

Parameters are taken, later ones winning, from config/default.yaml, config/<model>.yaml, params_file and the arguments.
An argument that is left empty changes nothing.
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from sot_tracker.ros import PROFILE_VARIABLES

CONFIG = Path(get_package_share_directory("sot_tracker")) / "config"
PARAMETERS = ("model", "engine", "device", "precision", "weights", "image_transport", "init_box")
ARGUMENTS = {
    "model": "Tracker to run, for example csrt or fermt; empty takes the default",
    "engine": "What runs the network: auto, onnx, openvino or torch",
    "device": "Where the network runs: auto, cpu, cuda or tensorrt",
    "precision": "Arithmetic of the network: auto, fp32, bf16 or fp16",
    "weights": "Model folder or .safetensors file; empty takes the model that ships",
    "image": "Image topic to follow the target in",
    "image_transport": "raw, or compressed to subscribe to <image>/compressed",
    "init_box": "Target in the first frame as [x, y, w, h] in pixels; empty waits for the init_box topic",
    "params_file": "YAML file with parameters of your own",
    "namespace": "Of the node and its topics",
    "use_sim_time": "true to take the time from /clock",
    "rviz": "true to look at the debug image in rviz2",
}
DEFAULTS = {"image": "image", "use_sim_time": "false", "rviz": "false"}


def start(context):
    given = {name: context.launch_configurations[name] for name in ARGUMENTS}
    files = [CONFIG / "default.yaml", CONFIG / f"{given['model']}.yaml", Path(given["params_file"] or "none")]
    if given["params_file"] and not files[-1].is_file():
        raise RuntimeError(f"params_file '{given['params_file']}' does not exist")
    values = {name: given[name] for name in PARAMETERS if given[name]}
    if "init_box" in values:
        values["init_box"] = [float(number) for number in values["init_box"].strip("[]").split(",")]
    values["use_sim_time"] = given["use_sim_time"].lower() == "true"
    nodes = [
        Node(
            package="sot_tracker",
            executable="tracker_node",
            name="tracker_node",
            namespace=given["namespace"],
            parameters=[*[str(path) for path in files if path.is_file()], values],
            remappings=[("image", given["image"])],
            output="screen",
        )
    ]
    if given["rviz"].lower() == "true":
        nodes.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=given["namespace"],
                arguments=["-d", str(CONFIG / "track.rviz")],
                parameters=[{"use_sim_time": values["use_sim_time"]}],
            )
        )
    return nodes


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=DEFAULTS.get(name, ""), description=text)
        for name, text in ARGUMENTS.items()
    ]
    # The debug image does not fit Fast DDS's default shared-memory segment; a profile of the user's own is kept.
    chosen = next((value for name in PROFILE_VARIABLES if (value := os.environ.get(name))), None)
    profile = chosen or str(CONFIG / "fastdds_large.xml")
    environment = [SetEnvironmentVariable(name, profile) for name in PROFILE_VARIABLES]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=start)])
