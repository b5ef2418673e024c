"""Conversion between this package's types and ROS messages. The results of a frame have the header of that frame."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sot_tracker.box import Box
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.stream import control
from sot_tracker.stream.candidates import Candidate
from sot_tracker.stream.encodings import compressed_picture, raw_picture
from sot_tracker.stream.follower import Result
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.range16 import Range16
from sot_tracker.stream.reports import SILENT, Report
from sot_tracker.stream.requests import Request
from sot_tracker.tracker import Reason

try:
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
except ModuleNotFoundError:
    raise MissingPackage("vision_msgs", "the ROS node", "apt install ros-$ROS_DISTRO-vision-msgs") from None

CLASS_ID = "target"
_REASONS = {Reason.NONE: "NO_REASON"}
"""Reasons whose constant in TrackerState has another name."""


def state_type() -> Any | None:
    """sot_tracker/TrackerState, or None where it was not generated (pip without a colcon build)."""
    try:
        from sot_tracker.msg import TrackerState
    except ModuleNotFoundError:
        return None
    return TrackerState


def stop_type() -> Any | None:
    """The service sot_tracker/Stop, or None where it was not generated."""
    try:
        from sot_tracker.srv import Stop
    except ModuleNotFoundError:
        return None
    return Stop


def stamp_of(header: Any) -> int:
    """A header's stamp in nanoseconds."""
    return nanoseconds(header.stamp)


def nanoseconds(time: Any) -> int:
    """A builtin_interfaces/Time in nanoseconds."""
    return int(time.sec) * 1_000_000_000 + int(time.nanosec)


STATES = ("IDLE", "TRACKING", "LOST", "UNCERTAIN")
_PLAIN = ("", "bgr8", "rgb8", "mono8", "8uc1", "8uc3")
REASONS = ("NO_REASON", "SCORE", "JUMP", "EDGE", "OCCLUDED", "LOOK_ALIKE")


def report_of_state(message: Any) -> Report:
    """The report of a TrackerState message, without box and picture."""
    state = next((name for name in STATES if getattr(message, name) == message.state), SILENT)
    reason = next((name for name in REASONS[1:] if getattr(message, name) == message.reason), "")
    return Report(
        stamp=stamp_of(message.header),
        size=None,
        state=state,
        reason=reason.lower().replace("_", "-"),
        score=float(message.score),
        probability=float(message.probability),
        latency_ms=float(message.frame_age_ms),
        source=message.source,
        target_id=message.target_id,
    )


def jpeg_of(message: Any) -> bytes | None:
    """The JPEG data of a sensor_msgs/CompressedImage; None if a browser could not show it as it is.

    These are other formats, and pictures that do not contain 8-bit BGR, RGB or grey, such as Bayer mosaics.
    """
    encoding, _, kind = getattr(message, "format", "").lower().rpartition(";")
    is_jpeg = "jpeg" in kind or "jpg" in kind
    return bytes(message.data) if is_jpeg and encoding.strip() in _PLAIN else None


def frame_of(message: Any, range16: Range16) -> Frame:
    """The frame of a sensor_msgs/Image or CompressedImage. range16: scales 16-bit pictures of this stream.

    Raises FrameError for a raw image whose fields are inconsistent. A damaged compressed image raises it later, when
    `Frame.image` is read.
    """
    stamp, nbytes = stamp_of(message.header), len(message.data)
    if hasattr(message, "format"):
        decode = partial(compressed_picture, message.data, message.format, range16)
        return Frame(stamp, decode, nbytes, encoding=message.format, header=message.header)
    size = (message.width, message.height)
    return Frame(stamp, raw_picture(message, range16), nbytes, size, message.encoding, message.header)


def fill_image(message: Any, image: NDArray[np.uint8]) -> Any:
    """Fill a sensor_msgs/Image with a contiguous BGR picture, in the only way that is fast in every distribution."""
    message.height, message.width = image.shape[:2]
    message.encoding, message.is_bigendian, message.step = "bgr8", 0, image.shape[1] * 3
    data = array("B")
    data.frombytes(image.data)
    message.data = data
    return message


def detection_of(box: Box, score: float, header: Any, target_id: str) -> Detection2D:
    """A vision_msgs/Detection2D; the centre is in pixels from the outer corner of the first pixel (`box.py`)."""
    message = Detection2D(header=header, id=target_id)
    message.bbox.center.position.x, message.bbox.center.position.y = map(float, box.center)
    message.bbox.size_x, message.bbox.size_y = float(box.w), float(box.h)
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = CLASS_ID, float(score)
    message.results.append(hypothesis)
    return message


def detections_of(results: Sequence[Result]) -> Detection2DArray:
    """All detections of one frame, whose header they carry; empty where no target was found."""
    header = results[0].frame.header
    found = [(result.detection, result.target_id) for result in results]
    return Detection2DArray(
        header=header,
        detections=[detection_of(one.box, one.confidence, header, name) for one, name in found if one is not None],
    )


def camera_fields(info: Any, rectified: bool) -> tuple[str, tuple[float, ...], tuple[float, ...], control.Readout]:
    """The arguments of `control.camera` from a sensor_msgs/CameraInfo.

    rectified: whether the pictures are already undistorted: their matrix is P, and they have no distortion.
    """
    roi = (info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height)
    readout = control.Readout((info.width, info.height), roi, (info.binning_x, info.binning_y))
    if rectified:
        return "", (*info.p[0:3], *info.p[4:7], *info.p[8:11]), (), readout
    return info.distortion_model, tuple(info.k), tuple(info.d), readout


def box_of(message: Detection2D) -> Box:
    """The box of a Detection2D; its rotation is not used."""
    center = message.bbox.center.position
    return Box.from_cxcywh(center.x, center.y, message.bbox.size_x, message.bbox.size_y)


def request_of(message: Detection2D, origin: str = "init_box") -> Request:
    """The request of an `init_box` message."""
    return Request(box_of(message), stamp_of(message.header), message.id, origin)


def candidate_of(message: Detection2D) -> Candidate:
    """One box of a detector."""
    hypotheses = tuple((r.hypothesis.class_id, float(r.hypothesis.score)) for r in message.results)
    return Candidate(box_of(message), message.id, hypotheses)


def box_of_region(message: Any) -> Box:
    """The box of a sensor_msgs/RegionOfInterest."""
    return Box(message.x_offset, message.y_offset, message.width, message.height)


def box_around(points: Any) -> Box:
    """The upright box around the points of a geometry_msgs/Polygon, x and y in pixels.

    The box is NaN if a coordinate is NaN. Raises UserError for fewer than two points.
    """
    if len(points) < 2:
        raise UserError(f"a polygon of {len(points)} points has no box: give its corners in pixels")
    corners = np.array([(point.x, point.y) for point in points], float)
    return Box.from_xyxy(*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())


def init_type() -> Any | None:
    """The service sot_tracker/Init, or None where it was not generated (pip without a colcon build)."""
    try:
        from sot_tracker.srv import Init
    except ModuleNotFoundError:
        return None
    return Init


def state_of(
    state: Any, result: Result, stages: Mapping[str, float], age_ms: float, counts: tuple[int, int, int], since: int = 0
) -> Any:
    """A TrackerState (`state` is its type).

    counts: frames processed, dropped, refused. since: nanoseconds of the node's clock at which this state began.
    """
    message = state(header=result.frame.header, target_id=result.target_id, probability=math.nan)
    if result.estimate is not None:
        message.state = getattr(state, result.estimate.state.name)
        message.reason = getattr(state, _REASONS.get(result.estimate.reason, result.estimate.reason.name))
        message.since.sec, message.since.nanosec = divmod(max(0, since), 1_000_000_000)
        message.score = float(result.estimate.score)
        message.probability = float(result.estimate.probability)
        message.source = result.estimate.source
        message.look_age_ms = float(result.estimate.look_age_ms)
    message.stage_names, message.stage_ms = list(stages), [float(ms) for ms in stages.values()]
    message.frame_age_ms = float(age_ms) if result.frame.stamp else math.nan
    message.frames_processed, message.frames_dropped, message.frames_refused = counts
    return message
