"""`eval --ray` and `label --ray` on a Ray cluster of two nodes on this machine, one of which is killed in the middle.

A frame that is a pipe holds whoever reads it, so that a test knows what is being done when it kills.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sot_tracker import cluster
from sot_tracker.cli import main
from sot_tracker.datasets import evaluation
from sot_tracker.errors import UserError
from sot_tracker.evaluate import ope, raw

from clips import boxes, write_sequence, write_video

ray = pytest.importorskip("ray", reason="pip install 'ray[client]' for eval --ray and label --ray")
pytest.importorskip("grpc", reason="pip install 'ray[client]' for eval --ray and label --ray")
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")

SETTINGS = {
    "RAY_AUTH_MODE": "disabled",  # else it writes a token into the home folder
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "5000",
}
NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes that can do one job each; the first is the head."""
    from ray.cluster_utils import Cluster

    place = tempfile.mkdtemp(prefix="sot-ray-test-", dir="/tmp")  # its sockets need a short name
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**SETTINGS, "RAY_TMPDIR": place}.items():
            patch.setenv(name, value)
        started = Cluster(initialize_head=True, head_node_args=NODE)
        started.add_node(**NODE, wait=False)
        yield started
        started.shutdown()
    wait_for(lambda: not processes_with(place))
    shutil.rmtree(place)


@pytest.fixture
def data(tmp_path):
    for i in range(5):
        write_sequence(tmp_path / "data" / f"s{i}", boxes(6, step=(i, 1)))
    return tmp_path / "data"


def test_nothing_is_lost_or_done_twice_when_a_node_is_killed(nodes, data, tmp_path):
    sequences = evaluation.read(data).sequences
    entry = ope.Entry.parse("kcf", {})
    alone, spread = ope.plan([entry], sequences, tmp_path / "1"), ope.plan([entry], sequences, tmp_path / "2")
    list(ope.run(alone, jobs=1))
    held = [Held(data / name / "4.png") for name in ("s0", "s1")]  # the first two jobs, so one on each node

    def kill():
        try:
            for pipe in held:
                pipe.wait_for_reader()
            nodes.remove_node(nodes.list_all_nodes()[1], allow_graceful=False)
        finally:
            for pipe in held:
                pipe.let_go()

    with ThreadPoolExecutor(1) as pool:
        killed = pool.submit(kill)
        done = list(ope.run_on_cluster(spread, nodes.address))
    killed.result()
    assert sorted(task.sequence.name for task, error in done if error is None) == ["s0", "s1", "s2", "s3", "s4"]
    for a, b in zip(alone, spread, strict=True):
        assert np.array_equal(raw.load(a.path).boxes, raw.load(b.path).boxes)
    assert ope.pending(spread) == []
    assert sorted(p.name for p in (tmp_path / "2" / "raw" / "kcf").iterdir()) == [f"s{i}.txt" for i in range(5)]


class Held:
    """A picture that is a pipe for the time being."""

    def __init__(self, picture: Path) -> None:
        self.picture, self.content, self.end = picture, picture.read_bytes(), -1
        picture.unlink()
        os.mkfifo(picture)

    def wait_for_reader(self, process: subprocess.Popen | None = None) -> None:
        self.end = wait_for(self._open, process)

    def _open(self) -> int:
        try:
            return os.open(self.picture, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads it
            return 0

    def has_reader(self) -> bool:
        poll = select.poll()
        poll.register(self.end, 0)
        return not poll.poll(0)  # an error is reported when the last reader has gone

    def let_go(self) -> None:
        """Whoever waits gets the picture, and everybody after that as well."""
        beside = self.picture.with_suffix(".new")
        beside.write_bytes(self.content)
        beside.replace(self.picture)
        with contextlib.suppress(OSError):  # nobody waits any more
            os.write(self.end, self.content)
            os.close(self.end)


def wait_for(ready, process=None, seconds=20):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.02)
    return found


def processes_with(text: str) -> list[str]:
    """Command lines that hold it, of processes that have not ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if text in (line := place.read_text(errors="replace")):
                found.append(line)
    return found
