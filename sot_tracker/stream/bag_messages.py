"""Serialized ROS 2 messages of detections, states and pictures, without ROS. The node makes them in
`ros/messages.py`."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from sot_tracker.errors import UserError
from sot_tracker.stream.bag_types import COMPRESSED, DETECTION, STATE, types
from sot_tracker.tracker import Estimate, Image, Reason

CLASS_ID = "target"
_QUALITY = 90


def header(stamp: int, frame_id: str) -> Any:
    """A std_msgs/Header; stamp in nanoseconds."""
    return _kinds()["std_msgs/msg/Header"](_time(stamp), frame_id)


def detection(estimate: Estimate, head: Any, target_id: str) -> memoryview:
    """A vision_msgs/Detection2D."""
    kinds = _kinds()
    center = kinds["vision_msgs/msg/Pose2D"](kinds["vision_msgs/msg/Point2D"](*estimate.box.center), 0.0)
    box = kinds["vision_msgs/msg/BoundingBox2D"](center, estimate.box.w, estimate.box.h)
    hypothesis = kinds["vision_msgs/msg/ObjectHypothesis"](CLASS_ID, float(estimate.confidence))
    pose = kinds["geometry_msgs/msg/Pose"](
        kinds["geometry_msgs/msg/Point"](0.0, 0.0, 0.0), kinds["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    )
    result = kinds["vision_msgs/msg/ObjectHypothesisWithPose"](
        hypothesis, kinds["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36))
    )
    return _serialized(kinds[DETECTION](head, [result], box, target_id))


def state(estimate: Estimate, head: Any, target_id: str, since: int, processed: int) -> memoryview:
    """A sot_tracker/TrackerState. since: stamp at which the state began. processed: number of frames so far.

    Times in milliseconds are left out, so that two runs on one recording give the same bytes.
    """
    kind = _kinds()[STATE]
    reason = "NO_REASON" if estimate.reason is Reason.NONE else estimate.reason.name
    message = kind(
        header=head,
        state=getattr(kind, estimate.state.name),
        target_id=target_id,
        reason=getattr(kind, reason),
        since=_time(since),
        score=float(estimate.score),
        probability=float(estimate.probability),
        source=estimate.source,
        look_age_ms=float(estimate.look_age_ms),
        stage_names=[],
        stage_ms=np.zeros(0, np.float32),
        frame_age_ms=math.nan,
        frames_processed=processed,
        frames_dropped=0,
        frames_refused=0,
    )
    return _serialized(message)


def jpeg(image: Image, head: Any) -> memoryview:
    """A sensor_msgs/CompressedImage. Raises UserError for a picture that JPEG cannot hold."""
    ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not ok:
        raise UserError(f"a picture of {image.shape[1]}x{image.shape[0]} cannot be written as JPEG")
    return _serialized(_kinds()[COMPRESSED](head, "bgr8; jpeg compressed bgr8", data.reshape(-1)))


def _kinds() -> Any:
    return types().types


def _time(stamp: int) -> Any:
    return _kinds()["builtin_interfaces/msg/Time"](*divmod(stamp, 1_000_000_000))


def _serialized(message: Any) -> memoryview:
    return types().serialize_cdr(message, message.__msgtype__)
