"""What the harness does with Ctrl-C; in processes of their own: a signal meets all that a process has loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("rclpy")

START = """
import os, signal
from sot_tracker.errors import UserError
from sot_tracker.ros_tools import harness
before = signal.getsignal(signal.SIGINT)
"""
WAITS = """
try:
    with harness.interrupt_between() as check:
        check()
        signal.raise_signal(signal.SIGINT)
        print("after the signal")
        check()
        print("after the check")
except KeyboardInterrupt:
    print("interrupted")
"""
COMES_FIRST = """
try:
    with harness.interrupt_between():
        signal.raise_signal(signal.SIGINT)
        raise UserError("tracker_node ended with status 1")
except KeyboardInterrupt:
    print("interrupted")
"""
TERMINATED = WAITS.replace("signal.SIGINT", "signal.SIGTERM")
LEAVES_OTHERS = """
try:
    with harness.interrupt_between():
        raise UserError("tracker_node ended with status 1")
except UserError as error:
    print(error, signal.getsignal(signal.SIGINT) is before)
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (WAITS, "after the signal\ninterrupted\n"),
        (TERMINATED, "after the signal\ninterrupted\n"),
        (COMES_FIRST, "interrupted\n"),
        (LEAVES_OTHERS, "tracker_node ended with status 1 True\n"),
    ],
    ids=[
        "it waits for a safe place",
        "SIGTERM too",
        "it comes before complaints of children",
        "other errors are left alone",
    ],
)
def test_an_interrupt(code: str, message: str) -> None:
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (message, "", 0)
