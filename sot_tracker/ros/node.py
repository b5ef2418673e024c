"""`tracker_node`: images and one box in, one Detection2D per frame out. docs/ros.md lists topics and parameters."""

from __future__ import annotations

import dataclasses
import sys
import traceback
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from sot_tracker.config import OPTIONS, Config, Scope
from sot_tracker.errors import UserError
from sot_tracker.loading import load
from sot_tracker.ros import parameters
from sot_tracker.ros.pipeline import Pipeline
from sot_tracker.ros.process import run
from sot_tracker.ros.publishers import Outputs
from sot_tracker.tracker import Tracker


class TrackerNode(LifecycleNode):
    """Lifecycle around a `Pipeline`: configure loads the model, activate subscribes."""

    def __init__(self, **options: Any) -> None:
        """options: of rclpy's Node. Raises UserError for a parameter that is not possible."""
        super().__init__("tracker_node", **options)
        self._config = parameters.declare(self, Config)
        self._tracker: Tracker | None = None
        self._outputs: Outputs | None = None
        self._pipeline: Pipeline | None = None
        self.add_on_set_parameters_callback(self._judge)

    def start(self) -> None:
        """Configure and activate, if `autostart`. Raises UserError, for example for a model that cannot be loaded."""
        if not self._config.autostart:
            return
        self._tracker = self._load()  # here and not in the transition, which could only fail without a reason
        for step in (self.trigger_configure, self.trigger_activate):
            if step() != TransitionCallbackReturn.SUCCESS:
                raise UserError("the node could not be started: see above")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt(self._configure) or super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = super().on_activate(state)
        return self._attempt(self._activate) or done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
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
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._tracker = self._tracker or self._load()
        self._outputs = Outputs(self)

    def _activate(self) -> None:
        assert self._tracker is not None
        assert self._outputs is not None
        self._pipeline = Pipeline(self, self._config, self._tracker, self._outputs)

    def _deactivate(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
        self._pipeline = None

    def _clean_up(self) -> None:
        if self._outputs is not None:
            self._outputs.close()
        self._tracker = self._outputs = None

    def _load(self) -> Tracker:
        config = {name: value for name, value in dataclasses.asdict(self._config).items() if name != "model"}
        tracker = load(
            self._config.model, **{name: config[name] for name in config if OPTIONS[name].scope is Scope.TRACKER}
        )
        self.get_logger().info(f"model {tracker.info.name}: {tracker.info.description}")
        return tracker

    def _attempt(self, action: Callable[[], None]) -> TransitionCallbackReturn | None:
        """None where the action succeeded. rclpy would swallow an exception without a word."""
        try:
            action()
        except UserError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            if self.context.ok():  # else a signal ended ROS in the middle of it
                self.get_logger().fatal(traceback.format_exc())
            raise
        return None

    def _judge(self, changes: list[Parameter]) -> SetParametersResult:
        return parameters.judge(changes, Config)


def main() -> int:
    def make() -> TrackerNode:
        node = TrackerNode()
        node.start()
        return node

    return run(make)


if __name__ == "__main__":
    sys.exit(main())
