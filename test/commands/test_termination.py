"""What Ctrl-C and SIGTERM do to a command that saves before it ends."""

from __future__ import annotations

import signal

import pytest

from sot_tracker.cli import main
from sot_tracker.commands.termination import StopRequest
from sot_tracker.errors import INTERRUPTED, TERMINATED

from clips import boxes, write_video


@pytest.fixture(autouse=True)
def own_handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    """The handler is called: libraries of earlier tests in this process change what a signal does."""
    signal.getsignal(number)(number, None)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
def test_a_signal_asks_to_stop_and_gives_the_exit_status(number, status, tmp_path, capfd):
    stop = StopRequest(tmp_path / "checkpoint.pt")
    assert (stop(), stop.status) == (False, 0)
    send(number)
    assert (stop(), stop.status) == (True, status)
    assert "stopping after this step: saving" in capfd.readouterr().err


@pytest.mark.parametrize("older", [False, True])
def test_a_second_signal_ends_at_once_but_not_before_the_checkpoint_is_there(older, tmp_path):
    saved = tmp_path / "checkpoint.pt"
    if older:
        saved.write_text("older")
    stop = StopRequest(saved)
    send(signal.SIGINT)
    send(signal.SIGINT)  # within the step
    assert stop()
    send(signal.SIGINT)  # while it is saved
    (tmp_path / "new").write_text("newer")
    (tmp_path / "new").replace(saved)
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
def test_the_exit_status_of_a_command_that_is_still_loading(number, status, tmp_path, monkeypatch, capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    video = write_video(tmp_path / "clip.avi", boxes(3))
    monkeypatch.setattr("sot_tracker.commands.track.load_many", lambda *_, **__: send(number))
    assert main(["track", str(video), "--box", "20,30,24,24"]) == status
    assert capsys.readouterr().err.count("\n") == 1
