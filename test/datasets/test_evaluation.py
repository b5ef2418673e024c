from __future__ import annotations

import pytest

from sot_tracker.datasets import evaluation
from sot_tracker.errors import UserError

import trees


@pytest.fixture
def data(tmp_path):
    for name in ("cat/cat-1", "cat/cat-2", "dog/dog-10"):
        trees.sequence(tmp_path / name, 4)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ["cat/cat-1", "cat/cat-2", "dog/dog-10"]),
        (["cat-2"], ["cat/cat-2"]),
        (["cat/cat-2", "dog-10"], ["cat/cat-2", "dog/dog-10"]),
        (["cat*"], ["cat/cat-1", "cat/cat-2"]),
        (["*-1?"], ["dog/dog-10"]),
    ],
)
def test_names(data, names, expected):
    assert [s.name for s in evaluation.read(data, names).sequences] == expected


def test_an_unknown_name_comes_with_the_nearest_ones(data):
    with pytest.raises(UserError, match=r"--sequences cat-3: .*similar names are cat/cat-"):
        evaluation.read(data, ["cat-3"])


def test_only_so_many_frames(data):
    for sequence in evaluation.read(data, frames=3).sequences:
        assert len(sequence.frames) == len(sequence.truth) == len(sequence.visible) == len(sequence.known) == 3


def test_single_pictures_are_counted_and_left_out(tmp_path):
    found = evaluation.read(trees.jsonl(tmp_path))
    assert [s.name for s in found.sequences] == ["clip_0#0", "clip_1#0", "clip_2#0"]
    assert found.stills == 2
    assert not found.refused


def test_a_sequence_must_begin_with_the_target(data):
    (data / "cat" / "cat-1" / "groundtruth.txt").write_text("0,0,0,0\n1,2,3,4\n1,2,3,4\n1,2,3,4\n")
    found = evaluation.read(data)
    assert [item.name for item in found.refused] == ["cat/cat-1"]
    assert len(found.sequences) == 2
    with pytest.raises(UserError, match="no target in the first frame"):
        evaluation.read(data, ["cat-1"])


def test_nothing_to_evaluate(tmp_path):
    with pytest.raises(UserError, match="only 1 single pictures: give sequences"):
        evaluation.read(trees.coco(tmp_path))
