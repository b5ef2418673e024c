"""The camera of `soak`: a process of its own, so that it can be killed.

It sends frames at 30 Hz on `image`, each with its number as `frame_id`, and asks for the target with `init_box` at the
start and after each absence. The target moves, is hidden for some seconds, and returns; the clock jumps.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D

from sot_tracker.box import Box
from sot_tracker.ros import messages

RATE = 30.0
CYCLE, HIDDEN = 300, 75  # frames: of one round, and without a target at its end
JUMP = 400  # frames between two jumps of the clock
SIDE = 64
APART = 1_200_000
"""Difference between the first frame numbers of two cameras; a multiple of all periods."""


class Scene:
    """Frames of one size, BGR; a textured square circles over a textured ground."""

    def __init__(self, width: int, height: int) -> None:
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 100, (height // 8, width // 8, 3), np.uint8)
        self._ground = cv2.resize(noise, (width, height))
        self._target = cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (SIDE, SIDE))
        self._width, self._height = width, height

    def box(self, number: int) -> Box | None:
        """Where the target is in the frame with that number; None while it is hidden."""
        if number % CYCLE >= CYCLE - HIDDEN:
            return None
        angle = 2 * np.pi * number / 400
        x, y = (self._width - SIDE) * (1 + np.cos(angle)) / 2, (self._height - SIDE) * (1 + np.sin(angle)) / 2
        return Box(round(x), round(y), SIDE, SIDE)

    def picture(self, number: int) -> Any:
        """H x W x 3 BGR."""
        picture, box = self._ground.copy(), self.box(number)
        if box is not None:
            x, y = int(box.x), int(box.y)
            picture[y : y + SIDE, x : x + SIDE] = self._target
        return picture


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480))
    parser.add_argument("--first", type=int, default=0, help="number of the first frame")
    parser.add_argument("--best-effort", action="store_true")
    args = parser.parse_args()
    rclpy.init(args=[])
    node = Node("camera", namespace=args.namespace)
    policy = ReliabilityPolicy.BEST_EFFORT if args.best_effort else ReliabilityPolicy.RELIABLE
    images = node.create_publisher(Image, "image", QoSProfile(depth=1, reliability=policy))
    boxes = node.create_publisher(Detection2D, "init_box", QoSProfile(depth=10))
    scene = Scene(*args.size)
    number, ahead, next_frame = args.first, 0, time.monotonic()
    while rclpy.ok():
        if images.get_subscription_count() == 0:  # numbering begins with the first subscriber
            time.sleep(0.05)
            continue
        if number % JUMP == JUMP - 1:
            ahead = 3_000_000_000 if ahead <= 0 else -7_000_000_000
        picture, box = scene.picture(number), scene.box(number)
        message = messages.fill_image(Image(), picture)
        message.header.frame_id = str(number)
        message.header.stamp = Time(nanoseconds=time.time_ns() + ahead).to_msg()
        images.publish(message)
        if box is not None and number % CYCLE == 10:
            boxes.publish(messages.detection_of(box, 1.0, message.header, f"round {number // CYCLE}"))
        number += 1
        next_frame = max(next_frame + 1 / RATE, time.monotonic() - 1)
        time.sleep(max(0.0, next_frame - time.monotonic()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
