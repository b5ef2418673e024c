#!/usr/bin/env bash
# Package:  rclpy 7.1.6 (ROS 2 Jazzy, wheel ros-jazzy-rclpy); ros2/rclpy issue 1209
# Expected: a lifecycle node answers success=false to a transition that its state does not allow, as a C++
#           lifecycle node does.
# Observed: the service callback raises RCLError, no answer is sent, and the exception comes out of the
#           executor's spin: one wrong request from anyone on the network ends the node.
# Output:   configure   answer True
#           deactivate  answer None
#           the executor ended with RCLError: Failed to trigger lifecycle state machine transition
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'ros-jazzy-rclpy[fastrtps]==7.1.6' 'ros-lifecycle-msgs==2.0.3'
unset PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_LOG_DIR="$tmp/log" ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
"$tmp/venv/bin/python" - <<'PY'
import sys
import threading
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode

rclpy.init(domain_id=83)
ours, theirs = SingleThreadedExecutor(), SingleThreadedExecutor()
ours.add_node(LifecycleNode("camera"))
asking = rclpy.create_node("asking")
theirs.add_node(asking)
ended = []


def spin():
    try:
        ours.spin()
    except Exception as error:
        ended.append(error)


threading.Thread(target=spin, daemon=True).start()
client = asking.create_client(ChangeState, "/camera/change_state")
client.wait_for_service(20)
answers = []
for name, number in (("configure", Transition.TRANSITION_CONFIGURE), ("deactivate", Transition.TRANSITION_DEACTIVATE)):
    future = client.call_async(ChangeState.Request(transition=Transition(id=number)))
    theirs.spin_until_future_complete(future, timeout_sec=5)
    answers.append(future.result() and future.result().success)
    print(f"{name:11} answer {answers[-1]}")
for error in ended:
    print(f"the executor ended with {type(error).__name__}: {str(error).split(':')[0]}")
sys.stdout.flush()
good = answers == [True, None] and [type(error).__name__ for error in ended] == ["RCLError"]
__import__("os")._exit(0 if good else 1)  # the spinning thread may still hold the context
PY
