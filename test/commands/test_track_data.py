"""`sot-tracker track` on folders of data sets: the frames that the truth is for, and no others."""

from __future__ import annotations

import csv
import re

import cv2
import pytest

from sot_tracker.cli import main

from clips import SIZE, boxes, frame, write_sequence

TRUTH = boxes(12)


def run(capsys, *arguments):
    status = main(["track", *map(str, arguments), "--model", "kcf"])
    reported = capsys.readouterr()
    return status, reported.out, (reported.err.splitlines() or [""])[-1]


def overlap(out):
    return float(re.search(r"mean overlap with the truth (\d\.\d+)", out)[1])


def test_otb_truth_for_a_part_of_the_pictures(tmp_path, capsys):
    """BlurCar3 begins with picture 3; the two before it show something else."""
    folder = tmp_path / "BlurCar3"
    (folder / "img").mkdir(parents=True)
    for number in range(1, 360):
        path = folder / "img" / f"{number:04d}.jpg"
        if 3 <= number < 3 + len(TRUTH):
            cv2.imwrite(str(path), frame(TRUTH[number - 3]))
        else:
            path.write_bytes(b"never read")
    rows = [*(box.xywh for box in TRUTH), *[(1, 2, 3, 4)] * (357 - len(TRUTH))]
    (folder / "groundtruth_rect.txt").write_text("\n".join(",".join(f"{v:g}" for v in row) for row in rows))
    status, out, _ = run(capsys, folder, "--frames", len(TRUTH))
    assert status == 0
    assert overlap(out) > 0.6


def test_masks_beside_the_frames_are_not_followed(tmp_path, capsys):
    folder = write_sequence(tmp_path / "a", TRUTH)
    for number in range(1, 4):
        cv2.imwrite(str(folder / f"{number}_mask.png"), frame(None))
    status, out, _ = run(capsys, folder, "--csv", tmp_path / "boxes.csv")
    assert status == 0
    assert f"{len(TRUTH)} frames" in out
    assert overlap(out) > 0.6
    assert len(list(csv.DictReader((tmp_path / "boxes.csv").open()))) == len(TRUTH)


def test_a_damaged_picture_is_left_out_as_the_node_does_it(tmp_path, capsys, caplog):
    folder = write_sequence(tmp_path / "a", TRUTH)
    (folder / "5.png").write_bytes(b"cut off")
    status, out, _ = run(capsys, folder, "--csv", tmp_path / "boxes.csv")
    assert status == 0
    assert f"{len(TRUTH) - 1} frames" in out
    assert overlap(out) > 0.6
    assert [int(row["frame"]) for row in csv.DictReader((tmp_path / "boxes.csv").open())] == [0, 1, 2, 3, *range(5, 12)]
    assert re.search(r"1 frames cannot be used and were left out: .*5.png' cannot be decoded", caplog.text)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "groundtruth.txt").write_text("1,2,3,4,5\n" * 12), "line 1 .* has 5 numbers"),
        (lambda f: (f / "3.png").unlink(), "has 12 rows for 11 frames"),
    ],
)
def test_odd_truth_is_refused(tmp_path, capsys, spoil, words):
    folder = write_sequence(tmp_path / "a", TRUTH)
    spoil(folder)
    status, _, error = run(capsys, folder)
    assert status == 2
    assert re.search(words, error)


def test_two_targets_need_a_box(tmp_path, capsys):
    folder = write_sequence(tmp_path / "Jogging", TRUTH, name="groundtruth_rect.1.txt")
    (folder / "groundtruth_rect.2.txt").write_text((folder / "groundtruth_rect.1.txt").read_text())
    status, _, error = run(capsys, folder)
    assert status == 2
    assert "several targets (Jogging-1, Jogging-2): give the box" in error
    status, out, _ = run(capsys, folder, "--box", "{:g},{:g},{:g},{:g}".format(*TRUTH[0].xywh))
    assert status == 0
    assert f"{len(TRUTH)} frames" in out


def test_pixels_of_a_data_set_are_not_turned(tmp_path, capsys):
    """With EXIF's turn the frames would be 120 wide, and the truth elsewhere."""
    image = pytest.importorskip("PIL.Image")
    folder = write_sequence(tmp_path / "a", TRUTH)
    exif = image.Exif()
    exif[0x0112] = 6
    for path in folder.glob("*.png"):
        image.open(path).save(path.with_suffix(".jpg"), exif=exif, quality=95)
        path.unlink()
    assert cv2.imread(str(folder / "1.jpg")).shape[:2] == SIZE
    status, out, _ = run(capsys, folder)
    assert status == 0
    assert overlap(out) > 0.6


def test_the_target_starts_where_the_truth_begins(tmp_path, capsys):
    folder = write_sequence(tmp_path / "a", TRUTH)
    rows = (folder / "groundtruth.txt").read_text().splitlines()
    rows[:3] = ["NaN,NaN,NaN,NaN", "0,0,0,0", "nan nan nan nan".replace(" ", ",")]
    (folder / "groundtruth.txt").write_text("\n".join(rows))
    status, out, _ = run(capsys, folder, "--csv", tmp_path / "a.csv")
    assert status == 0
    assert "starting on line 4 of the truth file" in out
    assert [int(row["frame"]) for row in csv.DictReader((tmp_path / "a.csv").open())] == list(range(3, 12))


def test_a_truth_without_any_box_asks_for_one(tmp_path, capsys):
    folder = write_sequence(tmp_path / "a", TRUTH)
    (folder / "groundtruth.txt").write_text("NaN,NaN,NaN,NaN\n" * 12)
    status, _, error = run(capsys, folder)
    assert status == 2
    assert "has a true box: give one with --box" in error


def test_what_came_before_an_error_is_reported(tmp_path, capsys):
    """The files hold it, so the user is told of them."""
    folder = write_sequence(tmp_path / "a", TRUTH)
    cv2.imwrite(str(folder / "9.png"), frame(TRUTH[8])[:-8])
    status, out, error = run(capsys, folder, "--csv", tmp_path / "a.csv")
    assert status == 2
    assert "give frames of one size, or start anew" in error
    assert "on a: 8 frames" in out
    assert f"written: {tmp_path / 'a.csv'}" in out
