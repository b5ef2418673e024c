"""`player`: a video file, a folder of pictures or a camera as a ROS image topic, as a camera driver would send it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2D

from sot_tracker.box import Box
from sot_tracker.config import Options, Scope, option
from sot_tracker.datasets.sequences import read_truth, truth_file_of
from sot_tracker.errors import UserError
from sot_tracker.ros import debug_view, messages, parameters
from sot_tracker.ros.process import run
from sot_tracker.stream.sources import FrameSource, open_source

POLL = 0.02  # seconds between two looks for subscribers


@dataclass(frozen=True)
class PlayerConfig(Options):
    """The player's ROS parameters."""

    source: str = option("", "Video file, folder of pictures, camera number or stream address.", Scope.NODE)
    rate: float = option(0.0, "Frames per second; 0 is the source's own rate.", Scope.NODE, low=0.0, high=1000.0)
    lockstep: bool = option(False, "Send the next frame when the tracker's result for the last one came.", Scope.NODE)
    step_timeout: float = option(
        5.0, "Seconds to wait for a result in lock-step before going on.", Scope.NODE, low=0.01, high=3600.0
    )
    loop: bool = option(False, "Begin again at the end.", Scope.NODE)
    frames: int = option(0, "Stop after so many frames; 0 plays all.", Scope.NODE, low=0, high=10**9)
    image_transport: str = option(
        "raw", "Publish `image` (raw) or `image/compressed` (JPEG).", Scope.NODE, choices=("raw", "compressed")
    )
    jpeg_quality: int = option(90, "Of compressed images.", Scope.NODE, low=1, high=100)
    reliability: str = option(
        "reliable", "QoS of the image publisher.", Scope.NODE, choices=("reliable", "best_effort")
    )
    width: int = option(0, "Resize frames to this width; 0 leaves it.", Scope.NODE, low=0, high=16384)
    height: int = option(0, "Resize frames to this height; 0 leaves it.", Scope.NODE, low=0, high=16384)
    init_box: tuple[float, ...] = option(
        (), "Published once as init_box with the first frame's stamp: [x, y, w, h] in pixels of the source.", Scope.NODE
    )
    frame_id: str = option("camera", "Of every header.", Scope.NODE)
    wait: float = option(
        10.0, "Longest wait in seconds for subscribers before the first frame.", Scope.NODE, low=0.0, high=3600.0
    )
    log: str = option("", "CSV file for the index and stamp of every published frame.", Scope.NODE)


class Player(Node):
    """Publishes `image` or `image/compressed`, `init_box` once, and `truth` if the folder has a truth file.

    The next message is made while the last one is on its way, so that a frame is sent right after it is stamped.
    """

    def __init__(self, **options: Any) -> None:
        """options: of rclpy's Node. Raises UserError if the source cannot be played."""
        super().__init__("player", **options)
        self._config = parameters.declare(self, PlayerConfig)
        if not self._config.source:
            raise UserError("player has no source: give -p source:=clip.mp4, a folder of pictures or a camera number")
        if self._config.log and not Path(self._config.log).parent.is_dir():
            raise UserError(f"log '{self._config.log}': its folder does not exist, make it first")
        self._source = open_source(self._config.source)
        self._truth = _truth_of(self._config.source)
        self._scale = _scale(self._source, self._config)
        self._messages = self._make_messages()
        self._next: Any = None
        self._index = 0
        self._pending = 0  # stamp of the frame whose result lock-step waits for; 0 for none
        self._sent_at = self._began = time.monotonic()
        self._sent: list[tuple[int, int]] = []
        self._images, self._init_box, self._truths = self._make_publishers()
        self._results = self._listen() if self._config.lockstep else []
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(POLL, self._wait_for_subscribers, clock=self._steady)

    def _make_publishers(self) -> tuple[Any, Any, Any]:
        reliable = self._config.reliability == "reliable"
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)
        if self._config.image_transport == "compressed":
            images = self.create_publisher(CompressedImage, f"{self.resolve_topic_name('image')}/compressed", qos)
        else:
            images = self.create_publisher(Image, "image", qos)
        init_box = (
            self.create_publisher(Detection2D, "init_box", QoSProfile(depth=1)) if self._config.init_box else None
        )
        truths = self.create_publisher(Detection2D, "truth", QoSProfile(depth=10)) if self._truth is not None else None
        return images, init_box, truths

    def _listen(self) -> list[Any]:
        kinds = {"detection": Detection2D, "state": messages.state_type()}
        return [
            self.create_subscription(kind, topic, self._on_result, QoSProfile(depth=10))
            for topic, kind in kinds.items()
            if kind is not None
        ]

    def _wait_for_subscribers(self) -> None:
        ready = all(p is None or p.get_subscription_count() > 0 for p in (self._images, self._init_box))
        if not ready and time.monotonic() - self._began < self._config.wait:
            return
        if not ready:
            self.get_logger().warning(f"no subscriber within {self._config.wait:g} s: playing to nobody")
        self.destroy_timer(self._timer)
        live = self._source.length is None
        self._prepare()
        rate = self._config.rate or (0 if live or self._config.lockstep else self._source.fps)
        # A live source blocks until its next frame comes; in lock-step the timer only looks for the time-out.
        self._timer = self.create_timer(1 / rate if rate else 0.001 if live else POLL, self._tick, clock=self._steady)
        self._tick()

    def _tick(self) -> None:
        if self._pending and time.monotonic() - self._sent_at < self._config.step_timeout:
            return
        if self._pending:
            self.get_logger().warning(f"no result for frame {self._index - 1} within {self._config.step_timeout:g} s")
        self._send()

    def _send(self) -> None:
        if self._next is None:
            self._finish()
            return
        number, message = self._next
        now = self.get_clock().now()
        message.header.stamp = now.to_msg()
        if self._index == 0 and self._init_box is not None:
            box = Box.from_xywh(self._config.init_box).scaled(*self._scale)
            self._init_box.publish(messages.detection_of(box, 1.0, message.header, ""))
        self._pending = now.nanoseconds if self._config.lockstep else 0
        self._sent_at = time.monotonic()
        self._images.publish(message)
        self._publish_truth(number, message.header)
        self._sent.append((number, now.nanoseconds))
        self._index += 1
        self._prepare()

    def _on_result(self, message: Any) -> None:
        """A result for the frame on its way; the first one must have a target if a box was sent with it."""
        idle = getattr(message, "state", None) == 0
        if messages.stamp_of(message.header) == self._pending and not (idle and self._init_box and self._index == 1):
            self._pending = 0
            self._send()

    def _publish_truth(self, number: int, header: Any) -> None:
        if self._truths is None or self._truth is None or number >= len(self._truth):
            return
        box = Box.from_xywh(self._truth[number]).scaled(*self._scale)
        if box.is_valid:
            self._truths.publish(messages.detection_of(box, 1.0, header, str(number)))

    def _prepare(self) -> None:
        done = self._config.frames and self._index >= self._config.frames
        self._next = None if done else next(self._messages, None)

    def _make_messages(self) -> Iterator[tuple[int, Any]]:
        """(index in the source, message without stamp) for every frame to send."""
        while True:
            for number, frame in enumerate(self._source):
                size = (self._config.width or frame.shape[1], self._config.height or frame.shape[0])
                picture = frame if size == frame.shape[1::-1] else cv2.resize(frame, size)
                yield number, self._message(picture)
            if not self._config.loop:
                return

    def _message(self, picture: Any) -> Any:
        if self._config.image_transport == "raw":
            message = debug_view.fill(Image(), picture)
        else:
            quality = [cv2.IMWRITE_JPEG_QUALITY, self._config.jpeg_quality]
            message = CompressedImage(format="jpeg")
            message.data.frombytes(cv2.imencode(".jpg", picture, quality)[1].tobytes())
        message.header.frame_id = self._config.frame_id
        return message

    def _finish(self) -> None:
        self.get_logger().info(f"played {self._index} frames of {self._source.name}")
        if self._config.log:
            _write_log(Path(self._config.log), self._sent)
        self._source.close()
        self._images.wait_for_all_acked(Duration(seconds=2))
        rclpy.try_shutdown()


def _truth_of(source: str) -> Any | None:
    """N x 4 boxes of the folder's truth file; None without one."""
    path = truth_file_of(Path(source)) if Path(source).is_dir() else None
    return read_truth(path) if path else None


def _scale(source: FrameSource, config: PlayerConfig) -> tuple[float, float]:
    width, height = source.size
    return (config.width or width) / width, (config.height or height) / height


def _write_log(path: Path, rows: list[tuple[int, int]]) -> None:
    try:
        path.write_text("index,stamp\n" + "".join(f"{number},{stamp}\n" for number, stamp in rows))
    except OSError as error:
        raise UserError(f"log '{path}' cannot be written: {error.strerror}") from None


def main() -> int:
    return run(Player)


if __name__ == "__main__":
    sys.exit(main())
