"""Track a target and turn the camera towards it: ros2 launch sot_tracker follow.launch.py image:=/camera/image_raw

With range:=true the camera is simulated (docs/follow.md). All arguments of track.launch.py work too.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from sot_tracker.follow.config import FollowConfig
from sot_tracker.ros import launching, params_file

TRACK = Path(get_package_share_directory("sot_tracker")) / "launch" / "track.launch.py"
ARGUMENTS = {
    **launching.described(FollowConfig),
    "cmd_vel": "Topic of the commands, geometry_msgs/TwistStamped",
    "range": "true to use a simulated camera, which obeys the commands",
}
PRESET = {"cmd_vel": "cmd_vel", "range": "false"}


def start(context):
    given = context.launch_configurations
    topics = [(name, given[name]) for name in ("image", "cmd_vel", "camera_info") if given[name]]
    shared = {"package": "sot_tracker", "namespace": given["namespace"], "remappings": topics, "output": "screen"}
    follow = {**launching.values(given, FollowConfig), **launching.clock(given)}
    files, complaint = params_file.of_launch(given, "follow", follow)
    nodes = [LogInfo(msg=f"WARNING: {complaint}")] if complaint else []
    nodes.append(Node(executable="follow", name="follow", parameters=[*files, *([follow] if follow else [])], **shared))
    if launching.switch("range", given["range"]):
        nodes.append(Node(executable="range", name="range", **shared))
    return nodes


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=PRESET.get(name, ""), description=text)
        for name, text in ARGUMENTS.items()
    ]
    track = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(TRACK)))
    return LaunchDescription([*arguments, track, OpaqueFunction(function=start)])
