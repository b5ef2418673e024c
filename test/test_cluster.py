"""`eval --ray` and `label --ray` on a Ray cluster of two nodes on this machine, one of which is killed in the middle.

A frame that is a pipe holds whoever reads it, so that a test knows what is being done when it kills.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sot_tracker import cluster, reaper
from sot_tracker.cli import main
from sot_tracker.commands import label_cluster
from sot_tracker.datasets import evaluation
from sot_tracker.errors import UserError
from sot_tracker.evaluate import ope, raw

from clips import boxes, write_sequence, write_video

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
    for package in ("ray", "grpc"):
        pytest.importorskip(package, reason="pip install 'ray[client]' to test eval --ray and label --ray")
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


def test_label_writes_the_same_files(nodes, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(Path("clip.avi"), boxes(12))
    targets = ["--box", "20,40,24,24", "--box", "110,80,24,24"]
    said = []
    for out, more in (("alone", []), ("spread", ["--ray", nodes.address])):
        assert main(["label", "clip.avi", *targets, "--model", "csrt", "--every", "2", "--out", out, *more]) == 0
        said.append(capsys.readouterr().out.replace(out, "OUT"))
    assert contents(Path("alone")) == contents(Path("spread"))
    assert said[0] == said[1]


def contents(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(found) > 5
    return found


def test_eval_prints_json_alone_and_reports_a_damaged_picture(nodes, data, tmp_path, capsys):
    picture = data / "s2" / "3.png"
    content = picture.read_bytes()
    picture.write_bytes(b"no picture")
    arguments = ["eval", "--data", str(data), "--model", "kcf", "--out", str(tmp_path / "out"), "--no-plots", "--json"]
    assert main([*arguments, "--ray", nodes.address]) == 2
    reported = capsys.readouterr()
    assert json.loads(reported.out)["models"]["kcf"]["sequences"] == 4
    assert re.search(
        r"1 of 5 runs failed: sequence 's2': picture .*3.png' cannot be decoded.* \(on machine ", reported.err
    )
    picture.write_bytes(content)
    assert main(arguments) == 0
    assert "5 runs: 4 done, 1 to do; going on where an earlier start ended" in capsys.readouterr().err


def test_nobody_works_on_when_the_command_was_interrupted_or_killed(nodes, tmp_path):
    ends, started = {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}, []
    for number in ends:
        folder = write_sequence(tmp_path / number.name, boxes(6))
        held = Held(folder / "4.png")
        command = ["label", f"{folder}/%d.png", "--box", "20,40,24,24", "--model", "kcf", "--out", f"{folder}.out"]
        with (tmp_path / f"{number.name}.said").open("w") as said:
            program = [sys.executable, "-m", "sot_tracker.cli", *command, "--ray", nodes.address]
            started.append((number, held, subprocess.Popen(program, stdout=said, stderr=said)))
    for number, held, process in started:
        held.wait_for_reader(process)
        process.send_signal(number)
        assert process.wait(60) == ends[number]
    wait_for(lambda: not any(held.has_reader() for _, held, _ in started))
    assert (tmp_path / "SIGINT.said").read_text() == "sot-tracker: interrupted\n"


def test_nothing_is_lost_or_done_twice_when_a_node_is_killed(nodes, data, tmp_path, capsys):
    sequences = evaluation.read(data).sequences
    entry = ope.Entry.parse("kcf", {})
    alone, spread = ope.plan([entry], sequences, tmp_path / "1"), ope.plan([entry], sequences, tmp_path / "2")
    list(ope.run(alone, jobs=1))
    (data / "s4").rename(tmp_path / "s4")  # as on a machine that does not have it
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
    assert capsys.readouterr().out == "", "Ray reports the lost node"
    assert sorted(task.sequence.name for task, _ in done) == ["s0", "s1", "s2", "s3", "s4"]
    errors = {task.sequence.name: str(error) for task, error in done if error}
    assert re.match(r"sequence 's4': picture '.*/s4/1.png' cannot be read: No such .* \(on machine ", errors.pop("s4"))
    assert not errors
    assert [task.sequence.name for task in ope.pending(spread)] == ["s4"]
    for a, b in zip(alone[:4], spread[:4], strict=True):
        assert np.array_equal(raw.load(a.path).boxes, raw.load(b.path).boxes)
    assert sorted(path.name for path in spread[0].path.parent.iterdir()) == ["s0.txt", "s1.txt", "s2.txt", "s3.txt"]


SHARE = cluster.Share()


def double(number):
    if number == 3:
        raise UserError("three is too much")
    logging.getLogger("sot_tracker.x").warning("a warning")
    return 2 * number


def test_a_job_in_another_process():
    answers = [cluster._run(pickle.dumps((double, number)), cluster._versions()) for number in (2, 3)]
    assert [(a.result, a.warnings, a.mismatch) for a in answers[:1]] == [(4, ["a warning"], "")]
    assert str(answers[1].result) == f"three is too much (on machine {socket.gethostname()})"
    assert pickle.loads(pickle.dumps(answers[1])).machine == socket.gethostname()


def test_a_machine_with_another_version_does_nothing():
    answer = cluster._run(b"not unpickled", {**cluster._versions(), "sot_tracker": "9.9"})
    assert re.fullmatch(r"sot_tracker is \S+ there and 9.9 here", answer.mismatch)


@pytest.fixture
def pretended(monkeypatch):
    """A Ray of one machine with 4 processors, whose jobs are done here, the last one first; returns its answers."""

    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        pass

    class Remote:
        def __init__(self, run):
            self.remote = lambda *given: partial(run, *given)

    def get(job):
        if isinstance(answer := answers.get(pickle.loads(job.args[0])[1]), Exception):
            raise answer
        return answer or job()

    answers = {}
    ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError),
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 9, "GPU": 1}}],
        remote=lambda **options: Remote,
        wait=lambda jobs, num_returns: (jobs[-1:], jobs[:-1]),
        get=get,
    )
    monkeypatch.setattr(cluster, "_require_ray", lambda: ray)
    monkeypatch.setattr(cluster, "_connected", lambda ray, address: contextlib.nullcontext())
    return SimpleNamespace(answers=answers, ray=ray)


def test_results_as_they_are_finished(pretended, caplog):
    pretended.answers[1] = pretended.ray.exceptions.RayError("The node died.\nMuch more")
    done = list(cluster.spread(double, [0, 1, 2, 3], "anywhere", SHARE, "job {}".format))
    assert [job for job, _ in done] == [3, 2, 1, 0]
    assert str(done[0][1]).startswith("three is too much")
    assert [done[1][1], done[3][1]] == [4, 0]
    assert re.search(r"job 1: its process was killed 4 times, .*\(The node died.\)", str(done[2][1]))
    assert [record.getMessage() for record in caplog.records if record.name == cluster.__name__] == [
        f"a warning (on machine {socket.gethostname()})"
    ]


def test_a_fault_of_the_program_is_raised(pretended):
    pretended.answers[0] = pretended.ray.exceptions.RayTaskError("KeyError: 'x'")
    with pytest.raises(pretended.ray.exceptions.RayTaskError, match="KeyError"):
        list(cluster.spread(double, [0], "anywhere", SHARE, str))


def test_a_machine_without_this_package_ends_everything(pretended):
    text = "ray::_run()\nRuntimeError: The remote function failed to import on the worker."
    pretended.answers[0] = pretended.ray.exceptions.RayTaskError(text)
    with pytest.raises(UserError, match="a machine of the cluster has no sot_tracker of this version"):
        list(cluster.spread(double, [0], "anywhere", SHARE, str))


def test_a_machine_that_cannot_take_part_ends_everything(pretended):
    pretended.answers[0] = cluster._Answer("m7", None, [], "numpy is 1 there and 2 here")
    with pytest.raises(UserError, match="machine m7 of the cluster cannot take part: numpy is 1 there and 2 here"):
        list(cluster.spread(double, [0], "anywhere", SHARE, str))


@pytest.mark.parametrize(
    ("share", "words"),
    [(cluster.Share(5), "none of 1 machines of the cluster has 5 processors"), (cluster.Share(1, 1), "and 1 GPU")],
)
def test_a_job_that_no_machine_has_room_for_is_not_waited_for(pretended, share, words):
    with pytest.raises(UserError, match=words):
        list(cluster.spread(double, [0], "anywhere", share, str))


def test_only_the_own_thread_prints(pretended, capsys):
    for _, result in cluster.spread(double, [1], "anywhere", SHARE, str):
        print(result)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(print, "(raylet) chatter").result()
    assert capsys.readouterr().out == "2\n"


@pytest.mark.parametrize("given", [["one", "two"], ["one", "--box", "20,40,24,24", "--box", "110,80,24,24"]])
def test_labels_do_not_depend_on_the_order_of_finishing(given, pretended, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, count in (("one", 9), ("two", 7)):
        write_sequence(Path(name), boxes(count))
    said = []
    for out, more in (("alone", []), ("spread", ["--ray", "anywhere"])):
        assert main(["label", *given, "--model", "kcf", "--frames", "7", "--out", out, *more]) == 0
        said.append(capsys.readouterr().out.replace(out, "OUT"))
    assert contents(Path("alone")) == contents(Path("spread"))
    assert said[0] == said[1]


def test_label_leaves_nothing_after_an_error(pretended, tmp_path, capsys):
    source = write_sequence(tmp_path / "clip", boxes(9))
    arguments = ["label", str(source), "--model", "kcf", "--out", str(tmp_path / "out"), "--ray", "anywhere"]
    assert main([*arguments, "--box", "900,900,5,5"]) == 2
    assert "lies outside" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_label_needs_its_folder_on_all_machines(tmp_path):
    job = label_cluster.Job("clip.mp4", 0, boxes(1)[0], (), tmp_path / "out", None, 1, 60, 0.5)
    with pytest.raises(UserError, match="out' is not there: give --out on a file system that all machines share"):
        label_cluster.label_target(job)


@pytest.mark.parametrize(
    ("options", "share", "sent"),
    [
        ({}, (1, 0), {"threads": 1}),
        ({"threads": 3, "device": "cuda"}, (3, 1), {"threads": 3, "device": "cuda"}),
        ({"weights": "runs/best", "threads": 0}, (1, 0), {"weights": str(Path("runs/best").absolute()), "threads": 1}),
        ({"weights": "random"}, (1, 0), {"weights": "random", "threads": 1}),
    ],
)
def test_entries_for_other_machines(options, share, sent):
    entry = ope.Entry("mine", "mvt", tuple(sorted(options.items())))
    assert entry.share == share
    assert dict(entry.for_cluster().options) == sent


def test_other_weights_under_the_same_path_are_refused(tmp_path, data):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"here")
    entry = ope.Entry("mine", "mvt", (("weights", str(weights)),))
    (task, *_) = ope.plan([entry], evaluation.read(data).sequences, tmp_path)
    ope._require_same_weights(ope._Job(task, tuple(entry.weights_files())))
    weights.write_bytes(b"elsewhere")
    with pytest.raises(UserError, match=r"sequence 's0': the weights of 'mine' differ from those on the machine"):
        ope._require_same_weights(ope._Job(task, (("w.safetensors", 4),)))


@pytest.mark.parametrize(
    "address", ["nowhere", "http://x:1", "ray://", "host:port", "host:0", "host:99999", ":1", "a b:1"]
)
def test_what_is_no_address(address):
    pytest.importorskip("grpc")
    with pytest.raises(UserError, match=re.escape(f"--ray '{address}' is not an address: give auto, local, HOST:PORT")):
        cluster._require_answer(address)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_an_address_where_something_else_answers(form, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(cluster, "_TIMEOUT", 0.2)
    with socket.create_server(("", 0)) as server:
        address = form.format(server.getsockname()[1])
        with pytest.raises(UserError, match=rf"--ray {address}: nothing answers as Ray does at .* in 0.2 s"):
            cluster._require_answer(address)


@pytest.mark.parametrize("package", ["ray", "grpc"])
def test_without_ray_the_extra_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"needs the Python package '(ray|grpc)'.*pip install 'sot_tracker\[ray\]'"):
        cluster._require_ray()


def test_an_own_cluster_ends_with_the_program_that_started_it(tmp_path):
    """Played without Ray: a program that was killed, with a process that has a log in the cluster's folder."""
    folder = tmp_path / "session"
    folder.mkdir()
    program = f"""
import subprocess, sys
agent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=open("{folder}/log", "w"))
reaper = subprocess.Popen([sys.executable, "{reaper.__file__}", "{folder}"], stdin=subprocess.PIPE)
print(agent.pid, flush=True)
own = open("{folder}/own", "w")
reaper.{{end}}
print("went on")
"""
    for end, said in (("communicate()", ["went on"]), ("args and __import__('os').abort()", [])):
        done = subprocess.run([sys.executable, "-c", program.format(end=end)], capture_output=True, text=True)
        agent, *rest = done.stdout.splitlines()
        assert rest == said
        wait_for(lambda agent=agent: not is_alive(agent))
        wait_for(lambda: not folder.exists())
        folder.mkdir()


def is_alive(process: str) -> bool:
    """Not ended; one that ended and that nobody waited for is a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


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


def wait_for(ready, process=None, seconds=120):
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
