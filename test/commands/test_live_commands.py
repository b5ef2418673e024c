"""`sot-tracker view` and `sot-tracker mavlink` as a user starts them."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from sot_tracker.cli import main
from sot_tracker.mavlink.config import MavlinkConfig
from sot_tracker.model_folder import loadable_models
from sot_tracker.options import options_of
from sot_tracker.view.config import ViewConfig

from clips import boxes, write_video

PATIENCE = 30


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return str(write_video(tmp_path / "clip.avi", boxes(10)))


@contextmanager
def started(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its first line."""
    command = [sys.executable, "-m", "sot_tracker.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child, child.stdout.readline()
        finally:
            child.kill()


def test_view_prints_its_address_serves_the_page_and_ends_at_ctrl_c(clip: str) -> None:
    pytest.importorskip("aiohttp")
    with started("view", clip, "--model", "kcf", "--port", "0", "--box", "20,40,24,24") as (child, line):
        found = re.fullmatch(r"clip\.avi: open (http://127\.0\.0\.1:\d+/)   \(Ctrl-C ends\)\n", line)
        assert found, line + str(child.stderr and child.stderr.read())
        with urlopen(found[1], timeout=PATIENCE) as page:
            assert b"view.js" in page.read()
        child.send_signal(signal.SIGINT)
        error = child.communicate(timeout=PATIENCE)[1]
    assert (child.returncode, error.strip()) == (130, "sot-tracker: interrupted")


def test_mavlink_is_heard_and_ends_at_ctrl_c(clip: str) -> None:
    pytest.importorskip("pymavlink")
    from ground import Ground

    ground = Ground()
    words = ("mavlink", clip, "--model", "kcf", "--connection", f"udpout:127.0.0.1:{ground.port}", "--system", "7")
    with started(*words) as (child, line):
        assert line.startswith("clip.avi: MAVLink component 100 of system 7 on udpout:"), line
        assert ground.until("HEARTBEAT").get_srcSystem() == 7
        child.send_signal(signal.SIGINT)
        error = child.communicate(timeout=PATIENCE)[1]
    ground.close()
    assert (child.returncode, error.strip()) == (130, "sot-tracker: interrupted")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("view", "{clip}", "--port", "70000"), "--port 70000 is out of range"),
        (("view", "{clip}", "--port", "0", "--host", "203.0.113.77"), "cannot listen on 203.0.113.77:0"),
        (("view", "{clip}", "--box", "1,2,3"), "is not four numbers"),
        (("view", "/nowhere"), "'/nowhere' does not exist"),
        (("view", "{clip}", "--model", "bogus"), "unknown model 'bogus'"),
        (("mavlink", "{clip}", "--connection", "udpin:203.0.113.77:1"), "--connection udpin:203.0.113.77:1 cannot be"),
        (("mavlink", "{clip}", "--system", "0"), "--system 0 is out of range"),
        (("mavlink", "{clip}", "--point-size", "2"), "--point-size 2.0 is out of range"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...], message: str, clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiohttp")
    pytest.importorskip("pymavlink")
    given = [word.replace("{clip}", clip) for word in words]
    assert main([*given, *(() if "--model" in given else ("--model", "kcf"))]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize(("command", "package"), [("view", "aiohttp"), ("mavlink", "pymavlink")])
def test_a_missing_package_is_one_line(
    command: str, package: str, clip: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("view.server", "view.client", "view.pages", "mavlink.link", "mavlink.camera", "mavlink.commands"):
        monkeypatch.delitem(sys.modules, f"sot_tracker.{name}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert main([command, clip, "--model", "kcf"]) == 2
    assert f"`pip install {package}`" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "group"), [("view", ViewConfig), ("mavlink", MavlinkConfig)])
def test_every_option_is_a_flag(command: str, group: type, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    reported = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')} " in reported for name in options_of(group))


def test_the_models_to_choose_from_need_no_weights_of_the_user() -> None:
    assert {"lite", "csrt", "kcf"} <= set(loadable_models())
    assert not {"nanotrack", "hit_base"} & set(loadable_models())
