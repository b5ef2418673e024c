#!/usr/bin/env bash
# Package:  pymavlink 2.4.50
# Expected: mavutil sends and knows message 275, CAMERA_TRACKING_IMAGE_STATUS, by which a camera reports the
#           box it tracks; the common dialect has had it for years.
# Observed: mavutil starts with the MAVLink 1 dialects unless MAVLINK20 is set in the environment before the
#           first import, and those end at message 255. The connection has no method to send the message,
#           until the first MAVLink 2 packet of somebody else arrives: then the module is exchanged under the
#           program's feet and the method is there. A camera that speaks first never gets that far.
# Output:   MAVLINK20 unset: protocol 1.0, 275 known: False, method to send it: False
#           MAVLINK20=1:     protocol 2.0, 275 known: True, method to send it: True
#           unset, after one MAVLink 2 heartbeat: protocol 2.0, 275 known: True, method to send it: True
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'pymavlink==2.4.50'
unset MAVLINK20 MAVLINK_DIALECT MAVLINK09
cat >"$tmp/state.py" <<'PY'
import sys
from pymavlink import mavutil
from pymavlink.dialects.v20 import common

link = mavutil.mavlink_connection("udpin:127.0.0.1:0")
if "heartbeat" in sys.argv:
    sender = mavutil.mavlink_connection("udpout:127.0.0.1:%d" % link.port.getsockname()[1])
    beat = common.MAVLink(None, 1, 1).heartbeat_encode(6, 8, 0, 0, 4)
    sender.write(bytes(beat.pack(common.MAVLink(None, 1, 1))))
    assert link.recv_match(type="HEARTBEAT", blocking=True, timeout=10)
known = 275 in mavutil.mavlink.mavlink_map
method = hasattr(link.mav, "camera_tracking_image_status_send")
print(f"protocol {mavutil.mavlink.WIRE_PROTOCOL_VERSION}, 275 known: {known}, method to send it: {method}")
PY
plain=$("$tmp/venv/bin/python" "$tmp/state.py")
two=$(MAVLINK20=1 "$tmp/venv/bin/python" "$tmp/state.py")
after=$("$tmp/venv/bin/python" "$tmp/state.py" heartbeat)
echo "MAVLINK20 unset: $plain"
echo "MAVLINK20=1:     $two"
echo "unset, after one MAVLink 2 heartbeat: $after"
known="protocol 2.0, 275 known: True, method to send it: True"
[ "$plain" = "protocol 1.0, 275 known: False, method to send it: False" ] && [ "$two" = "$known" ] && [ "$after" = "$known" ]
