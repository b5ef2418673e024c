"""Our values <-> ROS messages. The messages a frame causes carry that frame's own header."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sot_tracker.box import Box
from sot_tracker.errors import MissingPackage
from sot_tracker.stream.follower import Request, Result
from sot_tracker.stream.frame import stamp_of as stamp_of
from sot_tracker.tracker import State

try:
    from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose
except ModuleNotFoundError:
    raise MissingPackage("vision_msgs", "the ROS node", "apt install ros-$ROS_DISTRO-vision-msgs") from None

CLASS_ID = "target"


def state_type() -> Any | None:
    """sot_tracker/TrackerState, or None where it was not generated (pip without a colcon build)."""
    try:
        from sot_tracker.msg import TrackerState
    except ModuleNotFoundError:
        return None
    return TrackerState


def detection_of(box: Box, score: float, header: Any, target_id: str) -> Detection2D:
    """A vision_msgs/Detection2D; the centre is in pixels from the outer corner of the first pixel (`box.py`)."""
    message = Detection2D(header=header, id=target_id)
    message.bbox.center.position.x, message.bbox.center.position.y = map(float, box.center)
    message.bbox.size_x, message.bbox.size_y = float(box.w), float(box.h)
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = CLASS_ID, float(score)
    message.results.append(hypothesis)
    return message


def box_of(message: Detection2D) -> Box:
    """The box of a Detection2D; its rotation is not used."""
    center = message.bbox.center.position
    return Box.from_cxcywh(center.x, center.y, message.bbox.size_x, message.bbox.size_y)


def request_of(message: Detection2D) -> Request:
    """What an `init_box` message asks for."""
    return Request(box_of(message), stamp_of(message.header), message.id)


def state_of(
    state: Any, result: Result, stages: Mapping[str, float], age_ms: float, counts: tuple[int, int, int]
) -> Any:
    """A TrackerState (`state` is its type). counts: frames processed, dropped, refused."""
    message = state(header=result.frame.message.header, target_id=result.target_id)
    if result.estimate is not None:
        message.state = state.TRACKING if result.estimate.state is State.TRACKING else state.LOST
        message.score = float(result.estimate.score)
    message.stage_names, message.stage_ms = list(stages), [float(ms) for ms in stages.values()]
    message.frame_age_ms = float(age_ms) if result.frame.stamp else math.nan
    message.frames_processed, message.frames_dropped, message.frames_refused = counts
    return message
