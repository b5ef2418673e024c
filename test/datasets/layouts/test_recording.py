"""Recordings with true boxes as sequences of `eval`; the report is that of the same frames as pictures."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="reads recordings")

from sot_tracker.cli import main
from sot_tracker.datasets import training
from sot_tracker.datasets.find import find
from sot_tracker.datasets.layouts import Topics
from sot_tracker.datasets.records import Refused
from sot_tracker.errors import UserError

from bags import clip, compressed, truth_of, write_bag
from clips import boxes, frame, write_sequence

TRUTH = boxes(6)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of two recordings: a folder of rosbag2 and a bare file."""
    write_bag(tmp_path / "data" / "one", [*clip(TRUTH), *truth_of(TRUTH)], "sqlite3")
    two = write_bag(tmp_path / "two", [*clip(TRUTH, make=compressed), *truth_of([None, *TRUTH[1:5]])])
    (tmp_path / "data" / "files").mkdir()
    next(two.glob("*.mcap")).rename(tmp_path / "data" / "files" / "two.mcap")
    return tmp_path / "data"


def test_sequences_begin_with_the_target(data: Path) -> None:
    files, folder = sorted(find(data), key=lambda found: found.name)
    assert (files.name, folder.name) == ("files/two", "one")
    assert files.numbers.tolist() == [1, 2, 3, 4, 5]
    assert files.known.tolist() == [True] * 4 + [False]
    assert files.truth[0].tolist() == list(TRUTH[1].xywh)
    assert folder.visible.all()


def test_pictures_in_any_order_also_in_another_process(data: Path) -> None:
    sequence = next(found for found in find(data) if found.name == "files/two")
    for index in (0, 1, 4, 2, 3, 4, 0):
        assert np.array_equal(sequence.picture(index), frame(TRUTH[index + 1]))
    copy = pickle.loads(pickle.dumps(sequence))
    assert np.array_equal(copy.picture(3), frame(TRUTH[4]))


def test_frames_recorded_in_the_same_instant(tmp_path: Path) -> None:
    pictures = [(topic, 7, message) for topic, _, message in clip(TRUTH)]
    (sequence,) = find(write_bag(tmp_path / "run", [*pictures, *truth_of(TRUTH)]))
    for index in (3, 4, 1):
        assert np.array_equal(sequence.picture(index), frame(TRUTH[index]))


@pytest.mark.parametrize(
    ("messages", "topics", "words"),
    [
        (clip(TRUTH), Topics(), "has no topic of true boxes .* with --truth-topic"),
        ([*clip(TRUTH), *truth_of([None] * 6)], Topics(), "no true box has the stamp of a frame"),
        ([*clip(TRUTH, "/a"), *clip(TRUTH, "/b"), *truth_of(TRUTH)], Topics(), "several image topics"),
        ([*clip(TRUTH), *truth_of(TRUTH)], Topics(image="/nope"), "has no image topic /nope"),
    ],
)
def test_refused(tmp_path: Path, messages: list, topics: Topics, words: str) -> None:
    (found,) = find(write_bag(tmp_path / "run", messages), topics)
    assert isinstance(found, Refused)
    with pytest.raises(UserError, match=words):
        raise found.error


def test_recordings_of_ros_1_are_named(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
    for place in (tmp_path / "old.bag", tmp_path):
        (tmp_path / "new.mcap").touch()
        refused = [found for found in find(place) if isinstance(found, Refused) and found.name == "old.bag"]
        assert "recording of ROS 1" in str(refused[0].error)


def test_topics_by_name(tmp_path: Path) -> None:
    run = write_bag(tmp_path / "run", [*clip(TRUTH, "/a"), *clip(TRUTH, "/b"), *truth_of(TRUTH, "/boxes")])
    (found,) = find(run, Topics("/b", "/boxes"))
    assert len(found.frames) == 6


def test_training_says_that_it_cannot(data: Path) -> None:
    with pytest.raises(UserError, match="is a recording, which training cannot read"):
        training.read(data)


def test_eval_gives_the_figures_of_the_same_pictures(tmp_path: Path) -> None:
    run = write_bag(tmp_path / "run", [*clip(TRUTH), *truth_of(TRUTH)])
    file = next(run.glob("*.mcap"))
    write_sequence(tmp_path / "pictures" / "run", TRUTH)  # type: ignore[arg-type]
    figures = {}
    for name, data in (("folder", run), ("file", file), ("pictures", tmp_path / "pictures")):
        out = tmp_path / f"out_{name}"
        assert main(["eval", "--data", str(data), "--model", "kcf", "--out", str(out), "--no-plots"]) == 0
        found = json.loads((out / "summary.json").read_text())["models"]["kcf"]
        figures[name] = {key: value for key, value in found.items() if key != "fps"}
    assert figures["folder"] == figures["file"] == figures["pictures"]
    assert figures["file"]["ao"] > 0.5


def test_eval_in_several_processes_with_the_worst_frames(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    assert main(["eval", "--data", str(data), "--model", "kcf", "--out", str(out), "--jobs", "2"]) == 0
    assert (out / "worst" / "kcf.jpg").is_file()
    assert (out / "raw" / "kcf" / "files" / "two.txt").is_file()
