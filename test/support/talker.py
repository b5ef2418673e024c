"""The other side of a tracker node under test: sends frames and boxes, notes what comes back, reads the log."""

from __future__ import annotations

import subprocess
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D

from sot_tracker.box import Box
from sot_tracker.ros import messages
from sot_tracker.ros_tools import harness

PATIENCE = 40.0  # seconds: of a machine that is busy with something else
MS = 1_000_000


class Talker:
    """Everything in one namespace; `send` and wait with `result`.

    Stamps are simulated: frame `n` carries n * 40 ms, counted on by `send`.
    """

    def __init__(self, namespace: str, log: Path, reliable: bool = True, compressed: bool = False) -> None:
        self.recorder = harness.Recorder(namespace)
        self.recording = self.recorder.recording
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.recorder)
        self.namespace, self._log, self.compressed = namespace, log, compressed
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        kind, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
        self.images = self.recorder.create_publisher(kind, topic, QoSProfile(depth=1, reliability=policy))
        self.boxes = self.recorder.create_publisher(Detection2D, "init_box", QoSProfile(depth=10))
        self.stamp = 0

    def until(self, condition: Any, what: str, patience: float = PATIENCE) -> None:
        """Spin until the condition holds; fails, with the node's log, if it never does."""
        assert harness.spin_until(self.executor, condition, patience), f"{what} did not come\n{self.log()}"

    def connected(self) -> Talker:
        self.until(lambda: self.images.get_subscription_count() > 0, "the image subscription")
        self.until(lambda: self.boxes.get_subscription_count() > 0, "the init_box subscription")
        self.until(lambda: self.recorder.count_publishers("state") > 0, "the state publisher")
        self.until(lambda: self.recorder.count_publishers("detection") > 0, "the detection publisher")
        self.be_known()
        return self

    def be_known(self) -> None:
        """Wait until the node's publishers know our readers: what they send before that is lost, reliable or not.

        Our reader of diagnostics was made last, and discovery keeps the order: a message that comes by it says that the
        node knows the others too. That we know the node, as `count_publishers` says, does not.
        """
        self.recording.diagnostics = {}
        self.until(lambda: bool(self.recording.diagnostics), "the next diagnostics")

    def settle(self) -> None:
        """Time for discovery where nothing can be waited for, as for the readers of services and of other nodes."""
        harness.spin_until(self.executor, lambda: False, 0.3)

    def send(self, image: np.ndarray, stamp: int | None = None, **fields: Any) -> int:
        """Publish a BGR image (or whatever `fields` make of it); returns its stamp."""
        self.stamp = self.stamp + 40 * MS if stamp is None else stamp
        message = Image(encoding="bgr8", height=image.shape[0], width=image.shape[1], step=image.strides[0])
        message.data = array("B", image.tobytes())
        for name, value in fields.items():
            setattr(message, name, value)
        return self.publish(message)

    def publish(self, message: Any) -> int:
        message.header.stamp = Time(nanoseconds=self.stamp).to_msg()
        message.header.frame_id = "eye"
        self.images.publish(message)
        return self.stamp

    def publish_next(self, message: Any) -> int:
        """Publish with the next stamp; returns it."""
        self.stamp += 40 * MS
        return self.publish(message)

    def box(self, box: Box, stamp: int = 0, target_id: str = "") -> None:
        """Ask for a target, and wait until the node has said something to it."""
        message = messages.detection_of(box, 1.0, Image().header, target_id)
        message.header.stamp = Time(nanoseconds=stamp).to_msg()
        told = self.log().count("init_box")
        self.boxes.publish(message)
        self.until(lambda: self.log().count("init_box") > told, "an answer to init_box")

    def result(self, stamp: int) -> Any:
        """The state that was published for the frame with this stamp."""
        self.until(lambda: stamp in self.recording.states, f"state of stamp {stamp}")
        return self.recording.states[stamp]

    def detection(self, stamp: int) -> Detection2D:
        self.until(lambda: stamp in self.recording.detections, f"detection of stamp {stamp}")
        return self.recording.detections[stamp]

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """The answer of a service of the tracker node."""
        client = self.recorder.create_client(kind, f"{self.namespace}/tracker_node/{name}")
        try:
            self.until(client.service_is_ready, f"service {name}")
            self.settle()
            return self.answer(client, request)
        finally:
            self.recorder.destroy_client(client)

    def answer(self, client: Any, request: Any) -> Any:
        """Of a service; asked again after ten seconds: an answer is lost while the node does not know our reader."""
        for _ in range(3):
            future = client.call_async(request)
            if harness.spin_until(self.executor, future.done, PATIENCE / 4):
                return future.result()
        raise AssertionError(f"no answer of {client.service_name}\n{self.log()}")

    def stop(self) -> Any:
        return self.call(Trigger, "stop", Trigger.Request())

    def log(self) -> str:
        return self._log.read_text()

    def said(self, text: str) -> None:
        """Wait for this text in the node's log."""
        self.until(lambda: text in self.log(), f"'{text}'")

    def close(self) -> None:
        self.executor.shutdown()
        self.recorder.destroy_node()


@contextmanager
def tracker(
    folder: Path, namespace: str, reliable: bool = True, compressed: bool = False, remap: Any = None, **parameters: Any
) -> Iterator[tuple[Talker, subprocess.Popen[Any]]]:
    """A tracker node process and somebody who talks to it."""
    path = folder / f"{namespace.strip('/')}_{time.monotonic_ns()}.txt"
    words = harness.arguments({"model": "kcf", "propagate": "off", **parameters}, namespace, remap)
    with path.open("w") as log, harness.process("tracker_node", words, stdout=log, stderr=subprocess.STDOUT) as child:
        talker = Talker(namespace, path, reliable, compressed)
        try:
            yield talker, child
        finally:
            talker.close()
