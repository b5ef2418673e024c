"""Every official layout, on tiny trees."""

from __future__ import annotations

import numpy as np
import pytest

from sot_tracker.datasets import coco_masks, training
from sot_tracker.errors import UserError

import trees


@pytest.mark.parametrize("name", trees.LAYOUTS)
def test_every_layout_becomes_tracks_of_frames_that_exist(name, tmp_path):
    tracks = training.read(trees.LAYOUTS[name](tmp_path))
    assert tracks
    for track in tracks:
        assert all(frame.path.is_file() for frame in track.frames)
        assert [f.number for f in track.frames] == sorted(f.number for f in track.frames)


@pytest.mark.parametrize(
    ("name", "numbers"), [("got10k", [0, 3, 4]), ("lasot", [0, 2]), ("trackingnet", list(range(12)))]
)
def test_hidden_frames_are_left_out(name, numbers, tmp_path):
    (track,) = training.read(trees.LAYOUTS[name](tmp_path))
    assert [frame.number for frame in track.frames] == numbers
    assert [frame.box for frame in track.frames] == [trees.box(i) for i in numbers]


def test_trackingnet_frames_are_ordered_as_numbers(tmp_path):
    (track,) = training.read(trees.trackingnet(tmp_path))
    assert [frame.path.stem for frame in track.frames] == [str(i) for i in range(12)]


def test_list_joins_objects_of_a_video_and_keeps_backgrounds(tmp_path):
    tracks = {track.name: track for track in training.read(trees.jsonl(tmp_path))}
    assert len(tracks["clip_0#0"].frames) == 4
    assert tracks["clip_0#0"].source == "clip"
    assert tracks["back_0"].frames[0].box is None
    assert tracks["still_0@0"].frames[0].mask is not None


def test_coco_skips_crowds_and_reads_masks(tmp_path):
    (track,) = training.read(trees.coco(tmp_path))
    x, y, w, h = trees.box(0)
    mask = track.frames[0].mask()
    assert mask.shape == trees.SIZE
    assert (mask[y : y + h, x : x + w] == 255).all()
    assert mask[:, : x - 1].max() == 0


def test_one_split_of_coco(tmp_path):
    root = trees.coco(tmp_path)
    (root / "annotations" / "instances_val2017.json").write_text('{"images": [], "annotations": []}')
    (track,) = training.read(root / "annotations" / "instances_train2017.json")
    assert track.name == "000001.jpg@7"
    with pytest.raises(UserError, match="no picture to train on"):
        training.read(root / "annotations" / "instances_val2017.json")


def test_source_can_be_renamed(tmp_path):
    assert {track.source for track in training.read(trees.lasot(tmp_path), "mine")} == {"mine"}


@pytest.mark.parametrize("counts", [[3, 2, 1], "321"], ids=["list", "compressed"])
def test_run_lengths(counts):
    """Column-major, background first: 3 rows x 2 columns with the first two pixels of the second column set."""
    assert coco_masks.read({"size": [3, 2], "counts": counts}, 2, 3).tolist() == [[0, 255], [0, 255], [0, 0]]


def test_compressed_run_lengths_are_differences_from_the_fourth_on():
    flat = np.zeros(400, np.uint8)
    flat[50:90] = flat[140:190] = 255
    coded = _compress([50, 40, 50, 50, 210])
    assert (coco_masks.read({"size": [20, 20], "counts": coded}, 20, 20) == flat.reshape(20, 20).T).all()


def _compress(counts):
    """COCO's own coder, from its definition (rleToString of cocoapi's maskApi.c)."""
    text = ""
    for i, count in enumerate(counts):
        x, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            bits, x = x & 31, x >> 5
            more = x != (-1 if bits & 16 else 0)
            text += chr((bits | 32 if more else bits) + 48)
    return text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "no data set was found"),
        (lambda root: (root / "annotations.jsonl").write_text("{"), "annotations.jsonl:1 is not JSON"),
        (lambda root: (root / "annotations.jsonl").write_text(""), "holds no picture to train on"),
        (lambda root: _truth(root, "1,2,3"), "groundtruth.txt' line 1 is not x,y,w,h"),
        (lambda root: _truth(root, "1,2,x,3"), "groundtruth.txt' line 1 is not x,y,w,h"),
        (lambda root: _truth(root, "1,2,3,4,5\n" * 4), "groundtruth.txt' line 1 .* has 5 numbers"),
        (lambda root: _truth(root, "1,2,3,4\n1,2,3,4\n1,2,3,4\n"), "has 3 rows for 2 frames"),
    ],
)
def test_mistakes_are_reported_in_one_line(make, words, tmp_path):
    make(tmp_path)
    with pytest.raises(UserError, match=words):
        training.read(tmp_path)


def _truth(root, text):
    trees.sequence(root / "a", 2)
    (root / "a" / "groundtruth.txt").write_text(text)


def test_all_that_cannot_be_read_is_reported_at_once(tmp_path):
    for name in ("a", "b", "c"):
        _truth(tmp_path / name, "1,2,3\n")
    trees.sequence(tmp_path / "good", 2)
    with pytest.raises(UserError, match=r"3 sequences of .*a/a/groundtruth.txt.*b/a/groundtruth.txt"):
        training.read(tmp_path)


def test_the_first_row_alone_is_one_frame(tmp_path):
    _truth(tmp_path, "1,2,3,4\n")
    (track,) = training.read(tmp_path)
    assert [frame.number for frame in track.frames] == [0]


def test_targets_of_one_video_are_in_one_group(tmp_path):
    folder = trees.sequence(tmp_path / "Jogging", 2, truth="groundtruth_rect.1.txt")
    (folder / "groundtruth_rect.2.txt").write_text("1,2,3,4\n1,2,3,4\n")
    assert [(t.name, t.group) for t in training.read(tmp_path)] == [("Jogging-1", "Jogging"), ("Jogging-2", "Jogging")]


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        training.read(tmp_path / "none")


def test_generated_clips_are_a_data_set(tmp_path):
    from sot_tracker import synth

    config = synth.ClipConfig(frames=3, width=96, height=64, events=())
    synth.write_sequence(config, tmp_path / "clip", synth.procedural_pictures(0))
    (track,) = training.read(tmp_path, "synth")
    assert len(track.frames) == 3
    assert track.frames[1].path.is_file()
