from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from sot_tracker.cli import main

SHORT = ["--seconds", "1", "--width", "160", "--height", "120", "--fps", "10", "--pictures", "procedural"]


def test_a_flight_without_ros_prints_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["range", "--offline", "--json", "--model", "kcf", "--seed", "1", *SHORT]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["seconds"] == pytest.approx(0.9)
    assert figures["in the middle third"] > 0.9
    assert figures["tracking something else"] == 0
    assert main(["range", "--offline", "--model", "kcf", "--seed", "1", *SHORT]) == 0
    assert f"in the middle third      {100 * figures['in the middle third']:9.1f} %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json"], "--json prints the figures of --offline"),
        (["--offline", "--fly"], "not allowed with"),
        (["--offline", "--fov", "500"], "--fov 500.0 is out of range: give 20 to 100"),
        (["--offline", "--width", "6"], "--width 6 is out of range"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["range", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_sigterm_ends_the_nodes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rclpy")
    from sot_tracker.ros_tools import harness

    ended: list[str] = []
    before = signal.getsignal(signal.SIGTERM)  # Ray, in an earlier test of this process, leaves its own

    def terminate(_: float) -> int:
        # Called and not sent: rclpy and Ray, in earlier tests of this process, change what a signal does.
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        handler(signal.SIGTERM, None)
        return 0

    @contextmanager
    def process(name: str, _: list[str]) -> Iterator[SimpleNamespace]:
        try:
            yield SimpleNamespace(wait=terminate)
        finally:
            ended.append(name)

    monkeypatch.setattr(harness, "process", process)
    assert main(["range", "--fly"]) == 143
    assert ended == ["range", "follow", "tracker_node"]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("dead", ["tracker_node", "follow"])
def test_a_node_that_ends_ends_the_flight(
    dead: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a tracker node whose model cannot be loaded: figures of a camera that nobody turned would be reported."""
    pytest.importorskip("rclpy")
    from sot_tracker.ros_tools import harness

    looks: list[float] = []

    def wait(timeout: float | None = None) -> int:
        looks.append(timeout or 0.0)
        if timeout is None or len(looks) > 1:
            return 0  # the end of the flight
        raise subprocess.TimeoutExpired("range", timeout)

    @contextmanager
    def process(name: str, _: list[str]) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(wait=wait, poll=lambda: 2 if name == dead else None)

    monkeypatch.setattr(harness, "process", process)
    assert main(["range", "--fly"]) == 2
    assert f"{dead} ended with status 2: see its message above" in capsys.readouterr().err
