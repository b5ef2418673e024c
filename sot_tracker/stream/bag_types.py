"""Message types of recordings: those of ROS 2 itself, of vision_msgs 4 (Humble and newer), and TrackerState.

A test compares these definitions with the files in `msg/` and with the vision_msgs that is built for the tests.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sot_tracker.errors import MissingPackage

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
DETECTION, STATE = "vision_msgs/msg/Detection2D", "sot_tracker/msg/TrackerState"

TEXTS = {
    "vision_msgs/msg/Point2D": "float64 x\nfloat64 y\n",
    "vision_msgs/msg/Pose2D": "vision_msgs/Point2D position\nfloat64 theta\n",
    "vision_msgs/msg/BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y\n",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score\n",
    "vision_msgs/msg/ObjectHypothesisWithPose": (
        "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
    ),
    DETECTION: "std_msgs/Header header\nObjectHypothesisWithPose[] results\nBoundingBox2D bbox\nstring id\n",
    STATE: """# The tracker's report of one processed frame. Published for every frame that was accepted, target or not.

uint8 IDLE=0       # no target: waiting for init_box
uint8 TRACKING=1   # the box was published on `detection`
uint8 LOST=2       # the target was not found: nothing was published on `detection`
uint8 UNCERTAIN=3  # the box is predicted or doubtful: published on `detection` for at most `max_coast` seconds

uint8 NO_REASON=0  # TRACKING or IDLE
uint8 SCORE=1      # the tracker's score is low
uint8 JUMP=2       # the box jumped further than the target can move
uint8 EDGE=3       # the target is at the edge of the frame
uint8 OCCLUDED=4   # the target vanished within the frame
uint8 LOOK_ALIKE=5 # something that looks like the target is near

std_msgs/Header header    # the frame's own stamp and frame_id
uint8 state
string target_id          # as in Detection2D.id; empty while IDLE
uint8 reason              # why the state is UNCERTAIN or LOST
builtin_interfaces/Time since   # when this state began, by the node's clock; 0 while IDLE
float32 score             # 0..1; 0 while IDLE
float32 probability       # that the box overlaps the target by half or more (IoU >= 0.5), 0..1; NaN where unknown

string source             # what gave the box: "tracker", which looked at this very frame; between its looks "flow"
                          # (optical flow), "camera" (the background's motion) or "held" (nothing known); "" while IDLE
float32 look_age_ms       # from the frame of the tracker's last look to this one; 0 where source is "tracker"

string[] stage_names      # "convert", "flow", the tracker's stages ("crop", "search", "decode" or "track"), "process"
float32[] stage_ms        # one per name; "process" is the time from callback entry until the result was published
float32 frame_age_ms      # node clock minus the frame's stamp, when the result was published; NaN where the stamp is 0

uint64 frames_processed   # since activation
uint64 frames_dropped     # published but never seen here: overwritten by a newer frame, or lost on the way
uint64 frames_refused     # seen but unusable: unknown encoding, short data, another size
""",
}
"""Name -> definition, as in its .msg file."""


@cache
def types() -> Typestore:
    """Serializes and deserializes these messages (CDR). Raises MissingPackage without rosbags."""
    try:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ModuleNotFoundError:
        raise missing_rosbags() from None
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in TEXTS.items():
        store.register(get_types_from_msg(text, name))
    return store


def missing_rosbags() -> MissingPackage:
    """The error for a user without rosbags."""
    return MissingPackage("rosbags", "reading or writing a recording", "pip install 'rosbags>=0.11,<0.12'")
