#!/bin/bash
# Sources ROS and the workspace, then runs the command. Images keep ROS in one of two places.
for setup in /opt/ros/*/setup.bash /opt/ros/*/install/setup.bash /ws/install/setup.bash; do
    # shellcheck disable=SC1090
    if [ -f "$setup" ]; then source "$setup"; fi
done
export PATH="$PATH:/ws/install/sot_tracker/lib/sot_tracker"
if [ $# -gt 0 ]; then exec "$@"; fi
