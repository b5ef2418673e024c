from __future__ import annotations

import pytest

from sot_tracker.datasets.find import find
from sot_tracker.datasets.layouts.uav123 import STARTS

import trees


def test_a_long_video_is_cut_where_the_benchmark_cuts_it(tmp_path):
    whole, part = find(trees.uav123(tmp_path))
    assert (whole.name, [p.name for p in whole.frames]) == (
        "UAV123/bike1",
        ["000001.jpg", "000002.jpg", "000003.jpg"],
    )
    assert part.name == "UAV123/bird1_2"
    assert (part.own_name, part.group) == ("bird1_2", "bird1")
    assert [p.stem for p in part.frames] == ["000775", "000776", "000777"]
    assert part.numbers.tolist() == [774, 775, 776]
    assert part.visible.tolist() == [True, True, False]


def test_ten_frames_per_second_keep_every_third_picture(tmp_path):
    folder = tmp_path / "data_seq" / "UAV123_10fps" / "bird1"
    folder.mkdir(parents=True)
    for number in range(1, 300):
        (folder / f"{number:06d}.jpg").touch()
    (tmp_path / "anno" / "UAV123_10fps").mkdir(parents=True)
    (tmp_path / "anno" / "UAV123_10fps" / "bird1_2.txt").write_text("1,2,3,4\n1,2,3,4\n")
    (part,) = find(tmp_path)
    assert [p.stem for p in part.frames] == ["000259", "000260"]


def test_uav20l_takes_the_pictures_of_uav123(tmp_path):
    trees.uav123(tmp_path)
    (tmp_path / "anno" / "UAV20L").mkdir()
    (tmp_path / "anno" / "UAV20L" / "bike1.txt").write_text(trees.rows(trees.box(i) for i in range(3)))
    assert [found.name for found in find(tmp_path)] == ["UAV20L/bike1", "UAV123/bike1", "UAV123/bird1_2"]


@pytest.mark.parametrize(
    ("file", "rows", "words"),
    [
        ("bike1", 2, "has 2 rows for 3 frames"),
        ("bird1_2", 9, "has 9 rows for 4 frames"),
        ("boat3", 2, "has no frames for them"),
    ],
)
def test_refused(file, rows, words, tmp_path):
    trees.uav123(tmp_path)
    (tmp_path / "anno" / "UAV123" / f"{file}.txt").write_text("1,2,3,4\n" * rows)
    refused = {found.name: found for found in find(tmp_path)}[f"UAV123/{file}"]
    assert words in str(refused.error)


def test_parts_follow_each_other():
    """Each part begins after the one before it."""
    for name, start in STARTS.items():
        video, _, part = name.rpartition("_")
        before = STARTS.get(f"{video}_{int(part) - 1}", 1)
        assert before < start
