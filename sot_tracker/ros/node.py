"""`tracker_node`: images and one box in, one Detection2D per frame out. docs/ros.md lists topics and parameters."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import NameValidationException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from sot_tracker.box import Box
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.loading import load_trackers
from sot_tracker.ros import parameters
from sot_tracker.ros.pipeline import Pipeline
from sot_tracker.ros.process import run
from sot_tracker.ros.publishers import Outputs
from sot_tracker.stream.requests import Request
from sot_tracker.tracker import Tracker

READ_AT_START = ("autostart",)
"""Parameters that are only read at start, so that setting them later would have no effect."""


class TrackerNode(LifecycleNode):
    """The lifecycle of a `Pipeline`: configure reads the parameters and loads the model, activate subscribes."""

    def __init__(self, **options: Any) -> None:
        """options: arguments of rclpy's Node. Raises UserError for an invalid parameter."""
        super().__init__("tracker_node", **options)
        self._config = parameters.declare(self, Config, READ_AT_START)
        self._trackers: list[Tracker] = []
        self._outputs: Outputs | None = None
        self._pipeline: Pipeline | None = None
        self._first: Request | None = None  # the box parameter, until it started a target
        self._failed = False
        self.add_on_set_parameters_callback(self._check_change)
        # rclpy's own service ends the process when a transition is not allowed now (ros2/rclpy#1209).
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state

    def start(self) -> None:
        """Configure and activate, if `autostart`. Raises UserError, for example for a model that cannot be loaded."""
        if not self._config.autostart:
            return
        self._trackers = self._load()  # not in the transition, which could not report why it failed
        for step in (self.trigger_configure, self.trigger_activate):
            if step() != TransitionCallbackReturn.SUCCESS:
                raise UserError("the node could not be started: see above")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt(self._configure) or super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = super().on_activate(state)
        return self._attempt(self._activate) or done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._failed:  # a failed transition is the only way from the active to the error state
            return TransitionCallbackReturn.ERROR
        self._deactivate()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._clean_up()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._deactivate()
        self._clean_up()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._deactivate()
        self._clean_up()
        self._failed = False
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Release what an active or configured node holds too: the network, threads, and files being written."""
        self._deactivate()
        self._clean_up()
        super().destroy_node()

    def give_up(self, reason: str) -> None:
        """Go from active through the error state to unconfigured. The process and its services continue."""
        self.get_logger().fatal(f"{reason}: the node is unconfigured now; configure and activate it to try again")
        self._failed = True
        self.trigger_deactivate()

    def _configure(self) -> None:
        self._config = parameters.read(self, Config)
        self._trackers = self._trackers or self._load()
        self._outputs = Outputs(self)
        self._first = Request(Box.from_xywh(self._config.init_box)) if self._config.init_box else None

    def _activate(self) -> None:
        assert self._outputs is not None
        self._pipeline = Pipeline(self, self._config, self._trackers, self._outputs, self._first, self.give_up)

    def _deactivate(self) -> None:
        if self._pipeline is not None:
            waiting = self._pipeline.close()
            # Once the box parameter has started a target, it is not used again: the target has moved since.
            self._first = self._first if self._first in waiting else None
        self._pipeline = None

    def _clean_up(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
        self._trackers = []
        self._outputs = self._first = None

    def _load(self) -> list[Tracker]:
        with parameters.explained(self, Config):
            try:
                trackers = load_trackers(self._config, realtime=self._config.propagate == "auto")
            except OSError as error:  # a name that no file can have
                name = str(error.filename)[:60]
                raise UserError(f"the model cannot be loaded: {error.strerror}: '{name}'") from None
        info = trackers[0].info
        self.get_logger().info(f"model {info.name}: {info.description}")
        return trackers

    def _attempt(self, action: Callable[[], None]) -> TransitionCallbackReturn | None:
        """Run the action. Returns None if it succeeded; errors are logged here, since rclpy would ignore them."""
        try:
            action()
        except (UserError, NameValidationException) as error:
            self.get_logger().error(" ".join(str(error).split()))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            if self.context.ok():  # otherwise a signal has shut ROS down meanwhile
                self.get_logger().fatal(traceback.format_exc())
            raise
        return None

    def _on_change_state(self, request: Any, response: Any) -> Any:
        try:
            return self._change_state(request, response)
        except RuntimeError:  # the class that rcl raises is not public
            if not self.context.ok():
                raise
            now = self._state_machine.current_state[1]
            self.get_logger().warning(f"transition {request.transition.id} is not possible while the node is {now}")
            response.success = False
            return response

    def _check_change(self, changes: list[Parameter]) -> SetParametersResult:
        result = parameters.check_change(self, changes, Config, frozen=self._outputs is not None)
        if result.successful and self._pipeline is not None:
            self._pipeline.notice([change.name for change in changes])
        return result


def main() -> int:
    def make() -> TrackerNode:
        node = TrackerNode()
        node.start()
        return node

    return run(make)


if __name__ == "__main__":
    sys.exit(main())
