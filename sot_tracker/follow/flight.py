"""Fly in lock-step, without ROS and without a clock: flight range, tracker and controller in one loop.

A frame's command reaches the mount `latency` seconds after the frame was taken. The same seed and options give the same
flight as long as the tracker is deterministic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sot_tracker.follow.config import FollowConfig
from sot_tracker.follow.control import Command, Controller, Mode
from sot_tracker.follow.pointing import Direction, camera_of_fov
from sot_tracker.synth.flight_range import FlightRange, RangeFrame
from sot_tracker.tracker import Estimate, Tracker

ON_TARGET = 0.3
"""Overlap (IoU) with the truth from which the tracker is on the target and not on something else."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of a flight: when it was taken, what it showed, what the tracker said and what was commanded then."""

    time: float
    frame: RangeFrame
    estimate: Estimate
    mode: Mode
    command: Command


def fly(
    scene: FlightRange,
    tracker: Tracker,
    config: FollowConfig,
    fov: float = 60.0,
    seconds: float = 60.0,
    fps: float = 30.0,
    latency: float = 0.04,
) -> Iterator[Moment]:
    """Start on the target and follow it for so many seconds. latency: at most the time between two frames."""
    controller, latency = Controller(config), min(latency, 1 / fps)
    frame = scene.look()
    camera = camera_of_fov(frame.image.shape[1], frame.image.shape[0], fov)
    for index in range(round(seconds * fps)):
        taken = scene.time
        if index:
            frame = scene.look()
            estimate = tracker.update(frame.image, round(taken * 1e9))
        else:
            assert frame.box is not None, "a flight range begins with its target in view"
            estimate = tracker.init(frame.image, frame.box, round(taken * 1e9))
        scene.step(latency)
        direction = Direction.of_point(camera, estimate.box.center)
        command = controller.see(scene.time, estimate.state.value, direction, latency)
        scene.mount.command(command.yaw, command.pitch)
        yield Moment(taken, frame, estimate, controller.mode, command)
        scene.step(1 / fps - latency)


def summarize(moments: list[Moment]) -> dict[str, float]:
    """Shares of the frames, 0 to 1, but for `seconds`."""
    overlaps = [m.estimate.box.iou(m.frame.box) if m.frame.box else 0.0 for m in moments]
    accepted = [m.estimate.state.value == "tracking" for m in moments]
    return {
        "seconds": moments[-1].time - moments[0].time,
        "in the middle third": float(np.mean([m.frame.in_middle_third for m in moments])),
        "tracking": float(np.mean(accepted)),
        "tracking something else": float(
            np.mean([a and o < ON_TARGET for a, o in zip(accepted, overlaps, strict=True)])
        ),
        "target hidden": float(np.mean([m.frame.box is None for m in moments])),
        "driving": float(np.mean([not m.command.is_zero for m in moments])),
    }
