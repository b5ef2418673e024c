"""GOT-10k, LaSOT, OTB, VOT and plain folders."""

from __future__ import annotations

import numpy as np
import pytest

from sot_tracker.datasets.find import find, sequences_in
from sot_tracker.datasets.layouts.sequence_folder import OTB_FRAMES
from sot_tracker.errors import UserError

import trees
from clips import boxes, write_sequence

TRUTH = boxes(3)


def only(folder):
    (sequence,) = sequences_in(folder)
    return sequence


@pytest.mark.parametrize("separator", [",", "\t", " ", ", "])
@pytest.mark.parametrize("name", ["groundtruth.txt", "groundtruth_rect.txt"])
def test_truth_in_all_its_forms(tmp_path, separator, name):
    sequence = only(write_sequence(tmp_path / "a", TRUTH, separator, name))
    assert sequence.truth.tolist() == [list(box.xywh) for box in TRUTH]
    assert [path.name for path in sequence.frames] == ["1.png", "2.png", "3.png"]
    assert sequence.visible.all()
    assert sequence.first_box == TRUTH[0]


def test_nan_and_zero_rows_are_absent(tmp_path):
    folder = trees.sequence(tmp_path / "a", 3)
    (folder / "groundtruth.txt").write_text("1,2,3,4\nnan,nan,nan,nan\n0,0,0,0\n")
    assert only(folder).visible.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("label", "text", "visible"),
    [
        ("absence.label", "0\n1\n0\n", [True, False, True]),
        ("cover.label", "8\n0\n1\n", [True, False, True]),
        ("full_occlusion.txt", "0,0,1", [True, True, False]),
        ("out_of_view.txt", "0,1,0", [True, False, True]),
    ],
)
def test_labels_of_got10k_and_lasot(tmp_path, label, text, visible):
    folder = write_sequence(tmp_path / "a", TRUTH)
    (folder / label).write_text(text)
    assert only(folder).visible.tolist() == visible


def test_labels_add_up(tmp_path):
    folder = write_sequence(tmp_path / "a", TRUTH)
    (folder / "absence.label").write_text("0\n1\n0\n")
    (folder / "cover.label").write_text("8\n8\n0\n")
    assert only(folder).visible.tolist() == [True, False, False]


def remove_frames(folder):
    for picture in folder.glob("*.png"):
        picture.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove_frames, "has no frames"),
        (lambda f: (f / "groundtruth.txt").write_bytes(b"\xff\xfe\x00"), "is not a text file"),
        (lambda f: (f / "1.png").unlink(), "has 3 rows for 2 frames"),
        (lambda f: (f / "groundtruth.txt").write_text("1,2,3,4\n1,2,3\n1,2,3,4\n"), "line 2 is not x,y,w,h: '1,2,3'"),
        (lambda f: (f / "groundtruth.txt").write_text(""), "has 0 rows for 3 frames"),
        (lambda f: (f / "cover.label").write_text("8\n8\n"), "has 2 values for 3 frames"),
        (lambda f: (f / "cover.label").write_text("8\nx\n8\n"), "something other than numbers"),
    ],
)
def test_damage_is_reported(tmp_path, spoil, words):
    folder = write_sequence(tmp_path / "a", TRUTH)
    spoil(folder)
    with pytest.raises(UserError, match=words):
        only(folder)


@pytest.mark.parametrize(
    ("name", "pictures", "rows", "first", "last"),
    [
        ("David", range(1, 771), 471, "0300", "0770"),
        ("david", range(1, 771), 471, "0300", "0770"),
        ("Diving", range(1, 232), 215, "0001", "0215"),
        ("Tiger1", range(1, 355), 349, "0006", "0354"),
        ("Football1", range(1, 75), 74, "0001", "0074"),
        ("Freeman3", range(1, 461), 460, "0001", "0460"),
        ("Freeman4", range(1, 298), 283, "0001", "0283"),
        ("BlurCar1", range(247, 989), 742, "0247", "0988"),
        ("BlurCar1", range(1, 989), 742, "0247", "0988"),
        ("BlurCar3", range(1, 360), 357, "0003", "0359"),
        ("BlurCar4", range(18, 398), 380, "0018", "0397"),
    ],
)
def test_otb_sequences_with_truth_for_a_part_of_the_pictures(name, pictures, rows, first, last, tmp_path):
    (tmp_path / name / "img").mkdir(parents=True)
    for number in pictures:
        (tmp_path / name / "img" / f"{number:04d}.jpg").touch()
    (tmp_path / name / "groundtruth_rect.txt").write_text(trees.rows((i, 1, 2, 3) for i in range(rows)))
    sequence = only(tmp_path / name)
    assert (sequence.frames[0].stem, sequence.frames[-1].stem) == (first, last)
    assert len(sequence.frames) == rows
    assert sequence.numbers[0] == int(first) - pictures[0]
    assert sequence.truth[:, 0].tolist() == list(range(rows))


@pytest.mark.parametrize(("name", "rows"), [("David", 470), ("Boy", 471)])
def test_another_part_is_refused(name, rows, tmp_path):
    (tmp_path / name / "img").mkdir(parents=True)
    for number in range(1, 771):
        (tmp_path / name / "img" / f"{number:04d}.jpg").touch()
    (tmp_path / name / "groundtruth_rect.txt").write_text(trees.rows((i, 1, 2, 3) for i in range(rows)))
    with pytest.raises(UserError, match=rf"has {rows} rows for 770 frames"):
        only(tmp_path / name)


def test_the_ranges_of_otb_are_ranges():
    assert all(0 < first < last for first, last in OTB_FRAMES.values())


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("Jogging", {"groundtruth_rect.1.txt": 0, "groundtruth_rect.2.txt": 1}, {"Jogging-1": 0, "Jogging-2": 1}),
        ("two", {"groundtruth.1.txt": 0, "groundtruth.2.txt": 1}, {"two-1": 0, "two-2": 1}),
        ("Human4", {"groundtruth_rect.1.txt": None, "groundtruth_rect.2.txt": 1}, {"Human4-2": 1}),
        ("many", {f"groundtruth_rect.{i}.txt": i for i in (1, 2, 10)}, {"many-1": 1, "many-2": 2, "many-10": 10}),
    ],
)
def test_every_truth_file_is_a_sequence(name, files, expected, tmp_path):
    folder = trees.sequence(tmp_path / name, 2, "img/{:04d}.jpg")
    (folder / "groundtruth.txt").unlink()
    for file, shift in files.items():
        (folder / file).write_text("" if shift is None else f"{shift},1,2,3\n{shift},1,2,3\n")
    found = list(find(tmp_path))
    assert {s.name: int(s.truth[0, 0]) for s in found} == expected
    assert [s.name for s in found] == list(expected)
    assert {s.group for s in found} == {name}


def test_the_first_row_alone_is_a_start_without_truth(tmp_path):
    """GOT-10k's test set."""
    folder = trees.sequence(tmp_path / "GOT-10k_Test_000001", 4, "{:08d}.jpg")
    (folder / "groundtruth.txt").write_text("1,2,3,4\n")
    sequence = only(folder)
    assert sequence.known.tolist() == sequence.visible.tolist() == [True, False, False, False]
    assert np.isnan(sequence.truth[1:]).all()


def test_vot_polygons_and_masks(tmp_path):
    trees.vot(tmp_path)
    (polygons,) = find(tmp_path)
    assert polygons.truth_kind == "polygon"
    assert polygons.truth.tolist() == [list(trees.box(i)) for i in range(4)]
    lines = [f"m{x},{y},{w},{h},0,{w * h}" for x, y, w, h in map(trees.box, range(4))]
    (tmp_path / "ball" / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    (masks,) = find(tmp_path)
    assert masks.truth_kind == "mask"
    assert masks.truth.tolist() == polygons.truth.tolist()


def test_pictures_in_img_are_the_frames_and_those_beside_it_are_not(tmp_path):
    folder = trees.sequence(tmp_path / "a", 3, "img/{}.jpg")
    trees.write(folder / "1.png", 0)
    assert [path.parent.name for path in only(folder).frames] == ["img"] * 3
