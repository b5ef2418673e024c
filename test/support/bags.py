"""Small recordings, written with rosbags, for tests that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from sot_tracker.box import Box
from sot_tracker.stream.bag_types import COMPRESSED, DETECTION, IMAGE, types

from clips import frame

BEGAN = 1_700_000_000_000_000_000
STEP = 40_000_000
IMAGES = "/camera/image_raw"


def header(stamp: int) -> Any:
    kinds = types().types
    time = kinds["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
    return kinds["std_msgs/msg/Header"](time, "camera")


def image(picture: np.ndarray, stamp: int, step: int = 0) -> Any:
    height, width = picture.shape[:2]
    data = np.ascontiguousarray(picture).reshape(-1)
    return types().types[IMAGE](header(stamp), height, width, "bgr8", 0, step or 3 * width, data)


def compressed(picture: np.ndarray, stamp: int) -> Any:
    data = cv2.imencode(".png", picture)[1].reshape(-1)
    return types().types[COMPRESSED](header(stamp), "bgr8; png compressed bgr8", data)


def detection(box: Box, stamp: int) -> Any:
    t = types().types
    center = t["vision_msgs/msg/Pose2D"](t["vision_msgs/msg/Point2D"](*box.center), 0.0)
    return t[DETECTION](header(stamp), [], t["vision_msgs/msg/BoundingBox2D"](center, box.w, box.h), "")


def write_bag(folder: Path, messages: list[tuple[str, int, Any]], storage: str = "mcap", mode: str = "none") -> Path:
    """A rosbag2 folder of (topic, time of recording, message); compression mode: none, file, message or storage."""
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin[storage.upper()])
    writer.set_compression(CompressionMode[mode.upper()], CompressionFormat.ZSTD)
    with writer:
        topics: dict[str, Any] = {}
        for topic, time, message in messages:
            kind = message.__msgtype__
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, kind, typestore=types())
            writer.write(topics[topic], time, types().serialize_cdr(message, kind))
    return folder


def clip(
    truth: list[Box], topic: str = IMAGES, make: Any = image, delay: int = 5_000_000
) -> list[tuple[str, int, Any]]:
    """One picture for each box, recorded `delay` nanoseconds after its stamp."""
    stamps = [BEGAN + i * STEP for i in range(len(truth))]
    return [(topic, s + delay, make(frame(box), s)) for s, box in zip(stamps, truth, strict=True)]


def truth_of(truth: list[Box | None], topic: str = "/truth") -> list[tuple[str, int, Any]]:
    """A Detection2D for each picture of `clip`, recorded later; an empty box where there is no target."""
    stamps = [BEGAN + i * STEP for i in range(len(truth))]
    return [(topic, s + 3, detection(box or Box(0, 0, 0, 0), s)) for s, box in zip(stamps, truth, strict=True)]
