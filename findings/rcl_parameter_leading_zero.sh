#!/usr/bin/env bash
# Package:  rclpy 7.1.6 with rcl 9.2.8 (ROS 2 Jazzy, wheel ros-jazzy-rclpy)
# Expected: `-p name:=VALUE` takes VALUE by one rule per kind of value.
# Observed: a leading zero decides three ways. 010 is octal, the integer 8; 08 is no octal number and becomes
#           the double 8.0; 010.5 is the decimal 10.5. A serial number or the name of a run such as 010 can
#           so arrive as another number, and two names of one series with two types. 1e400 is a string, but
#           9223372036854775808 (one too many for an integer) a double; `!!float 3` is still an integer.
# Output:   010                    INTEGER 8
#           08                     DOUBLE 8.0
#           010.5                  DOUBLE 10.5
#           1e400                  STRING '1e400'
#           9223372036854775808    DOUBLE 9.223372036854776e+18
#           !!float 3              INTEGER 3
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'ros-jazzy-rclpy[fastrtps]==7.1.6'
unset PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_LOG_DIR="$tmp/log" ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
"$tmp/venv/bin/python" - <<'PY'
import sys
import rclpy
from rclpy.node import Node

expected = {
    "010": 8,
    "08": 8.0,
    "010.5": 10.5,
    "1e400": "1e400",
    "9223372036854775808": 2.0**63,
    "!!float 3": 3,
    "'010'": "010",
}
good = True
for text, value in expected.items():
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "-p", f"x:={text}"], context=context)
    node = Node("n", context=context, automatically_declare_parameters_from_overrides=True)
    seen = node.get_parameter("x")
    print(f"{text:22} {seen.type_.name} {seen.value!r}")
    good = good and seen.value == value and type(seen.value) is type(value)
    node.destroy_node()
    context.shutdown()
sys.exit(0 if good else 1)
PY
