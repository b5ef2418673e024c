"""What the harness does with Ctrl-C."""

from __future__ import annotations

import os
import signal

import pytest

pytest.importorskip("rclpy")

from sot_tracker.errors import UserError
from sot_tracker.ros import harness


def test_an_interrupt_waits_for_a_safe_place() -> None:
    reached = []

    def work() -> None:
        with harness.interrupt_between() as check:
            check()
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("after the signal")
            check()
            reached.append("after the check")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["after the signal"]


def test_an_interrupt_comes_before_what_the_interrupted_children_cause() -> None:
    def work() -> None:
        with harness.interrupt_between():
            os.kill(os.getpid(), signal.SIGINT)
            raise UserError("tracker_node ended with status 1")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_other_errors_and_the_old_handler_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(UserError, match="ended"), harness.interrupt_between():
        raise UserError("tracker_node ended with status 1")
    assert signal.getsignal(signal.SIGINT) is before
