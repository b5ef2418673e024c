"""What Ctrl-C and SIGTERM do to a command that saves before it ends."""

from __future__ import annotations

import signal

import pytest

from sot_tracker.commands.termination import StopRequest
from sot_tracker.errors import INTERRUPTED, TERMINATED


@pytest.fixture(autouse=True)
def own_handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED)])
def test_a_signal_asks_to_stop_and_gives_the_exit_status(number, status, tmp_path, capfd):
    stop = StopRequest(tmp_path / "checkpoint.pt")
    assert (stop(), stop.status) == (False, 0)
    signal.raise_signal(number)
    assert (stop(), stop.status) == (True, status)
    assert "stopping after this step: saving" in capfd.readouterr().err


@pytest.mark.parametrize("older", [False, True])
def test_a_second_signal_ends_at_once_but_not_before_the_checkpoint_is_there(older, tmp_path):
    saved = tmp_path / "checkpoint.pt"
    if older:
        saved.write_text("older")
    stop = StopRequest(saved)
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # within the step
    assert stop()
    signal.raise_signal(signal.SIGINT)  # while it is saved
    (tmp_path / "new").write_text("newer")
    (tmp_path / "new").replace(saved)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
