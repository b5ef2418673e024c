"""Which pictures are frames, and in which order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sot_tracker.datasets.pictures import choose_frames, list_pictures, picture_number
from sot_tracker.natural import natural


@pytest.mark.parametrize(
    "ordered",
    [
        ["1", "2", "10", "11", "100"],
        ["0001", "0002", "0010"],
        ["frame2", "frame10", "frame10b", "other1"],
        ["a/2/x", "a/10/x", "b/1/x"],
        ["20240101_9", "20240101_10", "20240102_1"],
        ["2²", "3²"],  # a digit that is not a decimal number
    ],
)
def test_natural_order(ordered):
    assert sorted(sorted(ordered), key=natural) == ordered


@pytest.mark.parametrize("seed", range(5))
def test_any_padding_gives_the_order_of_the_numbers(seed, tmp_path):
    rng = random.Random(seed)
    numbers = rng.sample(range(5000), 40)
    names = [f"{number:0{rng.choice((0, 0, 4, 8))}d}.jpg" for number in numbers]
    rng.shuffle(names)
    for name in names:
        (tmp_path / name).touch()
    assert [picture_number(path) for path in list_pictures(tmp_path)] == sorted(numbers)


@pytest.mark.parametrize(
    "name", ["Thumbs.db", ".DS_Store", "._2.jpg", ".2.jpg", "desktop.ini", "list.txt", "2.jpg.part"]
)
def test_files_that_are_no_pictures_are_left_out(name, tmp_path):
    for file in ("1.jpg", "3.JPG", name):
        (tmp_path / file).touch()
    (tmp_path / "4.jpg").mkdir()
    assert [path.name for path in list_pictures(tmp_path)] == ["1.jpg", "3.JPG"]


def test_no_folder_holds_no_pictures(tmp_path):
    assert list_pictures(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("names", "expected", "chosen"),
    [
        (["1.jpg", "2.jpg", "1.png", "2.png"], 2, ["1.jpg", "2.jpg"]),
        (["1.png", "2.png", "1_mask.png", "2_mask.png"], 2, ["1.png", "2.png"]),
        (["1.jpg", "2.jpg", "cover.jpg", "preview_1.jpg"], 2, ["1.jpg", "2.jpg"]),
        (["1.jpg", "2.jpg", "thumb1.jpg", "thumb2.jpg", "thumb3.jpg"], 2, ["1.jpg", "2.jpg"]),
        (["1.jpg", "2.jpg", "3.jpg", "mask1.png", "mask2.png"], 9, ["1.jpg", "2.jpg", "3.jpg"]),
        (["1.jpg", "2.png", "3.jpg"], 3, ["1.jpg", "2.png", "3.jpg"]),
        (["a.jpg", "b.jpg"], 2, ["a.jpg", "b.jpg"]),
        (["a.jpg", "b1.jpg"], 2, ["a.jpg", "b1.jpg"]),
        ([], 2, []),
    ],
)
def test_masks_and_other_pictures_are_no_frames(names, expected, chosen):
    assert [path.name for path in choose_frames([Path(name) for name in names], expected)] == chosen
