"""Feed a tracker node at random: `python -m sot_tracker.ros_tools.fuzz --messages 100000`.

Node and sender live in this process and talk over DDS. Sent are frames of every encoding, good and damaged, boxes and
all other requests for a target, parameters, lifecycle requests; the publisher is replaced by one of another type or
reliability, and the clock jumps. Whatever is sent, the node lives, its answers obey the rules of `resources.Watch`, its
log lines are single lines, and its memory is bounded. Figures are printed as JSON; the exit status is 1 where a rule
was broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import traceback
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sot_tracker import opencv_environment

opencv_environment.prepare()  # as the node's own start does, before OpenCV is imported

import rclpy
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Log, Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D

from sot_tracker.config import OPTIONS
from sot_tracker.ros import messages
from sot_tracker.ros.node import TrackerNode
from sot_tracker.ros_tools.fuzz_frames import FrameMaker
from sot_tracker.ros_tools.fuzz_inputs import ODD_NUMBERS, InputMaker
from sot_tracker.ros_tools.resources import Watch, resources_of

NAMESPACE = "/sot_fuzz"
SAMPLE = 1000  # messages between two measurements of the memory
GROWTH = 1.5
"""Times the memory after the first tenth that is allowed at the end: frames of all sizes come and go."""
_TRANSITIONS = (0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 60, 99)


class Sender(Node):
    """Sends, and hears all that the node says."""

    def __init__(self, rng: random.Random, context: Context) -> None:
        super().__init__("sender", namespace=NAMESPACE, context=context)
        self.watch, self.counts, self._rng = Watch(), Counter[str](), rng
        self._frames = FrameMaker(rng)
        self._stamp, self._number = 10**12, 0
        self._images: Any = None
        self.replace_publisher()
        self._boxes = self.create_publisher(Detection2D, "init_box", QoSProfile(depth=10))
        self._inputs = InputMaker(rng, self)
        many = QoSProfile(depth=1000)
        self.create_subscription(messages.state_type(), "state", self._on_state, many)
        self.create_subscription(Detection2D, "detection", self.watch.see_detection, many)
        self.create_subscription(Log, "/rosout", self._on_log, many)
        self._callers = {
            kind: self.create_client(kind, f"tracker_node/{name}")
            for kind, name in ((ChangeState, "change_state"), (SetParameters, "set_parameters"), (Trigger, "stop"))
        }
        self._seen = (0, 0, 0)

    def replace_publisher(self) -> None:
        """Replace a publisher by one of another message type or reliability."""
        if self._images is not None:
            self.destroy_publisher(self._images)
        reliability = self._rng.choice((ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT))
        kind = self._frames.choose_type()
        self._images = self.create_publisher(kind, "image", QoSProfile(depth=1, reliability=reliability))

    def send_frame(self) -> None:
        message = self._frames.message()
        self._stamp += 33_000_000
        stamp = self._rng.choices((self._stamp, 0, self._rng.randrange(2**60)), (100, 1, 0.1))[0]
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        message.header.frame_id = str(self._number)
        self.watch.stamps[self._number] = (message.header.stamp.sec, message.header.stamp.nanosec)
        self.watch.stamps.pop(self._number - 2000, None)
        self._number += 1
        self._images.publish(message)

    def send_box(self) -> None:
        rng = self._rng
        message = Detection2D(id=rng.choice(("", "", "person 7", "\n", "x" * 500)))
        numbers = [rng.uniform(0, 160), rng.uniform(0, 120), rng.uniform(5, 60), rng.uniform(5, 60)]
        if rng.random() < 0.3:
            numbers[rng.randrange(4)] = rng.choice((*ODD_NUMBERS, rng.uniform(-1e4, 1e4)))
        center, box = message.bbox.center.position, message.bbox
        center.x, center.y, box.size_x, box.size_y = numbers
        stamp = rng.choice((0, 0, self._stamp, max(0, self._stamp - rng.randrange(10**9)), rng.randrange(2**60)))
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        self._boxes.publish(message)

    def send_input(self) -> None:
        """A request by another way than `init_box`."""
        self._inputs.send(self._stamp)

    def jump(self) -> None:
        """The camera's clock."""
        self._stamp = max(10**9, self._stamp + self._rng.choice((-1, 1)) * self._rng.randrange(10**11))

    def set_parameters(self) -> None:
        names = self._rng.sample([*OPTIONS, "use_sim_time", "no_such"], self._rng.randint(1, 2))
        values = [self._parameter_value(name) for name in names]
        changes = [Parameter(name=name, value=value) for name, value in zip(names, values, strict=True)]
        self._call(SetParameters, SetParameters.Request(parameters=changes))

    def change_state(self, transition: int | None = None) -> None:
        request = ChangeState.Request()
        request.transition.id = self._rng.choice(_TRANSITIONS) if transition is None else transition
        self._call(ChangeState, request)

    def stop(self) -> None:
        self._call(Trigger, Trigger.Request())

    def _call(self, kind: Any, request: Any) -> None:
        if self._callers[kind].service_is_ready():
            self._callers[kind].call_async(request)

    def _parameter_value(self, name: str) -> ParameterValue:
        """Mostly one that keeps the node usable: another model or engine would only be slow."""
        rng, kinds = self._rng, ParameterType
        if name in ("model", "engine", "device", "weights", "precision", "use_sim_time", "autostart"):
            text = rng.choice(("kcf", "auto", "", "bogus", "\n"))
            return ParameterValue(type=kinds.PARAMETER_STRING, string_value=text)
        if name in ("select", "select_value") and rng.random() < 0.8:
            text = rng.choice(("best", "nearest", "class", "id", "off", "person", "7", "80,60", ""))
            return ParameterValue(type=kinds.PARAMETER_STRING, string_value=text)
        number = rng.choice((*ODD_NUMBERS, rng.uniform(-1, 1), rng.uniform(0, 300)))
        box = rng.choice(([number] * 4, [20.0, 40.0, 28.0, 28.0]))
        return rng.choice(
            (
                ParameterValue(type=kinds.PARAMETER_DOUBLE, double_value=number),
                ParameterValue(type=kinds.PARAMETER_INTEGER, integer_value=rng.randrange(-5, 400)),
                ParameterValue(type=kinds.PARAMETER_INTEGER, integer_value=2**62),
                ParameterValue(type=kinds.PARAMETER_BOOL, bool_value=True),
                ParameterValue(type=kinds.PARAMETER_STRING, string_value=rng.choice(("auto", "raw", "", "x" * 9999))),
                ParameterValue(type=kinds.PARAMETER_DOUBLE_ARRAY, double_array_value=array("d", box)),
                ParameterValue(type=kinds.PARAMETER_NOT_SET),
            )
        )

    def _on_state(self, message: Any) -> None:
        self.watch.see_state(message)
        seen = (message.frames_processed, message.frames_dropped, message.frames_refused)
        before = self._seen if seen[0] >= self._seen[0] else (0, 0, 0)  # counts begin anew at each activation
        for name, now, old in zip(("frames processed", "frames dropped", "frames refused"), seen, before, strict=True):
            self.counts[name] += max(0, now - old)
        self._seen = seen

    def _on_log(self, message: Log) -> None:
        if not message.name.endswith("tracker_node"):
            return
        self.counts[f"log lines of level {message.level}"] += 1
        if "\n" in message.msg:
            self.watch.report(f"log entry of several lines: {message.msg[:200]!r}")
        if message.msg.startswith("frame failed"):
            self.watch.report(message.msg[:200])


class Run:
    """A node and its sender, as two DDS participants: one alone cannot know a topic under two message types."""

    def __init__(self, seed: int, model: str) -> None:
        self._rng = random.Random(seed)
        self._model = model
        self._context = Context()
        self._context.init(args=[])
        self.sender = Sender(self._rng, self._context)
        self.counts = self.sender.counts
        self._hearing = SingleThreadedExecutor(context=self._context)
        self._hearing.add_node(self.sender)
        self._executor = SingleThreadedExecutor()
        self._node: TrackerNode | None = None
        self._actions = {
            "frames": (self.sender.send_frame, 860),
            "boxes": (self.sender.send_box, 90),
            "other requests": (self.sender.send_input, 40),
            "parameter sets": (self.sender.set_parameters, 20),
            "lifecycle requests": (self.sender.change_state, 7),
            "publishers replaced": (self.sender.replace_publisher, 5),
            "clock jumps": (self.sender.jump, 3),
            "stops": (self.sender.stop, 5),
        }

    def step(self) -> None:
        """Send one thing and let the node handle it."""
        if self._node is None:
            self._start_node()
        names, weights = list(self._actions), [weight for _, weight in self._actions.values()]
        name = self._rng.choices(names, weights)[0]
        self.counts[name] += 1
        self._actions[name][0]()
        self._spin(20 if name in ("lifecycle requests", "publishers replaced") else 2)
        self._hear(10)
        if name == "lifecycle requests" or self._rng.random() < 0.01:
            for transition in (1, 3):  # configure and activate, so that it is active most of the time
                self.sender.change_state(transition)
                self._spin(5)

    def close(self) -> None:
        self._drop_node()
        self._hear(1)
        self._hearing.shutdown()
        self.sender.destroy_node()
        self._context.try_shutdown()

    def _spin(self, times: int) -> None:
        for _ in range(times):
            try:
                self._executor.spin_once(timeout_sec=0)
            except Exception as error:  # would have ended a node process
                last = traceback.extract_tb(error.__traceback__)[-1]
                self.sender.watch.report(f"death: {type(error).__name__}: {error} at {last.filename}:{last.lineno}")
                self.counts["deaths"] += 1
                self._drop_node()
                return
        if self._node is not None and self._node._state_machine.current_state[1] == "finalized":
            self.counts["nodes shut down by request"] += 1
            self._drop_node()

    def _hear(self, steps: int) -> None:
        """What the node has said, once in so many steps: waiting costs more than hearing, and the queues are long."""
        if sum(self.counts[name] for name in self._actions) % steps == 0:
            for _ in range(3 * steps):
                self._hearing.spin_once(timeout_sec=0)

    def _start_node(self) -> None:
        overrides = [rclpy.parameter.Parameter("model", value=self._model)]
        self._node = TrackerNode(namespace=NAMESPACE, parameter_overrides=overrides)
        self._node.start()
        self._executor.add_node(self._node)
        self._spin(20)

    def _drop_node(self) -> None:
        if self._node is not None:
            self._executor.remove_node(self._node)
            self._node.destroy_node()
            self._node = None


def fuzz(count: int, seed: int, model: str, minutes: float = 60.0) -> dict[str, Any]:
    """The figures of a run of that many messages, or minutes if these are over first. rclpy must be initialised."""
    run, memory = Run(seed, model), []
    end, sent = time.monotonic() + 60 * minutes, 0
    start = time.monotonic()
    try:
        while sent < count and time.monotonic() < end:
            run.step()
            sent += 1
            if sent % SAMPLE == 0 or sent == max(1, count // 10):
                memory.append(resources_of())
    finally:
        run.close()
    watch, settled = run.sender.watch, memory[len(memory) // 10 :]
    if settled and settled[-1].rss_mb > GROWTH * settled[0].rss_mb:
        watch.report(f"memory grew from {settled[0].rss_mb:.0f} to {settled[-1].rss_mb:.0f} MiB")
    return {
        "messages": sent,
        "seconds": round(time.monotonic() - start, 1),
        "model": model,
        "seed": seed,
        **{name: run.counts[name] for name in ("deaths", *sorted(run.counts.keys() - {"deaths"}))},
        "states": watch.states,
        "detections": watch.detections,
        "lost": watch.lost,
        "memory MiB": [round(item.rss_mb) for item in memory[:: max(1, len(memory) // 10)]],
        "threads": [memory[0].threads, memory[-1].threads] if memory else [],
        "files": [memory[0].files, memory[-1].files] if memory else [],
        "rules broken": watch.broken,
        "faults": watch.faults,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=100_000, help="how many things to send (100000)")
    parser.add_argument("--minutes", type=float, default=60.0, help="end after this many minutes (60)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed sends the same (0)")
    parser.add_argument("--model", default="kcf", help="tracker of the node (kcf)")
    args = parser.parse_args(argv)
    rclpy.init(args=["--ros-args", "--disable-stdout-logs"], signal_handler_options=SignalHandlerOptions.NO)
    try:
        figures = fuzz(args.messages, args.seed, args.model, args.minutes)
    finally:
        rclpy.try_shutdown()
    print(json.dumps(figures, indent=1))
    return 1 if figures["rules broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
