"""Start, run and end one of our nodes as a process."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node

from sot_tracker.errors import UserError

_MIXED = "Sequence should be of same type"
_MIXED_HINT = "in a list of numbers give all of them a decimal point, or none, for example [310.0, 120.5, 48.0, 96.0]"


def run(make: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Spin one node until SIGINT, SIGTERM or its own end; the exit status: 0, or 2 for a user's mistake, in one line.

    Python's own SIGINT handler is taken out first: rclpy's ends `spin`, and a KeyboardInterrupt in the middle of
    construction, a callback or the clean-up would only add a traceback. A second SIGINT, while cleaning up, is ignored.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        _init(args)
        executor = SingleThreadedExecutor()
        node = make()
        executor.add_node(node)
        # A signal's wake-up is sometimes lost while the executor waits without end: an idle node would stay for ever.
        node.create_timer(1.0, lambda: None, clock=Clock(clock_type=ClockType.STEADY_TIME))
        executor.spin()
    except ExternalShutdownException:
        pass
    except (UserError, NameValidationException) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except Exception:
        # A signal shuts ROS down even in the middle of a callback or of the start, and what is done next to ROS then
        # raises errors of several types.
        if rclpy.ok():
            raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        rclpy.try_shutdown()
    return 0


def _init(args: Sequence[str] | None) -> None:
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # rcl's own type for unreadable --ros-args is not public
        message = str(error)
        hint = f" ({_MIXED_HINT})" if _MIXED in message else ""
        raise UserError(f"ROS could not start: {message.splitlines()[0]}{hint}") from None
    logger = logging.getLogger("sot_tracker")
    logger.propagate = False
    logger.handlers = [_ToRos(logging.WARNING)]


class _ToRos(logging.Handler):
    """Warnings of the code without ROS (sources, engines) in the node's log."""

    def emit(self, record: logging.LogRecord) -> None:
        # Two places in the code: rclpy refuses to log with two severities from one.
        if record.levelno >= logging.ERROR:
            get_logger(record.name).error(record.getMessage())
        else:
            get_logger(record.name).warning(record.getMessage())
