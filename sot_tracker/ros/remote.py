"""A tracker node in another process: receiving its reports, and requests to start, stop and change its model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection2D

from sot_tracker.errors import MissingPackage
from sot_tracker.ros import messages
from sot_tracker.stream.joining import Joiner
from sot_tracker.stream.reports import Answer, Report
from sot_tracker.stream.requests import Request

_AGAIN = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
_AWAY = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)


class Reports:
    """Subscribes to `state` and `detection`, and calls `receive` with every report. Raises MissingPackage."""

    def __init__(self, node: Node, joiner: Joiner, receive: Callable[[Report], None]) -> None:
        self._node, self._joiner, self._receive = node, joiner, receive
        kind = messages.state_type()
        if kind is None:
            raise MissingPackage("sot_tracker.msg", "this node", "colcon build")
        self._subscriptions = [  # in the order in which the tracker node publishes
            node.create_subscription(Detection2D, "detection", self._on_detection, QoSProfile(depth=10)),
            node.create_subscription(kind, "state", self._on_state, QoSProfile(depth=10)),
        ]

    def close(self) -> None:
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_state(self, message: Any) -> None:
        self.take(self._joiner.state(messages.report_of_state(message)))

    def _on_detection(self, message: Detection2D) -> None:
        self.take(self._joiner.detection(messages.stamp_of(message.header), messages.box_of(message), message.id))

    def take(self, report: Report | None) -> None:
        """Pass on a report of the joiner, if there is one."""
        if report is not None:
            self._receive(report)


class RemoteTracker:
    """A `Control` of the tracker node of that name, relative to this node's namespace.

    Requests may be made from any thread; they are executed in the executor's thread. started: called with the id of a
    target that was started by a request. Call `watch` regularly, so that requests to a node that ended are answered.
    """

    def __init__(self, node: Node, name: str, started: Callable[[str], None]) -> None:
        self._node, self._name, self._started = node, name, started
        self._boxes = node.create_publisher(Detection2D, "init_box", QoSProfile(depth=10))
        init = messages.init_type()
        self._init = node.create_client(init, f"{name}/init") if init is not None else None
        self._stop = node.create_client(Trigger, f"{name}/stop")
        self._get = node.create_client(GetParameters, f"{name}/get_parameters")
        self._set = node.create_client(SetParameters, f"{name}/set_parameters")
        self._change = node.create_client(ChangeState, f"{name}/change_state")
        self._requested: deque[Callable[[], None]] = deque()
        self._waiting: dict[Any, tuple[Any, Answer]] = {}  # future of a service call -> its client and callback
        self._guard = node.create_guard_condition(self._serve)

    def start(self, request: Request, answer: Answer) -> None:
        self._ask(lambda: self._start(request, answer))

    def stop(self, answer: Answer) -> None:
        self._ask(lambda: self._call(self._stop, Trigger.Request(), lambda _: answer(""), answer))

    def choose(self, model: str, answer: Answer) -> None:
        """The node reads `model` when it is configured: clean it up, set the parameter, configure and activate it."""

        def set_up(refused: str) -> None:
            if refused:
                answer(refused)
            else:
                self._transitions(_AGAIN, lambda failed: answer(failed and self._not_loaded(model)))

        def down(failed: str) -> None:
            if failed:
                answer(failed)
            else:
                self._set_model(model, set_up)

        self._ask(lambda: self._transitions(_AWAY, down))

    def ask_model(self, receive: Callable[[str], None]) -> bool:
        """Request the name of the node's model. Returns False if there is no such node.

        `receive` is called with the name; it is not called if the node has no such parameter.
        """

        def found(answer: Any) -> None:
            for value in answer.values:
                receive(str(value.string_value))

        ready = self._get.service_is_ready()
        if ready:
            self._call(self._get, GetParameters.Request(names=["model"]), found, lambda _: None)
        return bool(ready)

    def watch(self) -> None:
        """Answer the calls to a node that has ended. Slow calls to a running node, as to load a model, continue."""
        for future, (client, answer) in list(self._waiting.items()):
            if not client.service_is_ready():
                del self._waiting[future]
                client.remove_pending_request(future)
                answer(f"{self._name} ended before it answered")

    def _ask(self, action: Callable[[], None]) -> None:
        self._requested.append(action)
        self._guard.trigger()

    def _serve(self) -> None:
        while self._requested:
            self._requested.popleft()()

    def _start(self, request: Request, answer: Answer) -> None:
        message = messages.detection_of(request.box, 1.0, Image().header, request.target_id)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(request.stamp, 1_000_000_000)
        if self._init is not None and self._init.service_is_ready():
            call = self._init.srv_type.Request(target=message)
            self._call(self._init, call, lambda done: self._on_init(done, answer), answer)
        elif self._boxes.get_subscription_count():
            self._boxes.publish(message)
            answer("")
        else:
            answer(self._absent())

    def _on_init(self, done: Any, answer: Answer) -> None:
        if done.accepted and done.target_id:
            self._started(done.target_id)
        answer("" if done.accepted else done.message)

    def _absent(self) -> str:
        return f"there is no active tracker node '{self._name}': start it, or name another in the parameter `tracker`"

    def _not_loaded(self, model: str) -> str:
        return f"{self._name} could not load {model}: see its log, and choose another model"

    def _call(self, client: Any, request: Any, receive: Callable[[Any], None], answer: Answer) -> None:
        """Call a service without waiting. `answer` is called with the reason if that fails."""
        if not client.service_is_ready():
            answer(self._absent())
            return

        def done(future: Any) -> None:
            if self._waiting.pop(future, None) is None:
                return  # given up
            error = future.exception()
            if error is None:
                receive(future.result())
            else:
                answer(f"{client.srv_name}: {error}")

        future = client.call_async(request)
        self._waiting[future] = client, answer
        future.add_done_callback(done)

    def _transitions(self, steps: tuple[int, ...], finish: Answer) -> None:
        """Make one transition after the other, then call `finish` with "", or with the reason if one fails.

        Failures of `_AWAY` transitions are ignored: they fail if the node is already inactive or unconfigured.
        """
        if not steps:
            finish("")
            return

        def received(result: Any) -> None:
            if result.success or steps[0] in _AWAY:
                self._transitions(steps[1:], finish)
            else:
                finish(f"{self._name} could not change its lifecycle state: see its log")

        request = ChangeState.Request(transition=Transition(id=steps[0]))
        self._call(self._change, request, received, finish)

    def _set_model(self, model: str, finish: Answer) -> None:
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=model)
        request = SetParameters.Request(parameters=[Parameter(name="model", value=value)])
        self._call(self._set, request, lambda done: finish(_refusal(done.results[0])), finish)


def _refusal(result: Any) -> str:
    return "" if result.successful else str(result.reason) or "the parameter was refused"
