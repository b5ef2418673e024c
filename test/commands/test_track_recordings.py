"""`sot-tracker track` on recordings: from any storage into any output, twice the same, read back by other libraries."""

from __future__ import annotations

import csv
import filecmp
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rosbags", reason="reads recordings")

from sot_tracker.cli import main

from bags import BEGAN, IMAGES, STEP, clip, compressed, truth_of, write_bag
from clips import boxes, write_sequence, write_video

TRUTH = boxes(8)
BOX = "{:g},{:g},{:g},{:g}".format(*TRUTH[0].xywh)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_bag(tmp_path / "run", clip(TRUTH))


def track(*arguments: object) -> int:
    return main(["track", *map(str, arguments), "--model", "kcf"])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("storage", "mode"), [("mcap", "none"), ("sqlite3", "file")])
def test_every_frame_with_its_own_stamp(tmp_path: Path, storage: str, mode: str) -> None:
    recorded = write_bag(tmp_path / "a", clip(TRUTH, make=compressed), storage, mode)
    assert track(recorded, "--box", BOX, "--csv", tmp_path / "a.csv") == 0
    rows = rows_of(tmp_path / "a.csv")
    assert [int(row["stamp"]) for row in rows] == [BEGAN + i * STEP for i in range(8)]
    assert abs(float(rows[-1]["x"]) - TRUTH[-1].x) < 5


def test_two_runs_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        out = tmp_path / name
        assert track(run, "--init", BOX, "--save-bag", out / "out.mcap", "--csv", out / "out.csv") == 0
    assert filecmp.cmp(tmp_path / "a/out.mcap", tmp_path / "b/out.mcap", shallow=False)
    one, other = ([{**row, "ms": ""} for row in rows_of(tmp_path / name / "out.csv")] for name in "ab")
    assert one == other
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"out.mcap", "out.csv"}


def test_a_target_that_begins_later(run: Path, tmp_path: Path) -> None:
    later = "{:g},{:g},{:g},{:g}@0.12".format(*TRUTH[3].xywh)
    assert track(run, "--init", later, "--csv", tmp_path / "a.csv") == 0
    rows = rows_of(tmp_path / "a.csv")
    assert [row["frame"] for row in rows] == list("34567")
    assert float(rows[0]["x"]) == TRUTH[3].x


def test_the_truth_topic_starts_and_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = write_bag(tmp_path / "run", [*clip(TRUTH), *truth_of([None, *TRUTH[1:]], "/ns/truth")])
    assert track(recorded, "--json", "--start", 0.04) == 0
    out, err = capsys.readouterr()
    reported = json.loads(out)
    assert f"starting on the true box of frame 1, {TRUTH[1]}" in err
    assert reported["mean_overlap"] > 0.5
    assert (reported["frames"], reported["lost"], reported["written"]) == (7, {"1": []}, [])
    assert track(recorded, "--box", BOX, "--truth-topic", "/other") == 2
    assert "no Detection2D topic /other" in capsys.readouterr().err


def test_the_saved_recording_is_read_by_mcap(run: Path, tmp_path: Path) -> None:
    """mcap and mcap-ros2-support share no code with rosbags, which wrote it."""
    make_reader = pytest.importorskip("mcap.reader").make_reader
    factory = pytest.importorskip("mcap_ros2.decoder").DecoderFactory
    assert track(run, "--init", f"{BOX}", "--save-bag", tmp_path / "out.mcap") == 0
    found: dict[str, list] = {}
    with (tmp_path / "out.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[factory()])
        assert reader.get_header().profile == "ros2"
        schemas = {schema.name: schema for schema in reader.get_summary().schemas.values()}
        assert b"uint8 UNCERTAIN=3" in schemas["sot_tracker/msg/TrackerState"].data
        assert {schema.encoding for schema in schemas.values()} == {"ros2msg"}
        channels = reader.get_summary().channels.values()
        assert {channel.message_encoding for channel in channels} == {"cdr"}
        for _, channel, message, decoded in reader.iter_decoded_messages():
            assert message.log_time == decoded.header.stamp.sec * 10**9 + decoded.header.stamp.nanosec
            found.setdefault(channel.topic, []).append(decoded)
    assert {topic: len(messages) for topic, messages in found.items()} == {
        "/detection": 8,
        "/state": 8,
        "/debug_image/compressed": 8,
    }
    last = found["/detection"][-1]
    assert last.header.frame_id == "camera"
    assert abs(last.bbox.center.position.x - TRUTH[-1].center[0]) < 5
    assert (last.id, last.results[0].hypothesis.class_id) == ("1", "target")
    state = found["/state"][-1]
    assert (state.state, state.target_id, state.source, state.frames_processed) == (1, "1", "tracker", 8)
    assert state.since.sec * 10**9 + state.since.nanosec == BEGAN
    picture = cv2.imdecode(np.frombuffer(found["/debug_image/compressed"][0].data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (120, 160, 3)


def test_the_saved_recording_is_a_source_again(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track(run, "--init", BOX, "--save-bag", tmp_path / "out.mcap") == 0
    assert track(tmp_path / "out.mcap", "--init", BOX) == 0
    assert "kcf on out.mcap: 8 frames, lost in 0" in capsys.readouterr().out


def test_frames_are_counted_from_the_first_target_on(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They were counted from the first frame, and a target after them "started after the end of the source"."""
    assert track(run, "--init", f"{BOX}@0.2", "--frames", "2") == 0
    assert "2 frames, lost in 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--init", f"{BOX}@9"], "@9 starts after the last frame"),
        (["--init", f"{BOX}@x"], "has 'x' after the @"),
        (["--init", f"{BOX}@1", "--start", "2"], "is before --start 2"),
        (["--init", BOX, "--topic", "/nope"], f"has no image topic /nope; it has {IMAGES}"),
        (["--init", BOX, "--save-bag", "out.bag"], "must end in .mcap"),
        (["--init", BOX, "--save-bag", "no/such/out.mcap"], "does not exist, make it first"),
        (["--init", BOX, "--start", "-1"], "--start -1 is not possible"),
        (["--init", BOX, "--stride", "0"], "out of range"),
    ],
)
def test_refused(run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert track(run, *arguments) == 2
    reported = capsys.readouterr().err.splitlines()
    assert words in reported[-1]
    assert sum("error" in line for line in reported) == 1


def test_the_recording_that_is_read_is_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(run.glob("*.mcap"))
    before = file.read_bytes()
    for source in (run, file):
        assert track(source, "--init", BOX, "--save-bag", file) == 2
        assert "would be overwritten" in capsys.readouterr().err
    assert (file.read_bytes() == before) is True


# ---- for every source


def test_start_and_stride(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sequence(tmp_path / "clip", TRUTH)  # type: ignore[arg-type]
    assert track(folder, "--start", 2 / 30, "--stride", 2, "--csv", tmp_path / "a.csv") == 0
    rows = rows_of(tmp_path / "a.csv")
    assert [row["frame"] for row in rows] == ["2", "4", "6"]
    assert float(rows[0]["x"]) == TRUTH[2].x, "starts on the truth of that frame"
    assert f"starting on line 3 of the truth file, {TRUTH[2]}" in capsys.readouterr().out


def test_several_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = write_video(tmp_path / "a.avi", TRUTH)
    out = tmp_path / "out.avi"
    words = ["--box", BOX, "--box", "100,20,30,30", "--csv", tmp_path / "a.csv", "--save", out]
    assert track(video, *words) == 0
    rows = rows_of(tmp_path / "a.csv")
    assert [(row["frame"], row["target"]) for row in rows[:4]] == [("0", "1"), ("0", "2"), ("1", "1"), ("1", "2")]
    assert abs(float(rows[-2]["x"]) - TRUTH[-1].x) < 5
    assert "8 frames, lost in 0 and " in capsys.readouterr().out
    assert out.stat().st_size > 1000


def test_what_was_lost_and_what_is_replaced_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = [*TRUTH[:3], None, None, None]
    folder = write_sequence(tmp_path / "clip", gone)
    (tmp_path / "a.csv").write_text("old")
    assert track(folder, "--csv", tmp_path / "a.csv", "--max-coast", 0) == 0
    reported = capsys.readouterr().out
    states = [row["state"] for row in rows_of(tmp_path / "a.csv")]
    assert states[-1] == "lost"
    first = states.index("lost")
    assert f"\nlost in frames {first}-5\n" in reported
    assert "a.csv (an older file was replaced)" in reported


def test_damaged_frames_before_the_first_box_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    messages = clip(TRUTH)
    for index in (0, 4):
        messages[index][2].data = np.zeros(0, np.uint8)
    assert track(write_bag(tmp_path / "run", [*messages, *truth_of(TRUTH)])) == 0
    assert "starting on the true box of frame 1" in capsys.readouterr().out
    assert "2 frames cannot be used and were left out" in caplog.text
