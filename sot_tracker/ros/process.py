"""Start, run and end a node as a process."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from sot_tracker.errors import UserError

_MIXED = "Sequence should be of same type"
_FORM = "write --ros-args -p NAME:=VALUE for parameters, --ros-args -r OLD:=NEW for topics"
_MIXED_HINT = "in a list of numbers give all of them a decimal point, or none, for example [310.0, 120.5, 48.0, 96.0]"


def run(make: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Spin one node until SIGINT, SIGTERM or its own end. Returns the exit status: 0, or 2 for a user's mistake.

    A user's mistake is printed in one line. Python's own SIGINT handler is removed first: rclpy's handler ends `spin`,
    and a KeyboardInterrupt during construction, a callback or the clean-up would only add a traceback. Another SIGINT
    during the clean-up is ignored.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        _init(args)
        executor = SingleThreadedExecutor()
        node = _made(make)
        executor.add_node(node)
        # An executor without timeout sometimes misses the wake-up by a signal: an idle node would then never end.
        node.create_timer(1.0, lambda: None, clock=Clock(clock_type=ClockType.STEADY_TIME))
        executor.spin()
    except ExternalShutdownException:
        pass
    except (UserError, NameValidationException) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except Exception:
        # A signal shuts ROS down even during a callback or the start. Calls of ROS after that raise errors of several
        # types.
        if rclpy.ok():
            raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        rclpy.try_shutdown()
    return 0


def _made(make: Callable[[], Node]) -> Node:
    try:
        return make()
    except ParameterException as error:  # of a parameter that rclpy itself declares: use_sim_time:=1
        raise UserError(error) from None


def _init(args: Sequence[str] | None) -> None:
    given = list(sys.argv if args is None else args)
    try:
        rclpy.init(args=given)
    except RuntimeError as error:  # rcl's own types for unreadable --ros-args are not public
        message = str(error)
        if type(error).__name__ == "UnknownROSArgsError":
            raise UserError(f"unknown arguments {message}: {_FORM}") from None
        hint = f" ({_MIXED_HINT})" if _MIXED in message else ""
        raise UserError(f"ROS could not start: {message.splitlines()[0]}{hint}") from None
    if unknown := remove_ros_args(given)[1:]:  # they would have no effect: `tracker_node --model kcf`
        raise UserError(f"unknown arguments {unknown}: {_FORM}")
    logger = logging.getLogger("sot_tracker")
    logger.propagate = False
    logger.handlers = [_ToRos(logging.WARNING)]


class _ToRos(logging.Handler):
    """Passes the warnings of the code without ROS (sources, engines) to the node's log."""

    def emit(self, record: logging.LogRecord) -> None:
        # Two calls, since rclpy does not allow different severities from the same line of code.
        if record.levelno >= logging.ERROR:
            get_logger(record.name).error(record.getMessage())
        else:
            get_logger(record.name).warning(record.getMessage())
