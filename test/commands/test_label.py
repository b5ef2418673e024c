"""`sot-tracker label`: from unlabelled video to a data set that training reads."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.cli import main
from sot_tracker.datasets import labelling, training
from sot_tracker.datasets.list_writer import ListWriter, write_picture
from sot_tracker.errors import INTERRUPTED, UserError

from clips import SIDE, SIZE, boxes, write_sequence, write_video

TRUTH = boxes(12)
START = "{:g},{:g},{:g},{:g}".format(*TRUTH[0].xywh)


def run(capsys, *arguments):
    status = main(["label", *map(str, arguments)])
    reported = capsys.readouterr()
    return status, reported.out, (reported.err.splitlines() or [""])[-1]


def test_a_video_becomes_a_track(tmp_path, capsys):
    video, out = write_video(tmp_path / "my clip_1.avi", TRUTH), tmp_path / "out"
    status, said, _ = run(capsys, video, "--box", START, "--model", "csrt", "--every", 2, "--out", out)
    assert status == 0
    assert "target 0 in 6 frames up to number 11" in said
    (track,) = training.read(out)
    assert [f.number for f in track.frames] == [0, 2, 4, 6, 8, 10]
    assert all(Box(*f.box).iou(TRUTH[f.number]) > 0.6 for f in track.frames)
    assert {f.path.name.split("_")[0] for f in track.frames} == {"my-clip-1"}


def test_the_truth_of_a_folder_starts_it_and_several_trackers_must_agree(tmp_path, capsys):
    folder, out = write_sequence(tmp_path / "clip", TRUTH), tmp_path / "out"
    assert run(capsys, folder, "--model", "csrt", "--model", "kcf", "--frames", 5, "--out", out)[0] == 0
    (track,) = training.read(out)
    assert [f.number for f in track.frames] == [0, 1, 2, 3, 4]


def test_several_targets_share_the_pictures(tmp_path, capsys):
    video, out = write_video(tmp_path / "clip.avi", TRUTH), tmp_path / "out"
    other = f"{SIZE[0] - 40},{SIZE[1] - 40},{SIDE},{SIDE}"
    given = ["--box", START, "--box", other, "--model", "csrt", "--every", "11"]
    assert run(capsys, video, *given, "--out", out)[0] == 0
    first = json.loads((out / "annotations.jsonl").read_text().splitlines()[0])
    assert [item["id"] for item in first["objects"]] == [0, 1]
    assert len(training.read(out)) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["bare"], "nothing says where the target is in the first frame of 'bare': give --box"),
        (["bare", "clip", "--box", START], "--box is for one video, these are 2"),
        (["bare/1.png", "clip/1.png"], "nothing says where"),
        (["clip", "clip"], "two videos are called 'clip'"),
        (["a_b", "a-b"], "two videos are called 'a-b'"),  # the pictures would have the same names
        (["nowhere.mp4"], "does not exist"),
        (["clip", "--agree", "1.5"], "--agree 1.5"),
        (["clip", "--every", "0"], "--every 0"),
        (["clip", "--span", "3"], "--span 3"),
        (["clip", "--frames", "1"], "--frames 1"),
        (["clip", "--box", "1,2"], "not four numbers"),
        (["clip", "--box", "900,900,5,5"], "lies outside"),
        (["clip", "--model", "resnet"], "unknown model"),
        (["clip", "--box", START, "--box", "900,900,5,5"], "lies outside"),
        (["clip", "--out", "full"], "holds a data set already"),
        (["clip", "--out", "bare"], "'bare' holds other files: give a new folder"),
        (["clip", "--out", "full/annotations.jsonl"], "'full/annotations.jsonl' is a file: give a new folder"),
        (["clip", "--max-search-rate", "5"], "unrecognized arguments: --max-search-rate"),  # had no effect
        (["clip", "--ray", " "], "--ray is empty"),
    ],
)
def test_mistakes_are_reported_in_one_line_and_write_nothing(given, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sequence(tmp_path / "clip", TRUTH)
    (write_sequence(tmp_path / "bare", TRUTH) / "groundtruth.txt").unlink()
    before = sorted((tmp_path / "bare").iterdir())
    for name in ("a_b", "a-b"):
        write_sequence(tmp_path / name, TRUTH)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "annotations.jsonl").write_text("")
    out = [] if "--out" in given else ["--out", "out"]
    status, _, error = run(capsys, *given, *([] if "--model" in given else ["--model", "kcf"]), *out)
    assert status == 2
    assert message in error
    assert not (tmp_path / "out").exists()
    assert sorted((tmp_path / "bare").iterdir()) == before
    assert (tmp_path / "full" / "annotations.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("error", "status", "last"),
    [(KeyboardInterrupt(), INTERRUPTED, ""), (UserError("the disk is full"), 2, "the disk is full")],
)
def test_what_ends_it_early_loses_nothing_that_was_labelled(error, status, last, tmp_path, capsys, monkeypatch):
    folders = [write_sequence(tmp_path / name, TRUTH) for name in ("one", "two")]
    out, real, calls = tmp_path / "out", labelling.label, iter(range(9))

    def label(*given):
        for found in real(*given):
            if next(calls) == 7:
                raise error
            yield found

    monkeypatch.setattr(labelling, "label", label)
    given = [*folders, "--model", "csrt", "--frames", 5, "--out", out]
    ended, said, reported = run(capsys, *given)
    assert ended == status
    assert f"ended early: written to {out}: 7 pictures with 7 boxes" in said
    assert last in reported
    assert {track.name: len(track.frames) for track in training.read(out)} == {"one#0": 5, "two#0": 2}
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_folder_that_a_killed_run_left_is_used_again(tmp_path, capsys):
    folder, out = write_sequence(tmp_path / "clip", TRUTH), tmp_path / "out"
    killed = ListWriter(out)
    killed.__enter__()
    write_picture(out, "clip", 0, np.zeros((8, 8, 3), np.uint8))
    assert run(capsys, folder, "--model", "csrt", "--frames", 4, "--out", out)[0] == 0
    assert len(training.read(out)) == 1


def test_a_target_that_no_tracker_can_hold_is_an_error(tmp_path, capsys):
    folder = write_sequence(tmp_path / "clip", TRUTH[::6])  # a jump of 18 pixels
    status, _, error = run(capsys, folder, "--model", "kcf", "--agree", "0.95", "--out", tmp_path / "out")
    assert status == 2
    assert "agree in no frame of any video" in error
    assert not (tmp_path / "out").exists()


def test_a_camera_cannot_be_read_backward(tmp_path, capsys, monkeypatch):
    class Camera:
        name, live, files, length = "camera 0", True, (), None

        def close(self):
            pass

    monkeypatch.setattr("sot_tracker.commands.label.open_source", lambda text: Camera())
    status, _, error = run(capsys, "0", "--box", START, "--model", "kcf", "--out", tmp_path / "out")
    assert status == 2
    assert "'0' cannot be read backward" in error
