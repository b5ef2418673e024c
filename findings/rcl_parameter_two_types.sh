#!/usr/bin/env bash
# Package:  rclpy 7.1.6 with rcl 9.2.8 (ROS 2 Jazzy, wheel ros-jazzy-rclpy)
# Expected: of a parameter that is given more than once for a node (two files, a file and `-p`), the last value counts.
# Observed: it does only where both values have the same type. Otherwise both are kept and the type decides: a truth
#           value counts before an integer, an integer before a double, a double before a string, in either order. So
#           `rate: 1` in a file hides a later `rate:=0.5`, and a later `mode:=auto` does not undo `mode: off`, which
#           YAML reads as a truth value. No warning is printed.
# Output:   file 1,     then -p 0.5:   1
#           file 0.5,   then -p 1:     1
#           file off,   then -p auto:  False
#           file 2.0,   then -p text:  2.0
#           file [1],   then -p 0.5:   0.5
#           file 1,     then -p 2:     2
# Date:     2026-11-28

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'ros-jazzy-rclpy[fastrtps]==7.1.6'
unset PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_LOG_DIR="$tmp/log" ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
cd "$tmp"
"$tmp/venv/bin/python" - <<'PY'
import sys
from pathlib import Path

import rclpy
from rclpy.node import Node

cases = [("1", "0.5"), ("0.5", "1"), ("off", "auto"), ("2.0", "text"), ("[1]", "0.5"), ("1", "2")]
seen = []
for first, last in cases:
    Path("first.yaml").write_text(f"n: {{ros__parameters: {{x: {first}}}}}")
    context = rclpy.Context()
    rclpy.init(args=["--ros-args", "--params-file", "first.yaml", "-p", f"n:x:={last}"], context=context)
    node = Node("n", context=context, automatically_declare_parameters_from_overrides=True)
    seen.append(node.get_parameter("x").value)
    print(f"file {first + ',':6} then -p {last + ':':6} {seen[-1]!r}")
    node.destroy_node()
    context.shutdown()
sys.exit(0 if repr(seen) == "[1, 1, False, 2.0, 0.5, 2]" else 1)
PY
