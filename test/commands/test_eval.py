"""`sot-tracker eval` on data sets that are odd, that grow, and that servers judge."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sot_tracker.cli import main
from sot_tracker.evaluate import ope, raw

import trees
from clips import boxes, write_sequence


@pytest.fixture
def data(tmp_path):
    for name in ("one", "two", "three"):
        trees.sequence(tmp_path / "data" / name, 6)
    return tmp_path / "data"


@pytest.fixture
def evaluate(data, tmp_path, capsys):
    """Run it; returns exit status, standard output and the last line of standard error."""

    def run(*arguments, model="kcf", plots=False, place=None):
        given = ["eval", "--data", str(place or data), "--model", model, "--out", str(tmp_path / "out")]
        status = main([*given, *map(str, arguments), *([] if plots else ["--no-plots"])])
        printed = capsys.readouterr()
        return status, printed.out, (printed.err.splitlines() or [""])[-1]

    return run


def test_a_second_data_folder_is_refused_and_not_taken_for_the_first(evaluate, tmp_path):
    status, _, error = evaluate("--data", tmp_path)
    assert status == 2
    assert "--data is given twice: give one" in error


def summary(tmp_path):
    return json.loads((tmp_path / "out" / "summary.json").read_text())


def test_one_odd_sequence_is_reported_and_the_others_are_evaluated(evaluate, data, tmp_path):
    (data / "two" / "groundtruth.txt").write_text("1,2,3,4,5\n" * 6)
    status, out, error = evaluate()
    assert status == 2
    assert re.search(r"1 of 3 sequences cannot be read: .*two/groundtruth.txt' line 1 .* has 5 numbers", error)
    assert "Left out, since they cannot be read: two." in out
    assert summary(tmp_path)["models"]["kcf"]["sequences"] == 2


def test_a_sequence_that_fails_is_left_out_for_all_models(evaluate, data, tmp_path):
    (data / "two" / "0003.jpg").write_bytes(b"no picture")
    status, out, error = evaluate("--model", "again=kcf")
    assert status == 2
    assert "2 of 6 runs failed: sequence 'two': picture" in error
    assert "Left out for all models, since a run failed: two." in out
    assert {values["sequences"] for values in summary(tmp_path)["models"].values()} == {2}


def test_the_overall_table_comes_first_and_says_what_it_is(evaluate):
    _, out, _ = evaluate("--model", "again=kcf")
    title, overall, metric = (
        out.index(t) for t in ("One-pass evaluation on data: 3 seq", "Overall: each", "AO (avera")
    )
    assert title < overall < metric
    assert "18 frames" in out
    assert "mean over sequences" in out


def test_only_these_sequences_and_frames(evaluate, tmp_path):
    status, out, _ = evaluate("--sequences", "t*", "--frames", "3")
    assert status == 0
    assert "2 sequences, 6 frames" in out
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "sequences.csv").read_text())))
    assert [(row["sequence"], row["frames"]) for row in rows] == [("three", "3"), ("two", "3")]
    assert b"\r" not in (tmp_path / "out" / "sequences.csv").read_bytes()
    assert "3 runs: 0 done, 3 to do (2 of them again" in evaluate()[1]


def test_sequences_given_one_by_one(evaluate):
    status, out, _ = evaluate("--sequences", "two", "--sequences", "one")
    assert status == 0
    assert "2 sequences, 12 frames" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sequences", "tow"], "--sequences tow: no sequence of .* similar names are two"),
        (["--frames", "1"], "--frames 1"),
        (["--propagate", "off"], "--propagate off is for --realtime"),
        (["--max-search-rate", "10", "--realtime", "30", "--propagate", "off"], "--max-search-rate needs optical flow"),
        (["--topic", "/a"], "--topic /a is for recordings, and .* has none"),
        (["--truth-topic", "/b"], "--truth-topic /b is for recordings"),
        (["--submission", "trackingnet"], "has the layout folder; give --data the test set of TrackingNet"),
        (["--submission", "got10k", "--frames", "3"], "--submission needs whole sequences"),
        (["--ray", ""], "--ray is empty: give auto, local, HOST:PORT or ray://HOST:PORT"),
        (["--ray", "auto", "--jobs", "2"], "--ray runs as many sequences at once .* leave --jobs out"),
        (["--ray", "auto", "--realtime", "30"], "--realtime needs a processor for itself: leave --ray out"),
    ],
)
def test_refused(evaluate, arguments, words):
    status, _, error = evaluate(*arguments)
    assert status == 2
    assert re.search(words, error)


def test_json_alone_on_standard_output(evaluate, tmp_path):
    status, out, _ = evaluate("--json")
    assert status == 0
    assert json.loads(out) == summary(tmp_path)


def test_the_figures_are_reported_apart_without_colour(evaluate, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    drawn, real = [], Axes.plot

    def plot(self, x, y, dash, **options):
        drawn.append((dash, options["marker"]))
        return real(self, x, y, dash, **options)

    monkeypatch.setattr(Axes, "plot", plot)
    models = [f"m{i}=kcf" for i in range(7)]
    evaluate(*(word for model in models for word in ("--model", model)), plots=True)
    assert len(set(drawn)) == len(models) + 1
    assert len(drawn) == 3 * len(set(drawn))
    assert (tmp_path / "out" / "success.png").read_bytes().startswith(b"\x89PNG")


def test_polygons_are_said_in_the_report(evaluate, tmp_path):
    trees.vot(tmp_path / "vot")
    status, out, _ = evaluate(place=tmp_path / "vot")
    assert status == 0
    assert "True boxes of 1 sequences were made from polygons: smallest and largest x and y" in out
    assert "polygons" in summary(tmp_path)["notes"][0]


@pytest.fixture
def got10k_test(tmp_path):
    for name in ("GOT-10k_Test_000001", "GOT-10k_Test_000002"):
        folder = trees.sequence(tmp_path / "test" / name, 5, "{:08d}.jpg")
        (folder / "groundtruth.txt").write_text(trees.rows([trees.box(0)]))
    return tmp_path / "test"


def test_submission_of_got10k(evaluate, got10k_test, tmp_path):
    status, out, error = evaluate("--submission", "got10k", place=got10k_test)
    assert status == 0
    assert "2 sequences have truth for the first frame alone: only their speed is measured." in out
    assert "| kcf" in out
    assert "AO" not in out
    assert "has 180 sequences, these files have 2" in error
    with zipfile.ZipFile(tmp_path / "out" / "submission" / "kcf.zip") as archive:
        names = [f"GOT-10k_Test_00000{i}/GOT-10k_Test_00000{i}_{what}.txt" for i in (1, 2) for what in ("001", "time")]
        assert sorted(archive.namelist()) == sorted(names)
        found = np.loadtxt(io.BytesIO(archive.read(names[0])), delimiter=",")
        seconds = np.loadtxt(io.BytesIO(archive.read(names[1])))
        assert re.fullmatch(rb"(-?\d+\.\d{3},){3}-?\d+\.\d{3}\n", archive.read(names[0]).splitlines(True)[0])
    assert found.shape == (5, 4)
    assert found[0].tolist() == list(trees.box(0))
    assert seconds.shape == (5,)
    assert (seconds > 0).all()
    values = summary(tmp_path)["models"]["kcf"]
    assert values["ao"] is None
    assert values["fps"] > 0


def test_submission_of_trackingnet(evaluate, tmp_path):
    root = trees.trackingnet(tmp_path / "tn")
    (root / "TRAIN_0").rename(root / "TEST")
    (root / "TEST" / "anno" / "abc.txt").write_text(trees.rows([trees.box(0)]))
    status, _, _ = evaluate("--submission", "trackingnet", place=root)
    assert status == 0
    with zipfile.ZipFile(tmp_path / "out" / "submission" / "kcf.zip") as archive:
        assert archive.namelist() == ["abc.txt"]
        text = archive.read("abc.txt").decode()
    lines = text.splitlines()
    assert len(lines) == 12
    assert lines[0] == "20.00,16.00,32.00,28.00"
    assert all(re.fullmatch(r"(-?\d+\.\d\d,){3}-?\d+\.\d\d", line) for line in lines)


@pytest.mark.parametrize("name", ["report.md", "summary.json", "success.png"])
def test_files_of_others_are_not_overwritten(evaluate, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    status, _, error = evaluate()
    assert status == 2
    assert f"holds {name}, which no evaluation wrote" in error
    assert (tmp_path / "out" / name).read_text() == "mine"


@pytest.mark.parametrize("inside", ["one", "one/deep/out"])
def test_results_do_not_go_among_the_frames(evaluate, data, tmp_path, inside):
    (tmp_path / "out").symlink_to(data / inside)
    (data / inside).mkdir(parents=True, exist_ok=True)
    status, _, error = evaluate()
    assert status == 2
    assert "where frames of the data are" in error


@pytest.mark.parametrize("label", ["x" * 300])
def test_a_name_that_is_too_long(evaluate, label):
    status, _, error = evaluate(model=f"{label}=kcf")
    assert status == 2
    assert "cannot be made: File name too long" in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_and_keeps_the_old_result(evaluate, tmp_path, monkeypatch):
    assert evaluate()[0] == 0
    kept = (tmp_path / "out" / "raw" / "kcf" / "one.txt").read_bytes()

    def full(*args, **options):
        with Path("/dev/full").open("w") as file:
            file.write("x")
            file.flush()

    monkeypatch.setattr(raw.np, "savetxt", full)
    status, _, error = evaluate("--again")
    assert status == 2
    assert "No space left on device" in error
    assert (tmp_path / "out" / "raw" / "kcf" / "one.txt").read_bytes() == kept


def long_data(root, count=6, frames=20):
    for i in range(count):
        write_sequence(root / f"s{i}", boxes(2) * (frames // 2))
    return root


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_a_killed_run_loses_nothing_and_the_next_start_goes_on(tmp_path, capsys):
    data, out = long_data(tmp_path / "data"), tmp_path / "out"
    arguments = ["eval", "--data", str(data), "--model", "csrt", "--out", str(out), "--no-plots"]
    process = subprocess.Popen(
        [sys.executable, "-m", "sot_tracker.cli", *arguments, "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    done = wait_for(lambda: list((out / "raw").rglob("s*.txt")), process)
    children = workers_of(process.pid)
    process.kill()
    process.wait()
    assert children
    wait_for(lambda: not any(is_alive(child) for child in children))  # nobody is left behind
    finished = {path: path.read_bytes() for path in (out / "raw").rglob("s*.txt")}
    assert set(done) <= set(finished)
    if len(finished) == 6:
        pytest.skip("all was done before it was killed")
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"6 runs: {len(finished)} done, {6 - len(finished)} to do; going on where an earlier start ended" in printed
    assert all(path.read_bytes() == content for path, content in finished.items())
    assert json.loads((out / "summary.json").read_text())["models"]["csrt"]["sequences"] == 6


def test_a_killed_worker_is_one_line_and_what_is_finished_is_kept(data, tmp_path, monkeypatch, capsys):
    class Killed:
        def result(self):
            raise ope.BrokenProcessPool

    class Pool:
        def __init__(self, *args):
            pass

        def submit(self, work, task, jobs):
            return Killed()

        def shutdown(self, **options):
            pass

    monkeypatch.setattr(ope, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(ope, "as_completed", iter)
    out = str(tmp_path / "out")
    assert main(["eval", "--data", str(data), "--model", "kcf", "--out", out, "--no-plots", "--jobs", "2"]) == 2
    assert "one of 2 processes was killed" in capsys.readouterr().err.splitlines()[-1]


def wait_for(ready, process=None, seconds=120):
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.02)
    return found


def workers_of(parent):
    """Process ids of its children."""
    return [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if state_of(stat)[1] == str(parent)]


def is_alive(process):
    """Not ended; one that ended and that nobody waited for is a zombie."""
    return state_of(Path(f"/proc/{process}/stat"))[0] not in ("", "Z")


def state_of(stat):
    """State and parent of a process, after its name in brackets; empty if it is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return ["", ""]
