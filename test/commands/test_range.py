from __future__ import annotations

import json
import signal
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
    ("words", "told"),
    [
        (["--json"], "--json prints the figures of --offline"),
        (["--offline", "--fly"], "not allowed with"),
        (["--offline", "--fov", "500"], "--fov 500.0 is out of range: give 20 to 100"),
        (["--offline", "--width", "6"], "--width 6 is out of range"),
    ],
)
def test_mistakes_are_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["range", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_sigterm_ends_the_nodes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rclpy")
    from sot_tracker.ros_tools import harness

    ended: list[str] = []
    before = signal.getsignal(signal.SIGTERM)  # Ray, in an earlier test of this process, leaves its own

    def terminate() -> int:
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
    assert main(["range", "--fly"]) == 130
    assert ended == ["range", "follow", "tracker_node"]
    assert signal.getsignal(signal.SIGTERM) is before
