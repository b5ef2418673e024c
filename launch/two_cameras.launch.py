"""Two cameras, two targets: ros2 launch sot_tracker two_cameras.launch.py model:=lite

Each node runs in its camera's namespace and tracks its own target: /left/image and /left/init_box give /left/detection.
With view:=true each has a web page, at http://127.0.0.1:8080 and http://127.0.0.1:8081.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

TRACK = Path(get_package_share_directory("sot_tracker")) / "launch" / "track.launch.py"
PAGE_PORTS = {"left": "8080", "right": "8081"}


def camera(namespace):
    passed = {name: LaunchConfiguration(name) for name in ("model", "image", "view")}
    arguments = {"namespace": namespace, "view_port": PAGE_PORTS[namespace], **passed}
    include = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(TRACK)), launch_arguments=arguments.items())
    return GroupAction([include], scoped=True)


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument("model", default_value="", description="Tracker to run in both namespaces"),
        DeclareLaunchArgument("image", default_value="image", description="Image topic inside each namespace"),
        DeclareLaunchArgument("view", default_value="false", description="true for one web page per camera"),
    ]
    return LaunchDescription([*arguments, *map(camera, PAGE_PORTS)])
