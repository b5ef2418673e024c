"""Processes that measure, evaluate and cut pictures end with the program that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE = 60
BUSY = {  # programs whose workers are busy for ever
    "bench": "from sot_tracker.bench import measure_apart\nmeasure_apart(Path({fifo!r}), {{}})",
    "train": "from sot_tracker.train.cache import _mapper\nwith _mapper(2) as each: list(each(time.sleep, [900, 900]))",
}


def workers_of(parent: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            status, command = (process / "stat").read_text(), (process / "cmdline").read_text()
        except OSError:  # it has ended meanwhile
            continue
        if int(status.rpartition(")")[2].split()[1]) == parent and "spawn_main" in command:
            found.append(int(process.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_read(fifo: Path) -> bool:
    """Whether somebody reads from it, who waits as long as this program lives."""
    try:
        os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    return True


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("program", BUSY)
def test_workers_end_with_a_program_that_is_killed(program: str, tmp_path: Path) -> None:
    """They waited for ever, with the memory of a network each."""
    if program == "train":
        pytest.importorskip("torch")
    fifo = tmp_path / "clip.npz"
    os.mkfifo(fifo)  # nobody writes into it: who opens it waits
    code = f"import time\nfrom pathlib import Path\n{BUSY[program].format(fifo=str(fifo))}"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as parent:
        wait_for(lambda: workers_of(parent.pid) or parent.poll() is not None)
        workers = workers_of(parent.pid)
        try:
            assert workers
            parent.send_signal(signal.SIGKILL)
            parent.wait(PATIENCE)
            wait_for(lambda: not any(is_alive(worker) for worker in workers))
        finally:
            for worker in filter(is_alive, workers):
                os.kill(worker, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_measurement_that_was_killed_is_reported(tmp_path: Path, number: signal.Signals) -> None:
    """As the kernel does where memory is exhausted; and Ctrl-C ends a worker without a traceback."""
    fifo = tmp_path / "clip.npz"
    os.mkfifo(fifo)
    code = f"from pathlib import Path\n{BUSY['bench'].format(fifo=str(fifo))}"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as parent:
        wait_for(lambda: workers_of(parent.pid) or parent.poll() is not None)
        try:
            wait_for(lambda: is_read(fifo))
            os.kill(workers_of(parent.pid)[0], number)
            told = parent.communicate(timeout=PATIENCE)[1]
        finally:
            parent.kill()
    assert "UserError: the process that measured it was killed" in told.splitlines()[-1]
    assert "KeyboardInterrupt" not in told


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_sigterm_does_not_wait_for_a_measurement(tmp_path: Path) -> None:
    """A slow network took half a minute to its end, and `docker stop` kills after ten seconds."""
    fifo = tmp_path / "clip.npz"
    os.mkfifo(fifo)  # nobody writes into it: who opens it waits
    code = (
        "from pathlib import Path\nfrom sot_tracker.commands.termination import sigterm_as_ctrl_c\n"
        "from sot_tracker.bench import measure_apart\n"
        f"with sigterm_as_ctrl_c(): measure_apart(Path({str(fifo)!r}), {{}})"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as parent:
        wait_for(lambda: workers_of(parent.pid) or parent.poll() is not None)
        try:
            parent.send_signal(signal.SIGTERM)
            told = parent.communicate(timeout=PATIENCE)[1]
        finally:
            parent.kill()
    assert told.splitlines()[-1] == "sot_tracker.errors.Terminated"


@pytest.mark.parametrize("command", ["tune", "bench"])
def test_sigterm_leaves_no_clip_behind(command: str, tmp_path: Path) -> None:
    """As `timeout` and `docker stop` send it: the clip of a benchmark takes hundreds of megabytes."""
    pytest.importorskip("onnxruntime")
    words = [command, "--model", "lite", "--engine", "onnx"]
    with subprocess.Popen(
        [sys.executable, "-m", "sot_tracker", *words],
        env={**os.environ, "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        wait_for(lambda: workers_of(child.pid) or child.poll() is not None)
        assert list(tmp_path.glob("sot_tracker-*"))
        child.send_signal(signal.SIGTERM)
        told = child.communicate(timeout=PATIENCE)[1]
    assert child.returncode == 143, told
    assert told.splitlines()[-1] == "sot-tracker: terminated"
    assert not list(tmp_path.glob("sot_tracker-*"))
