"""The peers' own files are not here: a fake of OpenCV's classes stands for them, real files are tried by hand."""

import types
from dataclasses import replace
from typing import ClassVar

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.catalog import MODELS, spec
from sot_tracker.cli import main
from sot_tracker.errors import UserError
from sot_tracker.evaluate.ope import Entry
from sot_tracker.loading import load
from sot_tracker.opencv import OpenCVTracker
from sot_tracker.opencv_peers import PEERS, find_files
from sot_tracker.tracker import State

from clips import frame

BOX = Box(40, 30, 30, 30)


class FakePeer:
    """Answers the boxes and scores that the test lists."""

    answers: ClassVar[list] = []
    made: ClassVar[list] = []

    @classmethod
    def create(cls, parameters):
        cls.made.append(parameters)
        return cls()

    def init(self, image, rect):
        self.score = 1.0

    def update(self, image):
        found, rect, self.score = self.answers.pop(0) if self.answers else (True, (1, 2, 30, 40), 0.9)
        return found, rect

    def getTrackingScore(self):  # noqa: N802
        return self.score


def parameters(name):
    fields = dict.fromkeys(PEERS[name].files, "")
    return types.SimpleNamespace(**fields, **({"tracking_score_threshold": 0.2} if name == "vittrack" else {}))


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.setattr(FakePeer, "answers", [])
    monkeypatch.setattr(FakePeer, "made", [])
    for name, peer in PEERS.items():
        monkeypatch.setattr(cv2, peer.cls, FakePeer, raising=False)
        monkeypatch.setattr(cv2, f"{peer.cls}_Params", lambda name=name: parameters(name), raising=False)
    return FakePeer


def folder(tmp_path, name, names=None):
    for file in names or [file.name for file in PEERS[name].files.values()]:
        (tmp_path / file).write_bytes(b"onnx")
    return str(tmp_path)


@pytest.mark.parametrize("name", PEERS)
def test_files_reach_opencv(name, tmp_path, peers):
    tracker = load(name, weights=folder(tmp_path, name))
    tracker.init(frame(BOX), BOX)
    estimate = tracker.update(frame(BOX))
    assert (estimate.box, estimate.score, estimate.state) == (Box(1, 2, 30, 40), 0.9, State.TRACKING)
    assert list(estimate.times) == ["track"]
    given = peers.made[-1]
    assert {key: getattr(given, key) for key in PEERS[name].files} == {
        key: str(tmp_path / file.name) for key, file in PEERS[name].files.items()
    }


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize(
    ("score", "asked", "state"),
    [
        (0.95, -1.0, State.TRACKING),
        (0.1, -1.0, State.UNCERTAIN),
        (0.95, 0.97, State.UNCERTAIN),
        (0.1, 0.0, State.TRACKING),
    ],
)
def test_scores_below_the_threshold_are_uncertain(name, score, asked, state, tmp_path, peers):
    tracker = load(name, weights=folder(tmp_path, name), lost_threshold=asked)
    tracker.init(frame(BOX), BOX)
    peers.answers = [(True, (5, 6, 30, 40), score)]
    estimate = tracker.update(frame(BOX))
    assert (estimate.state, estimate.score, estimate.box) == (state, score, Box(5, 6, 30, 40))


def test_the_threshold_may_be_changed_while_tracking(tmp_path, peers):
    tracker = load("nanotrack", weights=folder(tmp_path, "nanotrack"), lost_threshold=0.95)
    tracker.init(frame(BOX), BOX)
    assert tracker.update(frame(BOX)).state is State.UNCERTAIN
    tracker.policy = replace(tracker.policy, lost_threshold=0.8)
    assert tracker.update(frame(BOX)).state is State.TRACKING
    tracker.policy = replace(tracker.policy, lost_threshold=-1.0)
    peers.answers = [(True, (5, 6, 30, 40), 0.85)]
    assert tracker.update(frame(BOX)).state is State.UNCERTAIN


@pytest.mark.parametrize(("score", "message"), [(1.2, 1.0), (-0.5, 0.0), (float("nan"), 0.0)])
def test_scores_are_held_in_range(score, message, tmp_path, peers):
    tracker = load("dasiamrpn", weights=folder(tmp_path, "dasiamrpn"))
    tracker.init(frame(BOX), BOX)
    peers.answers = [(True, (5, 6, 30, 40), score)]
    assert tracker.update(frame(BOX)).score == message


def test_vittrack_keeps_its_window_below_the_threshold(tmp_path, peers):
    tracker = load("vittrack", weights=folder(tmp_path, "vittrack"), lost_threshold=0.4)
    tracker.init(frame(BOX), BOX)
    assert peers.made[-1].tracking_score_threshold == 0.4
    peers.answers = [(False, (99, 99, 5, 5), 0.3)]
    lost = tracker.update(frame(BOX))
    assert (lost.state, lost.score, lost.box) == (State.UNCERTAIN, 0.3, BOX)


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("weights", ["", "random", "no/such/folder"])
def test_missing_weights_name_files_and_publisher(name, weights):
    with pytest.raises(UserError) as reported:
        load(name, weights=weights)
    text = str(reported.value)
    assert all(file.name in text for file in PEERS[name].files.values())
    assert PEERS[name].publisher in text
    assert "\n" not in text
    assert "://" not in text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["backbone.onnx", "head.onnx"], None),
        (["nanotrack_backbone_sim.onnx", "other_backbone.onnx", "v2_head.onnx"], None),
        (["backbone.onnx"], "has no nanotrack_head_sim.onnx"),
        (["backbone.onnx", "backbone_int8.onnx", "head.onnx"], r"several files .*backbone.onnx, backbone_int8.onnx"),
    ],
)
def test_files_are_found_by_name_or_pattern(names, message, tmp_path):
    weights = folder(tmp_path, "nanotrack", names)
    if message is None:
        assert [path.name for path in find_files("nanotrack", weights).values()] == [names[0], names[-1]]
        return
    with pytest.raises(UserError, match=message):
        find_files("nanotrack", weights)


@pytest.mark.parametrize("name", PEERS)
def test_damaged_files_are_refused_at_load(name, tmp_path):
    """With OpenCV itself."""
    with pytest.raises(UserError, match=rf"cannot run .*onnx as {name}") as reported:
        OpenCVTracker(name, weights=folder(tmp_path, name))
    assert "\n" not in str(reported.value)


def test_files_that_fail_in_the_first_frame_are_refused_at_load(tmp_path, peers, monkeypatch):
    def fail(self, image):
        error = cv2.error("long text")
        error.err = "sizes do not match\nmore"
        raise error

    monkeypatch.setattr(FakePeer, "update", fail)
    with pytest.raises(UserError, match="sizes do not match"):
        OpenCVTracker("nanotrack", weights=folder(tmp_path, "nanotrack"))


def test_a_peer_in_the_tables(tmp_path, capsys, peers):
    weights = folder(tmp_path, "nanotrack")
    entry = Entry.parse(f"mine=nanotrack@{weights}", {"weights": ""})
    assert (entry.label, dict(entry.options)["weights"]) == ("mine", weights)
    assert entry.load().name == "nanotrack"
    assert main(["models"]) == 0
    assert "| yours " in next(line for line in capsys.readouterr().out.splitlines() if "| nanotrack" in line)


def test_bench_takes_a_peer(tmp_path, capsys):
    arguments = ["bench", "--model", "nanotrack", "--frames", "1", "--size", "64x64", "--no-pipeline"]
    assert main(arguments) == 2
    assert "'nanotrack' needs the weights of its authors" in capsys.readouterr().err


def test_rows_say_who_takes_weights():
    assert {name for name in MODELS if not spec(name).takes_weights} == {"csrt", "kcf", "mil"}
    assert {name for name in MODELS if spec(name).opencv_weights} == set(PEERS)


def test_the_log_level_is_given_back(tmp_path, peers):
    log = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2
    before = log.getLogLevel()
    OpenCVTracker("nanotrack", weights=folder(tmp_path, "nanotrack")).init(np.zeros((64, 64, 3), np.uint8), BOX)
    assert log.getLogLevel() == before
