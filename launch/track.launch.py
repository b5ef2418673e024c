"""Track one target: ros2 launch sot_tracker track.launch.py model:=lite image:=/camera/image_raw

A parameter has its default (config/default.yaml) unless params_file gives another value; a launch argument overrides
both. An empty argument changes nothing, but `rviz` and `view` must be true or false.
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from sot_tracker import config
from sot_tracker.ros import PROFILE_VARIABLES, launching, params_file
from sot_tracker.view.config import ViewNodeConfig

CONFIG = Path(get_package_share_directory("sot_tracker")) / "config"
ARGUMENTS = {
    **launching.described(config.Config),
    **{old: f"Old name of {name}" for old, name in config.RENAMED.items()},
    "image": "Image topic of the camera",
    "camera_info": "Topic of the camera's calibration; empty: camera_info in the namespace of the image topic",
    "params_file": "YAML file with the parameters that differ from config/default.yaml",
    "namespace": "Namespace of the node and its topics",
    "use_sim_time": "true to take the time from /clock (simulation, bag replay). Default: false.",
    "rviz": "true to show the debug image in rviz2",
    "view": "true to start the web page at http://127.0.0.1:8080, or at the port in view_port",
    "view_port": "TCP port of the web page. Default: 8080.",
    "mavlink": "Connection to a ground station, for example udpout:192.168.1.5:14550; starts the MAVLink camera",
}
PRESET = {"image": "image", "rviz": "false", "view": "false"}


def start(context):
    given = {name: context.launch_configurations[name] for name in ARGUMENTS}
    options = config.present_names({name: text for name, text in given.items() if text})
    clock = launching.clock(given)
    values = {**launching.values(options), **clock}
    topics = [(name, given[name]) for name in ("image", "camera_info") if given[name]]
    nodes = tell_and_start(context, "tracker_node", values, topics)
    for name, options in beside(given, values).items():
        nodes += tell_and_start(context, name, options, [("image", given["image"])])
    if launching.switch("rviz", given["rviz"]):
        nodes.append(
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=given["namespace"],
                arguments=["-d", str(CONFIG / "track.rviz")],
                parameters=[clock] if clock else [],
            )
        )
    return nodes


def tell_and_start(context, name, values, topics):
    """The node, with params_file if it is meant for it, after a warning if that file has nothing for this node."""
    files, complaint = params_file.of_launch(context.launch_configurations, name, values)
    node = Node(
        package="sot_tracker",
        executable=name,
        name=name,
        namespace=context.launch_configurations["namespace"],
        parameters=[*files, *([values] if values else [])],
        remappings=topics,
        output="screen",
    )
    return [LogInfo(msg=f"WARNING: {complaint}"), node] if complaint else [node]


def beside(given, values):
    """Names and parameters of the page and the MAVLink camera, where they are asked for."""
    shared = {name: values[name] for name in ("image_transport", "use_sim_time") if name in values}
    asked = {}
    if launching.switch("view", given["view"]):
        port = given["view_port"]
        asked["view"] = {**shared, **({"port": launching.value("port", port, ViewNodeConfig)} if port else {})}
    if given["mavlink"]:
        asked["mavlink"] = {**shared, "connection": given["mavlink"]}
    return asked


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=PRESET.get(name, ""), description=text)
        for name, text in ARGUMENTS.items()
    ]
    # The debug image does not fit Fast DDS's default shared-memory segment; a profile of the user's own is kept.
    chosen = next((value for name in PROFILE_VARIABLES if (value := os.environ.get(name))), None)
    profile = chosen or str(CONFIG / "fastdds_large.xml")
    environment = [SetEnvironmentVariable(name, profile) for name in PROFILE_VARIABLES]
    return LaunchDescription([*arguments, *environment, OpaqueFunction(function=start)])
