"""Run a tracker node for long: `python -m sot_tracker.ros_tools.soak --minutes 60`.

A camera process sends VGA frames at 30 Hz (`soak_camera`: the target is lost and found, the clock jumps). It is killed
and started again once a minute, at times with another size or reliability. After the first rounds the node's memory is
flat within 5 %, it gains no thread and no file, and no answer is for an older frame than the one before it. Figures are
printed as a table, or as JSON; the exit status is 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from vision_msgs.msg import Detection2D

from sot_tracker.errors import UserError
from sot_tracker.ros import messages
from sot_tracker.ros_tools import harness
from sot_tracker.ros_tools.resources import Resources, Watch, resources_of
from sot_tracker.ros_tools.soak_camera import APART, Scene

NAMESPACE = "/sot_soak"
VGA, SMALL = (640, 480), (320, 240)
CAMERAS = ((VGA, False), (VGA, True), (SMALL, False))
"""Size and whether it offers best effort only, in turn; rounds are compared with rounds of the same camera."""
GROWTH = 1.05
SAMPLE = 1.0  # seconds
PATIENCE = 120.0  # seconds, until the node or a camera has started


@dataclass(frozen=True, slots=True)
class Round:
    """One life of the camera. rss_mb: median; threads, files: most at any time; overlap: mean IoU with the truth."""

    number: int
    size: tuple[int, int]
    states: int
    detections: int
    lost: int
    overlap: float
    rss_mb: float
    threads: int
    files: int


class Listener(Node):
    """Checks what the node says, and compares its boxes with the truth of the frame they are for."""

    def __init__(self) -> None:
        super().__init__("listener", namespace=NAMESPACE)
        self.watch, self.overlaps = Watch(), list[float]()
        self._scene, self._first = Scene(*VGA), 0
        many = QoSProfile(depth=100)
        self.create_subscription(messages.state_type(), "state", self.watch.see_state, many)
        self.create_subscription(Detection2D, "detection", self._on_detection, many)

    def begin(self, size: tuple[int, int], first: int) -> None:
        """Another camera, whose frames are numbered from `first`."""
        self.overlaps.clear()
        self._scene, self._first = Scene(*size), first

    def _on_detection(self, message: Detection2D) -> None:
        number = self.watch.see_detection(message)
        truth = None if number is None or number < self._first else self._scene.box(number)
        if truth is not None:
            self.overlaps.append(messages.box_of(message).iou(truth))


def soak(minutes: float, period: float, model: str) -> tuple[list[Round], list[str]]:
    """The rounds, of `period` seconds each, and what was wrong. Raises UserError where the node ends."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    rounds: list[Round] = []
    try:
        listener, executor = Listener(), SingleThreadedExecutor()
        executor.add_node(listener)
        with tempfile.TemporaryFile("w+") as log:
            words = harness.arguments({"model": model}, NAMESPACE)
            with harness.process("tracker_node", words, stderr=log) as node:
                _wait(executor, lambda: listener.count_publishers("state") > 0, node, "the node's topics")
                end = time.monotonic() + 60 * minutes
                while time.monotonic() < end:
                    size, best_effort = CAMERAS[len(rounds) % len(CAMERAS)]
                    first = APART * len(rounds)
                    listener.begin(size, first)
                    with _camera(size, best_effort, first):
                        rounds.append(_round(len(rounds), size, listener, executor, node, period))
                    print(_line(rounds[-1]), file=sys.stderr, flush=True)
            log.seek(0)
            complaints = [line for line in log if "Traceback" in line or "frame failed" in line or "[FATAL]" in line]
        faults = listener.watch.faults + [line.strip() for line in complaints]
        return rounds, faults + bounds_broken(rounds)
    finally:
        rclpy.try_shutdown()


def _round(
    number: int,
    size: tuple[int, int],
    listener: Listener,
    executor: SingleThreadedExecutor,
    node: subprocess.Popen[Any],
    period: float,
) -> Round:
    watch, samples = listener.watch, list[Resources]()
    before = (watch.states, watch.detections, watch.lost)
    _wait(executor, lambda: watch.states > before[0], node, "the first state")
    end = time.monotonic() + period
    while time.monotonic() < end:
        harness.spin_until(executor, lambda: False, min(SAMPLE, period / 5))
        _require_alive(node)
        samples.append(resources_of(node.pid))
    states, detections, lost = (
        now - old for now, old in zip((watch.states, watch.detections, watch.lost), before, strict=True)
    )
    return Round(
        number=number,
        size=size,
        states=states,
        detections=detections,
        lost=lost,
        overlap=statistics.fmean(listener.overlaps) if listener.overlaps else 0.0,
        rss_mb=statistics.median(item.rss_mb for item in samples),
        threads=max(item.threads for item in samples),
        files=max(item.files for item in samples),
    )


def _wait(executor: SingleThreadedExecutor, condition: Callable[[], bool], node: Any, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not harness.spin_until(executor, condition, 0.5):
        _require_alive(node)
        if time.monotonic() > end:
            raise UserError(f"{what} did not come within {PATIENCE:g} s")


def _require_alive(node: Any) -> None:
    if node.poll() is not None:
        raise UserError(f"tracker_node ended with status {node.returncode}")


def bounds_broken(rounds: Sequence[Round]) -> list[str]:
    """Each camera's last round against its second, since in the first ones pools and caches fill."""
    broken = [f"no state in round {item.number}" for item in rounds if item.states == 0]
    if not any(item.detections for item in rounds):
        broken.append("no detection at all")
    for first in range(len(CAMERAS)):
        own = rounds[len(CAMERAS) + first :: len(CAMERAS)]
        if len(own) < 2:
            continue
        start, last = own[0], own[-1]
        if last.rss_mb > GROWTH * start.rss_mb:
            broken.append(f"memory: {start.rss_mb:.1f} MiB in round {start.number}, {last.rss_mb:.1f} in {last.number}")
        for name in ("threads", "files"):
            if getattr(last, name) > getattr(start, name):
                broken.append(
                    f"{name}: {getattr(start, name)} in round {start.number}, {getattr(last, name)} in {last.number}"
                )
    return broken


@contextmanager
def _camera(size: tuple[int, int], best_effort: bool, first: int) -> Iterator[None]:
    command = [
        sys.executable,
        "-m",
        "sot_tracker.ros_tools.soak_camera",
        "--namespace",
        NAMESPACE,
        "--first",
        str(first),
    ]
    command += ["--size", *map(str, size)] + (["--best-effort"] if best_effort else [])
    with subprocess.Popen(command, env=harness.environment()) as child:
        try:
            yield
        finally:
            child.send_signal(signal.SIGKILL)  # as a driver that crashes


def _line(item: Round) -> str:
    return (
        f"round {item.number:3d}  {item.size[0]}x{item.size[1]}  states {item.states:5d}  detections "
        f"{item.detections:5d}  lost {item.lost:5d}  overlap {item.overlap:.2f}  memory {item.rss_mb:6.1f} MiB  "
        f"threads {item.threads}  files {item.files}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--period", type=float, default=60.0, help="seconds until the camera is killed (60)")
    parser.add_argument("--model", default="kcf", help="tracker of the node (kcf)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args(argv)
    try:
        rounds, broken = soak(args.minutes, args.period, args.model)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps({"rounds": [asdict(item) for item in rounds], "broken": broken}, indent=1))
    print("\n".join([*map(_line, rounds), *(f"broken: {text}" for text in broken)] or ["no round"]))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
