"""`player`: a video file, a folder of pictures or a camera as a ROS image topic, as a camera driver would send it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2D

from sot_tracker.box import Box
from sot_tracker.datasets.find import truth_of
from sot_tracker.errors import UserError
from sot_tracker.options import options_of
from sot_tracker.ros import messages, parameters
from sot_tracker.ros.process import run
from sot_tracker.ros_tools.player_config import PlayerConfig
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.output_files import same_file
from sot_tracker.stream.recordings import Recording
from sot_tracker.stream.sources import FrameSource, open_source

POLL = 0.02  # seconds between two checks for subscribers


class Player(Node):
    """Publishes `image` or `image/compressed`, `init_box` once, and `truth` if the folder has a truth file.

    The next message is made while the last one is on its way, so that a frame is sent right after it is stamped.
    """

    def __init__(self, **options: Any) -> None:
        """options: of rclpy's Node. Raises UserError if the source cannot be played."""
        super().__init__("player", **options)
        self._config = parameters.declare(self, PlayerConfig, tuple(options_of(PlayerConfig)))
        with parameters.explained(self, PlayerConfig):
            self._source = _open(self._config)
        self._truth = _truth_of(self._source, self._config)
        self._scale = _scale(self._source, self._config)
        self._messages = self._make_messages()
        self._next: Any = None
        self._index = 0
        self._gap = 0.0  # seconds between the last frame and the next, by the source's stamps or the rate
        self._due = 0.0  # when the next frame is to be sent, by the monotonic clock
        self._pending = 0  # stamp of the frame whose result lock-step waits for; 0 for none
        self._sent_at = self._began = time.monotonic()
        self._sent: list[tuple[int, int]] = []
        self._images, self._init_box, self._truths = self._make_publishers()
        self._results = self._listen() if self._config.lockstep else []
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(POLL, self._wait_for_subscribers, clock=self._steady)
        self.get_logger().info(f"playing {self._description()}")

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
        self._prepare()
        self._due = time.monotonic()
        self._timer = self.create_timer(POLL, self._tick, clock=self._steady)
        self._tick()

    def _tick(self) -> None:
        if self._pending and time.monotonic() - self._sent_at < self._config.step_timeout:
            return
        if self._pending:
            self.get_logger().warning(f"no result for frame {self._index - 1} within {self._config.step_timeout:g} s")
        self._send()
        self._schedule()

    def _schedule(self) -> None:
        """Set the timer to the next frame's time; in lock-step only to check the time-out."""
        if self._config.lockstep or not self.context.ok():
            return
        # A live source blocks until its next frame comes. Who is late goes on from now: no burst of frames follows.
        now = time.monotonic()
        self._due = now if self._source.live and not self._config.rate else max(self._due + self._gap, now)
        self._timer.timer_period_ns = max(int((self._due - now) * 1e9), 1_000)
        self._timer.reset()

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
        """(index in the source, message without stamp) for every frame to send; sets the gap before it.

        Raises UserError where it is to begin again, and no frame could be used.
        """
        regular = 1 / (self._config.rate or self._source.fps)
        while True:
            last: int | None = None
            for number, frame in enumerate(self._source):
                try:
                    picture = frame.image
                except FrameError as error:
                    self.get_logger().warning(f"frame {number} is left out: {error}")
                    continue
                size = (self._config.width or picture.shape[1], self._config.height or picture.shape[0])
                message = self._message(picture if size == picture.shape[1::-1] else cv2.resize(picture, size))
                self._gap = regular if self._config.rate or last is None else (frame.stamp - last) * 1e-9
                last = frame.stamp
                yield number, message
            if not self._config.loop:
                return
            if last is None:  # a folder that was removed meanwhile: without an end, and without a pause
                raise UserError(f"'{self._config.source}' gives no frame any more: it cannot be played again")

    def _message(self, picture: Any) -> Any:
        if self._config.image_transport == "raw":
            message = messages.fill_image(Image(), np.ascontiguousarray(picture))
        else:
            quality = [cv2.IMWRITE_JPEG_QUALITY, self._config.jpeg_quality]
            message = CompressedImage(format="jpeg")
            message.data.frombytes(cv2.imencode(".jpg", picture, quality)[1].tobytes())
        message.header.frame_id = self._config.frame_id
        return message

    def _description(self) -> str:
        """Source, size, length and rate, as a person reads them."""
        source, config = self._source, self._config
        width, height = source.size
        frames = f"{source.length} frames" if source.length else "live" if source.live else "of unknown length"
        rate = "in lock-step" if config.lockstep else f"at {config.rate or source.fps:g} per second"
        sent = f", sent as {config.width or width}x{config.height or height}" if config.width or config.height else ""
        return f"{source.name}: {width}x{height}{sent}, {frames}, {rate}, {config.image_transport}"

    def _finish(self) -> None:
        self.get_logger().info(f"played {self._index} frames of {self._source.name}")
        if self._config.log:
            _write_log(Path(self._config.log), self._sent)
        self._source.close()
        self._images.wait_for_all_acked(Duration(seconds=2))
        rclpy.try_shutdown()


def _open(config: PlayerConfig) -> FrameSource:
    """Raises UserError if the source cannot be played or its log has no place."""
    if not config.source:
        raise UserError("player has no source: give -p source:=clip.mp4, a folder of pictures or a camera number")
    try:
        if config.log and not Path(config.log).parent.is_dir():
            raise UserError(f"log '{config.log}': its folder does not exist, make it first")
        if config.log and Path(config.log).is_dir():
            raise UserError(f"log '{config.log}' is a folder: give a file name")
    except (OSError, ValueError) as error:  # a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"log '{config.log[:77]}...' cannot be written: {reason}") from None
    with _flags_as_parameters():
        source = open_source(config.source, config.range16, config.topic)
    if config.log and any(same_file(Path(config.log), path) for path in source.files):
        raise UserError(f"log '{config.log}' is what is played: give another name")
    return source


@contextmanager
def _flags_as_parameters() -> Iterator[None]:
    """Recordings name the flags of the command line where a topic is missing; a node has parameters instead."""
    try:
        yield
    except FrameError:
        raise
    except UserError as error:
        text = str(error)
        for name in ("truth_topic", "topic"):
            text = text.replace(f"--{name.replace('_', '-')}:", f"-p {name}:=NAME:")
        raise UserError(text) from None


def _truth_of(source: FrameSource, config: PlayerConfig) -> Any | None:
    """N x 4 boxes of the folder's truth file or the recording's topic; None without one."""
    if isinstance(source, Recording):
        with _flags_as_parameters():
            truth = source.truth(config.truth_topic)
        return None if truth is None else truth.boxes
    if config.truth_topic:
        raise UserError(f"truth_topic is for recordings: '{config.source}' is not a recording")
    return truth_of(Path(config.source).expanduser(), bool(config.init_box)) if source.files else None


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
