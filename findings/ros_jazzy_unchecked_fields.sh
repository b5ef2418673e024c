#!/usr/bin/env bash
# Package:  rclpy 7.1.6 and the message packages 5.3.6 of ROS 2 Jazzy (wheels ros-jazzy-rclpy, ros-sensor-msgs)
# Expected: a value of a neighbouring type is converted or refused: 3 in a float field is 3.0, NumPy's True
#           in a bool field is true. Before Jazzy the generated setters raised an AssertionError.
# Observed: the setters check nothing unless ROS_PYTHON_CHECK_FIELDS=1, and the converter reads the object as
#           if it were a float (or tests it for being Python's own True). An int, a NumPy float32 or a NumPy
#           bool is published as garbage, without a word: a box straight from a network's output arrives as
#           0.0 or a number near it, NumPy's True arrives as false.
# Output:   Float32 310                    -> 0.0
#           Float32 np.float32(310.0)      -> 0.0
#           Float32 np.float64(310.0)      -> 310.0
#           Bool    np.True_               -> False
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'ros-jazzy-rclpy[fastrtps]==7.1.6' 'ros-std-msgs==5.3.6' 'numpy==2.2.6'
unset PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_LOG_DIR="$tmp/log" ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
unset ROS_PYTHON_CHECK_FIELDS
"$tmp/venv/bin/python" - <<'PY'
import sys
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Bool, Float32


def sent(kind, value):
    out = deserialize_message(serialize_message(kind(data=value)), kind).data
    print(f"{kind.__name__:7} {value!r:22} -> {out}")
    return out


right = sent(Float32, 310.0) == 310.0 and sent(Float32, np.float64(310)) == 310.0 and sent(Bool, True) is True
wrong = sent(Float32, 310) != 310.0 and sent(Float32, np.float32(310)) != 310.0 and sent(Bool, np.True_) is False
sys.exit(0 if right and wrong else 1)
PY
