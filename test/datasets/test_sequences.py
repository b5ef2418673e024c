from pathlib import Path

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.datasets.sequences import find_sequences, read_sequence, read_truth
from sot_tracker.errors import UserError

from clips import boxes, write_sequence

TRUTH = boxes(3)


@pytest.mark.parametrize("separator", [",", "\t", " ", ", "])
@pytest.mark.parametrize("name", ["groundtruth.txt", "groundtruth_rect.txt"])
def test_truth_in_all_its_forms(tmp_path, separator, name):
    sequence = read_sequence(write_sequence(tmp_path / "a", TRUTH, separator, name), "a")
    assert sequence.truth.tolist() == [list(box.xywh) for box in TRUTH]
    assert [path.name for path in sequence.frames] == ["1.png", "2.png", "3.png"]
    assert sequence.visible.all()
    assert sequence.first_box == TRUTH[0]


def test_nan_and_zero_rows_are_absent(tmp_path):
    folder = write_sequence(tmp_path / "a", [*TRUTH, None, Box(0, 0, 0, 0)])
    assert read_sequence(folder, "a").visible.tolist() == [True, True, True, False, False]


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
    assert read_sequence(folder, "a").visible.tolist() == visible


def test_labels_add_up(tmp_path):
    folder = write_sequence(tmp_path / "a", TRUTH)
    (folder / "absence.label").write_text("0\n1\n0\n")
    (folder / "cover.label").write_text("8\n8\n0\n")
    assert read_sequence(folder, "a").visible.tolist() == [True, False, False]


def test_found_at_any_depth_by_name_and_through_links(tmp_path):
    write_sequence(tmp_path / "data" / "cat" / "cat-2", TRUTH)
    write_sequence(tmp_path / "elsewhere", TRUTH)
    folder = write_sequence(tmp_path / "data" / "b", TRUTH)
    (folder / "img").mkdir()
    for picture in folder.glob("*.png"):
        picture.rename(folder / "img" / picture.name)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    assert [s.name for s in find_sequences(tmp_path / "data")] == ["b", "cat/cat-2", "link"]
    assert [s.name for s in find_sequences(folder)] == ["b"]


def test_frames_are_in_natural_order(tmp_path):
    sequence = read_sequence(write_sequence(tmp_path / "a", boxes(11)), "a")
    assert [path.stem for path in sequence.frames] == [str(i) for i in range(1, 12)]


def remove_frames(folder: Path) -> None:
    for picture in folder.glob("*.png"):
        picture.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove_frames, "has no frames"),
        (lambda f: (f / "groundtruth.txt").write_bytes(b"\xff\xfe\x00"), "is no text"),
        (lambda f: (f / "1.png").unlink(), "has 3 rows for 2 frames"),
        (lambda f: (f / "groundtruth.txt").write_text("1,2,3,4\n1,2,3\n1,2,3,4\n"), "line 2 is not x,y,w,h: '1,2,3'"),
        (lambda f: (f / "groundtruth.txt").write_text("0,0,0,0\n1,2,3,4\n1,2,3,4\n"), "no target in the first frame"),
        (lambda f: (f / "groundtruth.txt").write_text(""), "has 0 rows for 3 frames"),
        (lambda f: (f / "cover.label").write_text("8\n8\n"), "has 2 values for 3 frames"),
        (lambda f: (f / "cover.label").write_text("8\nx\n8\n"), "something else than numbers"),
    ],
)
def test_damage_is_told(tmp_path, spoil, words):
    folder = write_sequence(tmp_path / "a", TRUTH)
    spoil(folder)
    with pytest.raises(UserError, match=words):
        find_sequences(tmp_path)


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match=r"no groundtruth.txt or groundtruth_rect.txt"):
        find_sequences(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        find_sequences(tmp_path / "nowhere")


def test_blank_lines_and_byte_order_mark_are_skipped(tmp_path):
    path = tmp_path / "groundtruth.txt"
    path.write_bytes(b"\xef\xbb\xbf1,2,3,4\r\n\r\nNaN,NaN,NaN,NaN\r\n")
    truth = read_truth(path)
    assert truth[0].tolist() == [1, 2, 3, 4]
    assert np.isnan(truth[1]).all()
