"""Our nodes as child processes over real DDS, and a recorder of what they publish."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from vision_msgs.msg import Detection2D

from sot_tracker.errors import UserError
from sot_tracker.ros import messages
from sot_tracker.ros.paths import large_segment

Spin = Callable[[Callable[[], bool], float], bool]
"""Spins until a condition holds; whether it did within so many seconds."""

_PROGRAM = (  # as scripts/ do
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "from sot_tracker.ros.main import launch; sys.exit(launch({!r}))"
)


def environment() -> dict[str, str]:
    """The child's environment: ours, with the large shared-memory segment unless the user chose profiles."""
    return {**large_segment(), **os.environ}


def arguments(parameters: Mapping[str, Any], namespace: str = "", remap: Mapping[str, str] | None = None) -> list[str]:
    """`--ros-args ...` for these parameters; empty tuples are left out, since ROS has no empty array."""
    given = {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}
    words = ["--ros-args"]
    for name, value in given.items():
        if value != []:
            words += ["-p", f"{name}:={json.dumps(value)}"]
    for old, new in {**({"__ns": namespace} if namespace else {}), **(remap or {})}.items():
        words += ["-r", f"{old}:={new}"]
    return words


@contextmanager
def process(name: str, words: list[str], **popen: Any) -> Iterator[subprocess.Popen[Any]]:
    """A running node; on leaving it gets SIGINT, as from Ctrl-C, and is waited for.

    Raises UserError if it is still there after ten seconds (then it is killed).
    """
    command = [sys.executable, "-c", _PROGRAM.format(name), *words]
    with subprocess.Popen(command, env=environment(), **popen) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                raise UserError(f"{name} did not end within 10 s of SIGINT") from None


@dataclass
class Recording:
    """What the tracker node published: states and detections by stamp in nanoseconds, the last of each stamp.

    diagnostics: the newest values.
    """

    states: dict[int, Any] = field(default_factory=dict)
    detections: dict[int, Any] = field(default_factory=dict)
    diagnostics: dict[str, str] = field(default_factory=dict)


class Recorder(Node):
    """Listens to a tracker node of its own namespace."""

    def __init__(self, namespace: str = "", context: Any = None) -> None:
        super().__init__("recorder", namespace=namespace, context=context)
        self.recording = Recording()
        state_type = messages.state_type()
        if state_type is None:
            raise UserError(
                "sot_tracker/TrackerState was not generated: build the package (`make build`) and source it"
            )
        self._listening = [
            self.create_subscription(state_type, "state", self._on_state, QoSProfile(depth=100)),
            self.create_subscription(Detection2D, "detection", self._on_detection, QoSProfile(depth=100)),
            self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10)),
        ]

    def _on_state(self, message: Any) -> None:
        self.recording.states[messages.stamp_of(message.header)] = message

    def _on_detection(self, message: Detection2D) -> None:
        self.recording.detections[messages.stamp_of(message.header)] = message

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith(f"{self.get_namespace().rstrip('/')}/"):
                self.recording.diagnostics = {item.key: item.value for item in status.values}


def spin_until(executor: SingleThreadedExecutor, condition: Callable[[], bool], timeout: float) -> bool:
    """Spin until the condition holds; whether it did within `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        executor.spin_once(timeout_sec=0.05)
    return True


@contextmanager
def interrupt_between() -> Iterator[Callable[[], None]]:
    """Ctrl-C and SIGTERM are remembered; calling what this yields, or leaving, raises them as KeyboardInterrupt.

    Raised while rclpy converts a message (one in a thousand times) it surfaces as a RuntimeError of pybind11's.
    For the main thread, as all that has to do with signals.
    """
    received: list[int] = []

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)  # at SIGTERM too the children must be ended
    before = [signal.signal(number, lambda number, _frame: received.append(number)) for number in numbers]
    try:
        yield check
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        check()  # also in place of the complaint that a node, interrupted like us, has ended


def play(
    player: Mapping[str, Any],
    tracker: Mapping[str, Any],
    namespace: str,
    tick: Callable[[Recording], None] | None = None,
) -> Recording:
    """Run player and tracker node, with these parameters, to the end of the clip.

    tick: called about 20 times per second, for a progress bar. Raises UserError if one of the two fails.
    """
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # Ctrl-C is Python's own, and ends us
    try:
        recorder = Recorder(namespace)
        executor = SingleThreadedExecutor()
        executor.add_node(recorder)
        with interrupt_between() as check:

            def spin(condition: Callable[[], bool], timeout: float) -> bool:
                check()
                return spin_until(executor, condition, timeout)

            with process("tracker_node", arguments(tracker, namespace)) as node:
                _wait_for(spin, recorder, node)
                with process("player", arguments(player, namespace)) as source:
                    _follow(spin, recorder, node, source, tick)
                _drain(spin, recorder)
        if node.returncode:
            raise UserError(f"tracker_node ended with status {node.returncode}: see its output above")
        return recorder.recording
    finally:
        rclpy.try_shutdown()


def _wait_for(spin: Spin, recorder: Recorder, node: subprocess.Popen[Any]) -> None:
    """Until the node is active and hears us: diagnostics are the last that it matches, so the rest is matched too."""
    while not spin(lambda: bool(recorder.recording.diagnostics), 0.5):
        _require_running(node)


def _require_running(node: subprocess.Popen[Any]) -> None:
    if node.poll() is not None:
        raise UserError(f"tracker_node ended with status {node.returncode}: see its output above")


def _follow(
    spin: Spin,
    recorder: Recorder,
    node: subprocess.Popen[Any],
    source: subprocess.Popen[Any],
    tick: Callable[[Recording], None] | None,
) -> None:
    while source.poll() is None:
        _require_running(node)
        spin(lambda: source.poll() is not None, 0.05)
        if tick is not None:
            tick(recorder.recording)
    if source.returncode:
        raise UserError(f"player ended with status {source.returncode}: see its output above")


def _drain(spin: Spin, recorder: Recorder) -> None:
    """Wait for the last results and, so that they cover every frame, for two more diagnostics."""
    seen: list[dict[str, str]] = [recorder.recording.diagnostics]

    def reported_twice() -> bool:
        if recorder.recording.diagnostics is not seen[-1]:
            seen.append(recorder.recording.diagnostics)
        return len(seen) > 2

    spin(reported_twice, 5.0)
