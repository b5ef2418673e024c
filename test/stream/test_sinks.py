"""Outputs destroy nothing: names of inputs are refused, files appear when they are whole, a full disk is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.errors import UserError
from sot_tracker.stream.follow import Step
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.sinks import CSV_COLUMNS, open_outputs
from sot_tracker.stream.sources import open_source
from sot_tracker.tracker import Estimate, State

from clips import boxes, frame, write_sequence, write_video

TRUTH = boxes(4)
FOUND = Estimate(Box(1, 2, 3, 4), 0.5, State.TRACKING, {"track": 1.5})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sequence(tmp_path / "clip", TRUTH)  # type: ignore[arg-type]


def outputs(source: Path, save: Path | str | None = None, table: Path | str | None = None) -> list:
    flags = {"--save": None if save is None else str(save), "--csv": None if table is None else str(table)}
    return open_outputs(flags, False, open_source(str(source)), "kcf")


def step(picture: np.ndarray = frame(TRUTH[0]), number: int = 0, estimate: Estimate = FOUND) -> Step:  # noqa: B008
    return Step(number, Frame(40 * number, lambda: picture), {"1": estimate})


def write(made: list, count: int = 4) -> None:
    for output in made:
        with output:
            for number in range(count):
                output.write(step(number=number))


def test_table_and_video(folder: Path, tmp_path: Path) -> None:
    write(outputs(folder, tmp_path / "a.avi", tmp_path / "a.csv"))
    lines = (tmp_path / "a.csv").read_bytes().decode().split("\n")
    assert lines[:2] == [",".join(CSV_COLUMNS), "0,1.000,2.000,3.000,4.000,0.5000,tracking,1.500,0,1,none,,1"]
    assert len(lines) == 6
    assert open_source(str(tmp_path / "a.avi")).length == 4
    assert {path.name for path in tmp_path.iterdir()} == {"clip", "a.avi", "a.csv"}


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
@pytest.mark.parametrize("size", [(161, 121), (160, 121), (161, 120)])
def test_frames_of_odd_size_are_saved_whole(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    picture = np.full((size[1], size[0], 3), 60, np.uint8)
    picture[-20:, -20:] = 230
    (tmp_path / "odd").mkdir()
    cv2.imwrite(str(tmp_path / "odd" / "1.png"), picture)
    (output,) = outputs(tmp_path / "odd", tmp_path / f"a{suffix}")
    with output:
        output.write(step(picture, estimate=Estimate(Box(0, 0, 9, 9), 1, State.TRACKING)))
    saved = next(iter(open_source(str(tmp_path / f"a{suffix}")))).image
    assert saved.shape[0] >= size[1]
    assert saved.shape[1] >= size[0]
    assert saved[size[1] - 1, size[0] - 1].min() > 180, "the last row and column are there"


def link(folder: Path, name: str, to: str, hard: bool) -> Path:
    made = folder.parent / name
    (os.link if hard else os.symlink)(folder / to, made)
    return made


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (lambda folder: folder / "1.png", "is an input and would be overwritten"),
        (lambda folder: folder / ".." / "clip" / "4.png", "is an input and would be overwritten"),
        (lambda folder: link(folder, "soft.csv", "2.png", hard=False), "is an input and would be overwritten"),
        (lambda folder: link(folder, "hard.csv", "2.png", hard=True), "is an input and would be overwritten"),
        (lambda folder: folder / "groundtruth.txt", "is a file of the data set and would be overwritten"),
        (lambda folder: link(folder, "truth.csv", "groundtruth.txt", hard=False), "is a file of the data set"),
        (lambda folder: "", "--csv is empty"),
        (lambda folder: "-", "--csv - is not a file name: give /dev/stdout"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: folder / "no" / "a.csv", "does not exist, make it first"),
        (lambda folder: "x" * 300 + ".csv", "cannot be written: File name too long"),
        (lambda folder: "a\0b.csv", "cannot be written|null"),
    ],
)
def test_names_that_destroy_or_have_no_place_are_refused(folder: Path, name, words: str) -> None:
    given = name(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UserError, match=words):
        outputs(folder, table=given)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_truth_beside_a_folder_of_frames_is_kept(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "clip" / "img", TRUTH)  # type: ignore[arg-type]
    truth = tmp_path / "clip" / "groundtruth_rect.txt"
    truth.write_text("1,2,3,4\n")
    for given in (truth, folder / "groundtruth.txt"):
        with pytest.raises(UserError, match="data set"):
            outputs(tmp_path / "clip", table=given)


def test_a_video_is_not_overwritten_by_itself(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", TRUTH)
    with pytest.raises(UserError, match=r"--save .* is an input"):
        outputs(video, save=video)
    write(outputs(video, save=tmp_path / "b.avi"))


def test_one_name_for_both_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--save and --csv name one file"):
        outputs(folder, tmp_path / "a.avi", tmp_path / "clip" / ".." / "a.avi")


def test_what_was_there_stays_until_the_work_has_ended(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("old")
    (output,) = outputs(folder, table=table)
    with output:
        output.write(step())
        assert table.read_text() == "old"
    assert table.read_text().startswith("frame,")


def test_what_was_written_before_a_failure_is_kept(folder: Path, tmp_path: Path) -> None:
    (output,) = outputs(folder, table=tmp_path / "a.csv")

    def fails() -> None:
        with output:
            output.write(step())
            raise UserError("picture 2 is damaged")

    with pytest.raises(UserError, match="damaged"):
        fails()
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_device_is_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match="--csv '/dev/full' cannot be written: No space left on device"):
        write(outputs(folder, table="/dev/full"), count=1000)


def test_a_video_that_cannot_be_made_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".a.part.mp4").mkdir()
    with pytest.raises(UserError, match=r"--save '.*a\.mp4'"):
        write(outputs(folder, save=tmp_path / "a.mp4"))


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # every longer file fails like on a full disk
from sot_tracker.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("flag", ["--save", "--csv", "--save-bag"])
def test_a_full_disk_leaves_the_old_file_and_one_line(tmp_path: Path, flag: str) -> None:
    folder = write_sequence(tmp_path / "clip", boxes(20) * 25)  # type: ignore[arg-type]
    if flag == "--save-bag":
        pytest.importorskip("rosbags")
    old = tmp_path / {"--save": "a.mp4", "--csv": "a.csv", "--save-bag": "a.mcap"}[flag]
    old.write_text("old")
    command = [sys.executable, "-c", FULL, "track", str(folder), "--model", "kcf", flag, str(old)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    reported = [line for line in done.stderr.splitlines() if "error" in line]
    assert (done.returncode, len(reported)) == (2, 1), done.stderr
    assert "Traceback" not in done.stderr
    assert flag in reported[0]
    assert old.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"clip", old.name}
