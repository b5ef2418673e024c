"""Data folders: what is found in them, under which names, and what is refused without stopping the rest."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from sot_tracker.datasets.find import find, frames_of, sequences_in, truth_of
from sot_tracker.datasets.layouts import LAYOUTS
from sot_tracker.datasets.records import Refused
from sot_tracker.errors import UserError

import trees
from clips import boxes, write_sequence

TRUTH = boxes(3)


def only(folder):
    (sequence,) = sequences_in(folder)
    return sequence


def names(data):
    return [found.name for found in find(data)]


@pytest.mark.parametrize("layout", trees.LAYOUTS)
def test_layout_is_recognised_and_read(layout, tmp_path):
    found = list(find(trees.LAYOUTS[layout](tmp_path)))
    assert {sequence.layout for sequence in found} == {layout}
    for sequence in found:
        count = len(sequence.frames)
        assert all(path.is_file() for path in sequence.frames)
        assert sequence.truth.shape == (count, 4)
        assert sequence.visible.shape == sequence.known.shape == sequence.numbers.shape == (count,)
        assert np.isfinite(sequence.truth[sequence.visible]).all()
        assert list(sequence.numbers) == sorted(sequence.numbers)
        index = int(np.argmax(sequence.visible))
        if sequence.visible[index] and layout != "list":
            seed = int(sequence.numbers[index])
            assert sequence.truth[index].tolist() == list(trees.box(seed))
            assert sequence.picture(index).shape == (*trees.SIZE, 3)


def test_every_layout_has_a_test_tree():
    # Recordings have no files of pictures: layouts/test_recording.py is theirs.
    assert {layout.name for layout in LAYOUTS} - {"recording"} == set(trees.LAYOUTS)


def test_found_at_any_depth_by_name_and_through_links(tmp_path):
    write_sequence(tmp_path / "data" / "cat" / "cat-2", TRUTH)
    write_sequence(tmp_path / "elsewhere", TRUTH)
    folder = write_sequence(tmp_path / "data" / "b", TRUTH)
    (folder / "img").mkdir()
    for picture in folder.glob("*.png"):
        picture.rename(folder / "img" / picture.name)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    assert names(tmp_path / "data") == ["b", "cat/cat-2", "elsewhere"]
    assert names(folder) == ["b"]


def test_sequences_are_in_natural_order_and_hidden_folders_left_out(tmp_path):
    for name in ("s10", "s2", "s1", ".hidden", "__MACOSX"):
        trees.sequence(tmp_path / name, 2)
    assert names(tmp_path) == ["s1", "s2", "s10"]


def test_several_layouts_in_one_folder(tmp_path):
    for name, make in trees.LAYOUTS.items():
        make(tmp_path / name)
    assert {sequence.layout for sequence in find(tmp_path)} == set(trees.LAYOUTS)


def test_one_odd_sequence_leaves_the_others(tmp_path):
    for name in ("a", "b", "c"):
        trees.sequence(tmp_path / name, 3)
    (tmp_path / "b" / "0002.jpg").unlink()
    found = list(find(tmp_path))
    assert [type(item) is Refused for item in found] == [False, True, False]
    assert found[1].name == "b"
    assert "groundtruth.txt' has 3 rows for 2 frames" in str(found[1].error)


def test_one_odd_video_of_trackingnet_leaves_the_others(tmp_path):
    trees.trackingnet(tmp_path)
    (tmp_path / "TRAIN_0" / "anno" / "xyz.txt").write_text("1,2,3,4\n")
    (tmp_path / "TRAIN_0" / "anno" / "._abc.txt").write_text("left by another system")
    first, second = find(tmp_path)
    assert (first.name, first.own_name) == ("TRAIN_0/abc", "abc")
    assert second.name == "TRAIN_0/xyz"
    assert "has no frames" in str(second.error)


@pytest.mark.parametrize("seed", range(8))
def test_every_frame_keeps_its_row_whatever_the_names(seed, tmp_path):
    """Frame number i was drawn with box i: in natural order each picture has its own row, in any padding."""
    rng = random.Random(seed)
    count, pattern = rng.randint(2, 24), rng.choice(["{}.jpg", "{:04d}.png", "img/{}.jpg", "color/frame_{}.png"])
    folder = trees.sequence(tmp_path / "a", count, pattern, start=rng.choice([0, 1, 95]))
    for name in rng.sample(["Thumbs.db", ".DS_Store", "._1.jpg", "notes.txt", "preview.png"], 3):
        (folder / pattern.format(0)).parent.joinpath(name).write_bytes(b"\0")
    sequence = only(folder)
    assert len(sequence.frames) == len(sequence.truth) == count
    for i in range(count):
        x, y, w = (int(v) for v in sequence.truth[i, :3])
        seen = sequence.picture(i)[y : y + 4, x : x + w].reshape(-1, 3).mean(axis=0)  # the target's upper border
        assert np.abs(seen - (40, 90, 250)).max() < 40


@pytest.mark.parametrize("seed", range(8))
def test_one_row_or_picture_too_few_or_many_is_refused(seed, tmp_path):
    rng = random.Random(seed)
    folder = trees.sequence(tmp_path / "a", rng.randint(3, 12))
    truth = folder / "groundtruth.txt"
    lines = truth.read_text().splitlines()
    place = rng.randrange(len(lines))
    change = seed % 4
    if change == 0:
        sorted(folder.glob("*.jpg"))[place].unlink()
    elif change == 1:
        del lines[place]
    elif change == 2:
        lines.insert(place, lines[place])
    else:
        lines[place] = ""
    truth.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"groundtruth.txt' has \d+ rows.* for \d+ frames"):
        only(folder)


def test_the_sequence_of_a_folder(tmp_path):
    folder = trees.sequence(tmp_path / "a", 3)
    trees.write(folder / "0001_mask.png", 0)
    assert [path.name for path in frames_of(folder)] == ["0001.jpg", "0002.jpg", "0003.jpg"]
    (folder / "absence.label").write_text("0\n1\n0\n")
    assert np.isnan(truth_of(folder)).all(axis=1).tolist() == [False, True, False]


def test_a_folder_without_truth(tmp_path):
    trees.write(tmp_path / "a" / "2.jpg", 0)
    trees.write(tmp_path / "a" / "10.jpg", 0)
    assert sequences_in(tmp_path / "a") == []
    assert truth_of(tmp_path / "a") is None
    assert [path.name for path in frames_of(tmp_path / "a")] == ["2.jpg", "10.jpg"]
    assert sequences_in(tmp_path / "none") == []


def test_a_folder_with_two_targets_needs_a_box(tmp_path):
    folder = trees.sequence(tmp_path / "Jogging", 3, "img/{:04d}.jpg", "groundtruth_rect.1.txt")
    (folder / "groundtruth_rect.2.txt").write_text((folder / "groundtruth_rect.1.txt").read_text())
    with pytest.raises(UserError, match=r"several targets \(Jogging-1, Jogging-2\): give the box"):
        truth_of(folder)
    assert truth_of(folder, has_box=True) is None
    assert len(frames_of(folder)) == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, r"groundtruth.txt, groundtruth_rect.txt, .*known layouts \(list, coco, "),
        (lambda root: (root / "a.txt").touch(), "no data set was found"),
    ],
)
def test_nothing_known(make, words, tmp_path):
    make(tmp_path)
    with pytest.raises(UserError, match=words):
        list(find(tmp_path))


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match=r"does not exist: .*, otb, folder, recording$"):
        list(find(tmp_path / "nowhere"))
    (tmp_path / "file.txt").touch()
    with pytest.raises(UserError, match="is a file"):
        list(find(tmp_path / "file.txt"))


def test_pixels_are_read_as_stored_without_the_turn_of_exif(tmp_path):
    """Truth is given in stored pixels; training's cache and evaluation read through the same function."""
    image = pytest.importorskip("PIL.Image")
    folder = trees.sequence(tmp_path / "a", 2)
    exif = image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    image.open(folder / "0001.jpg").save(folder / "0001.jpg", exif=exif)
    assert cv2.imread(str(folder / "0001.jpg")).shape[:2] == trees.SIZE[::-1]  # else the file would prove nothing
    assert only(folder).picture(0).shape[:2] == trees.SIZE
