import dataclasses
import re
import signal

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.datasets import evaluation
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.evaluate import ope, raw
from sot_tracker.model_folder import Source
from sot_tracker.tracker import Estimate, State

from clips import SIZE, boxes, write_sequence

KCF = ope.Entry.parse("kcf", {})


class Script:
    """Returns the given estimates in turn."""

    name = "script"

    def __init__(self, estimates):
        self.estimates = list(estimates)
        self.started_on = None

    def init(self, image, box):
        self.started_on = box

    def update(self, image):
        return self.estimates.pop(0)


@pytest.fixture
def data(tmp_path):
    write_sequence(tmp_path / "data" / "one", boxes(4))
    write_sequence(tmp_path / "data" / "two", boxes(5, step=(2, 2)))
    return tmp_path / "data"


def test_one_pass_gets_the_true_box_once(data):
    sequence = evaluation.read(data).sequences[0]
    estimates = [Estimate(Box(i, 2, 3, 4), i / 10, State.UNCERTAIN if i == 2 else State.TRACKING) for i in range(1, 4)]
    tracker = Script(estimates)
    track = ope.track_sequence(tracker, sequence)
    assert tracker.started_on == sequence.first_box
    assert track.boxes.tolist() == [list(sequence.first_box.xywh), [1, 2, 3, 4], [2, 2, 3, 4], [3, 2, 3, 4]]
    assert track.score.tolist() == [1, 0.1, 0.2, 0.3]
    assert track.tracking.tolist() == [True, True, False, True]
    assert track.reported.all(), "UNCERTAIN is reported until it has coasted out"
    assert (track.seconds > 0).all()
    assert track.size == SIZE


def test_an_error_names_the_sequence(data):
    sequence = dataclasses.replace(evaluation.read(data).sequences[0], truth=np.full((4, 4), 1000.0))
    with pytest.raises(UserError, match=r"sequence 'one': box .* lies outside"):
        ope.track_sequence(KCF.load(), sequence)


def test_raw_results_return_and_say_what_they_are(tmp_path):
    track = raw.Track(
        np.arange(8.0).reshape(2, 4),
        np.array([1, 0.25]),
        np.array([True, False]),
        np.array([0.5, 0.01]),
        (640, 480),
        np.array([True, True]),
        np.array([np.nan, 0.5]),
    )
    path = tmp_path / "deep" / "a.txt"
    raw.save(path, track, {"model": "x"})
    found = raw.load(path)
    for field in dataclasses.fields(raw.Track):
        assert np.array_equal(getattr(found, field.name), getattr(track, field.name), equal_nan=True)
    assert raw.made_with(path) == {"model": "x"}
    assert np.loadtxt(path, delimiter=",").shape == (2, 9)
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("text", ["", "1,2,3,4\n", "# []\n", "# no json\n"])
def test_foreign_files_are_no_results(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    assert raw.made_with(tmp_path / "a.txt") is None


def test_done_sequences_are_not_run_again(data, tmp_path):
    tasks = ope.plan([KCF], evaluation.read(data).sequences, tmp_path / "out")
    assert [str(t.path.relative_to(tmp_path)) for t in tasks] == ["out/raw/kcf/one.txt", "out/raw/kcf/two.txt"]
    assert list(ope.run(tasks[:1], jobs=1)) == [(tasks[0], None)]
    assert ope.pending(tasks) == tasks[1:]
    list(ope.run(ope.pending(tasks), jobs=1))
    assert ope.pending(tasks) == []


@pytest.mark.parametrize("change", ["options", "frames", "truth", "damage"])
def test_results_made_with_something_else_are_not_used(data, tmp_path, change):
    tasks = ope.plan([KCF], evaluation.read(data).sequences, tmp_path)
    list(ope.run(tasks, jobs=1))
    entry, expected = KCF, ["one"]
    if change == "options":
        entry, expected = ope.Entry.parse("kcf", {"threads": 1}), ["one", "two"]
    elif change == "frames":
        (data / "one" / "4.png").rename(data / "one" / "5.png")
    elif change == "truth":
        rows = (data / "one" / "groundtruth.txt").read_text().splitlines()
        (data / "one" / "groundtruth.txt").write_text("\n".join(["21,40,24,24", *rows[1:]]))
    else:
        tasks[0].path.write_text("nonsense")
    waiting = ope.pending(ope.plan([entry], evaluation.read(data).sequences, tmp_path))
    assert [task.sequence.name for task in waiting] == expected


def test_processes_give_the_same_boxes_as_one(data, tmp_path):
    sequences, handler = evaluation.read(data).sequences, signal.getsignal(signal.SIGINT)
    alone, shared = ope.plan([KCF], sequences, tmp_path / "1"), ope.plan([KCF], sequences, tmp_path / "2")
    list(ope.run(alone, jobs=1))
    assert {task.path for task, _ in ope.run(shared, jobs=2)} == {task.path for task in shared}
    for a, b in zip(alone, shared, strict=True):
        assert np.array_equal(raw.load(a.path).boxes, raw.load(b.path).boxes)
    assert ope.pending(shared) == []
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_damaged_picture_is_reported_and_the_other_sequences_run(data, tmp_path, jobs):
    tasks = ope.plan([KCF], evaluation.read(data).sequences, tmp_path)
    (data / "one" / "3.png").write_bytes(b"no picture")
    errors = {task.sequence.name: error for task, error in ope.run(tasks, jobs)}
    assert re.match(r"sequence 'one': picture .*3.png' cannot be decoded", str(errors["one"]))
    assert errors["two"] is None
    assert ope.pending(tasks) == tasks[:1]


def test_missing_packages_can_be_pickled():
    import pickle

    error = MissingPackage("torch", "training", "pip install torch")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("text", "label", "model", "weights"),
    [
        ("mvt", "mvt", "mvt", "common"),
        ("mvt@runs/best", "mvt@best", "mvt", "runs/best"),
        ("mine=mvt@runs/best", "mine", "mvt", "runs/best"),
        ("mine=mvt", "mine", "mvt", "common"),
        ("a=b=mvt", "a=b", "mvt", "common"),
        ("my@1=mvt@best", "my@1", "mvt", "best"),
        ("mvt@runs/rate=0.1/best", "mvt@best", "mvt", "runs/rate=0.1/best"),
        ("mine=mvt@runs/rate=0.1", "mine", "mvt", "runs/rate=0.1"),
        ("csrt", "csrt", "csrt", ""),
    ],
)
def test_entries(text, label, model, weights):
    entry = ope.Entry.parse(text, {"weights": "common", "threads": 2})
    assert (entry.label, entry.model) == (label, model)
    assert dict(entry.options) == {"weights": weights, "threads": 2}


def test_random_weights_are_said_in_the_label():
    assert ope.Entry.parse("mvt", {"weights": "random"}).label == "mvt@random"
    assert ope.Entry.parse("mvt@random", {}).label == "mvt@random"
    assert ope.Entry.parse("kcf", {"weights": "random"}).label == "kcf"
    assert ope.Entry.parse("mine=mvt@random", {}).label == "mine@random"


def test_a_folder_of_random_weights_is_said_in_the_label(monkeypatch, tmp_path):
    (tmp_path / ope.MANIFEST).write_text("{}")
    monkeypatch.setattr(ope, "find_weights", lambda model, weights: Source(folder=tmp_path, random=True))
    assert ope.Entry.parse(f"seeded=mvt@{tmp_path}", {}).label == "seeded@random"
    assert ope.Entry.parse("mvt", {"weights": str(tmp_path)}).label == "mvt@random"


@pytest.mark.parametrize(
    ("text", "words"),
    [("foo", "unknown model 'foo'"), ("csrt@x", "has no network"), ("=mvt", "label"), ("../a=mvt", "label")],
)
def test_entries_refused(text, words):
    with pytest.raises(UserError, match=words):
        ope.Entry.parse(text, {})


def test_new_weights_in_the_same_place_make_results_stale(data, tmp_path):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"old")
    task = ope.plan([ope.Entry.parse(f"mvt@{weights}", {})], evaluation.read(data).sequences, tmp_path)[0]
    before = ope.made_with(task)
    weights.write_bytes(b"newer")
    assert ope.made_with(task) != before
