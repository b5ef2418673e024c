#!/usr/bin/env bash
# Package:  rclpy 7.1.6 with Fast DDS 2.14.5 (ROS 2 Jazzy, wheel ros-jazzy-rclpy), default settings, one machine
# Expected: a best-effort subscriber that keeps up gets nearly every message, whatever its size.
# Observed: the shared-memory segment of a publisher holds 512 KiB. A message below that arrives always, one
#           just above only sometimes and a larger one practically never: a raw VGA picture (921 600 bytes) is
#           gone, without a word on either side. Reliable publishers hide it by sending again, and two nodes
#           in one process never meet it. A larger segment in the publisher's XML profile helps.
# Output:   500000 bytes: 30 of 30 messages arrived
#           921600 bytes: 2 of 30 messages arrived
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'ros-jazzy-rclpy[fastrtps]==7.1.6' 'ros-sensor-msgs==5.3.6'
unset PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE FASTRTPS_DEFAULT_PROFILES_FILE
export ROS_LOG_DIR="$tmp/log" ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=84
cat >"$tmp/node.py" <<'PY'
import array
import subprocess
import sys
import time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage

rclpy.init()
node = rclpy.create_node("camera" if len(sys.argv) > 1 else "viewer")
qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
if len(sys.argv) > 1:  # the publisher, started below in a process of its own
    publisher = node.create_publisher(CompressedImage, "/picture", qos)
    message = CompressedImage(data=array.array("B", bytes(int(sys.argv[1]))))
    while not publisher.get_subscription_count():
        time.sleep(0.1)
    time.sleep(1)
    for _ in range(30):
        publisher.publish(message)
        time.sleep(0.1)
    sys.exit()
arrived = []
node.create_subscription(CompressedImage, "/picture", lambda message: arrived.append(message), qos)
counts = []
for size in (500_000, 921_600):
    arrived.clear()
    publisher = subprocess.Popen([sys.executable, __file__, str(size)])
    while publisher.poll() is None:
        rclpy.spin_once(node, timeout_sec=0.2)
    counts.append(len(arrived))
    print(f"{size} bytes: {counts[-1]} of 30 messages arrived")
sys.exit(0 if counts[0] >= 25 and counts[1] <= 10 else 1)
PY
timeout 120 "$tmp/venv/bin/python" "$tmp/node.py"
