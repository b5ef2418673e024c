"""Every frame of a recording with its own stamp, from every storage; what is unclear or damaged is one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rosbags", reason="reads recordings")

from rosbags.rosbag2 import StoragePlugin, Writer

from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.stream import bag_types
from sot_tracker.stream.bag_types import IMAGE, TEXTS, types
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.sources import open_source

from bags import BEGAN, IMAGES, STEP, clip, compressed, detection, image, truth_of, write_bag
from clips import SIZE, boxes, frame

TRUTH = boxes(4)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("make", [image, compressed])
@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        ("mcap", "none"),
        ("mcap", "storage"),
        ("sqlite3", "none"),
        ("sqlite3", "file"),
        ("sqlite3", "message"),
        ("mcap", "file"),
        ("mcap", "message"),
    ],
)
def test_every_frame_has_its_own_stamp_and_pixels(tmp_path: Path, storage: str, mode: str, make: object) -> None:
    source = open_source(str(write_bag(tmp_path / "run", clip(TRUTH, make=make), storage, mode)))
    assert (source.name, source.size, source.length, source.live) == ("run", SIZE, 4, False)
    assert source.fps == pytest.approx(25)
    for _ in range(2):  # from the beginning again
        frames = list(source)
        assert [f.stamp for f in frames] == [BEGAN + i * STEP for i in range(4)]
        assert all(np.array_equal(f.image, frame(box)) for f, box in zip(frames, TRUTH, strict=True))
    assert frames[0].header.frame_id == "camera"
    source.close()


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bare_file(tmp_path: Path, storage: str) -> None:
    folder = write_bag(tmp_path / "run", clip(TRUTH), storage)
    file = next(path for path in folder.iterdir() if path.suffix in (".mcap", ".db3"))
    source = open_source(str(file))
    assert (source.length, source.files) == (4, (file,))
    assert len(list(source)) == 4


def test_a_header_without_stamp_gets_the_time_of_recording(tmp_path: Path) -> None:
    run = write_bag(tmp_path / "run", [("/a", BEGAN + i, image(frame(TRUTH[0]), 0)) for i in (5, 9)])
    assert [f.stamp for f in open_source(str(run))] == [BEGAN + 5, BEGAN + 9]


def test_the_topic_is_chosen_by_name(tmp_path: Path) -> None:
    run = write_bag(tmp_path / "run", [*clip(TRUTH, "/left"), *clip(TRUTH[:2], "/right/compressed", compressed)])
    assert open_source(str(run), topic="/left").length == 4
    assert open_source(str(run), topic="right/compressed").length == 2
    with pytest.raises(UserError, match=r"run has several image topics: .*--topic: /left, /right/compressed$"):
        open_source(str(run))
    with pytest.raises(UserError, match=r"run has no image topic /lefd; did you mean /left\?; it has /left, /right"):
        open_source(str(run), topic="/lefd")


def test_pictures_that_we_drew_do_not_count_beside_others(tmp_path: Path) -> None:
    drawn = clip(TRUTH, "/debug_image/compressed", compressed)
    assert open_source(str(write_bag(tmp_path / "both", [*clip(TRUTH), *drawn]))).topic == IMAGES
    assert open_source(str(write_bag(tmp_path / "drawn", drawn))).topic == "/debug_image/compressed"


def test_damaged_frames_come_and_say_so(tmp_path: Path) -> None:
    messages = clip(TRUTH, make=compressed)
    messages[0][2].data = np.zeros(9, np.uint8)
    frames = list(open_source(str(write_bag(tmp_path / "run", messages))))
    assert len(frames) == 4
    with pytest.raises(FrameError, match="cannot be decoded"):
        frames[0].image  # noqa: B018
    assert frames[1].image.shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("kept", [0, 3, 8, 60])
def test_a_damaged_message_costs_its_frame_alone(tmp_path: Path, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not a message, as a writer leaves them that was stopped or a disk that lost some."""
    messages = clip(TRUTH)
    whole = types().serialize_cdr
    spoilt = messages[1][2]
    monkeypatch.setattr(types(), "serialize_cdr", lambda m, kind: whole(m, kind)[: kept if m is spoilt else None])
    source = open_source(str(write_bag(tmp_path / "run", [*messages, *truth_of(TRUTH)])))
    frames = list(source)
    recorded = 0 if kept >= 12 else 5_000_000  # after the stamp, which is lost with the header
    assert [f.stamp for f in frames][1:] == [BEGAN + STEP + recorded, *(BEGAN + i * STEP for i in (2, 3))]
    with pytest.raises(FrameError, match=rf"a message of {IMAGES} in run is damaged \("):
        frames[1].image  # noqa: B018
    assert np.array_equal(frames[2].image, frame(TRUTH[2]))
    assert source.truth().known.tolist()[2:] == [True, True]


def test_a_damaged_message_of_the_truth_costs_its_box_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    known = truth_of(TRUTH)
    whole = types().serialize_cdr
    spoilt = known[1][2]
    monkeypatch.setattr(types(), "serialize_cdr", lambda m, kind: whole(m, kind)[: 60 if m is spoilt else None])
    truth = open_source(str(write_bag(tmp_path / "run", [*clip(TRUTH), *known]))).truth()
    assert truth.known.tolist() == [True, False, True, True]
    assert tuple(truth.boxes[2]) == TRUTH[2].xywh
    assert "1 messages of /truth were left out: a message of /truth in run is damaged (" in caplog.text


def cut(folder: Path) -> None:
    file = next(folder.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-200])


def empty(folder: Path) -> None:
    next(folder.glob("*.mcap")).write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, r"recording 'run' cannot be read \(.*\): if it was cut off, repair it with"),
        (empty, "recording 'run' cannot be read"),
        (lambda folder: next(folder.glob("*.mcap")).unlink(), "missing"),
        (lambda folder: (folder / "metadata.yaml").write_text("a: ["), "recording 'run' cannot be read"),
    ],
)
def test_a_broken_recording_is_one_line(tmp_path: Path, spoil: object, words: str) -> None:
    run = write_bag(tmp_path / "run", clip(TRUTH))
    spoil(run)
    with pytest.raises(UserError, match=words) as error:
        list(open_source(str(run)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (truth_of(TRUTH), "run has no image topic, only /truth"),
        ([("/a", 1, image(frame(None), 5, step=7))], "no frame of /a can be used: step 7 is shorter"),
    ],
)
def test_a_recording_without_pictures(tmp_path: Path, messages: list, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_source(str(write_bag(tmp_path / "run", messages)))


def test_an_image_topic_on_which_nothing_came(tmp_path: Path) -> None:
    with Writer(tmp_path / "run", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.add_connection("/camera/image_raw", IMAGE, typestore=types())
    with pytest.raises(UserError, match="run has no image: nothing was recorded on /camera/image_raw"):
        open_source(str(tmp_path / "run"))


def test_other_sources_have_no_topic(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0")
    with pytest.raises(UserError, match=r"of ROS 1: convert it to ROS 2 with `rosbags-convert --src old.bag"):
        open_source(str(tmp_path / "old.bag"))
    import cv2

    cv2.imwrite(str(tmp_path / "1.png"), frame(None))
    with pytest.raises(UserError, match="topic /a is for recordings"):
        open_source(str(tmp_path), topic="/a")


def test_without_rosbags_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_bag(tmp_path / "run", clip(TRUTH))
    monkeypatch.setitem(sys.modules, "rosbags.rosbag2", None)
    with pytest.raises(MissingPackage, match=r"pip install 'rosbags>="):
        open_source(str(run))


# ---- truth


def test_truth_of_the_frames_by_their_stamps(tmp_path: Path) -> None:
    reported = [*truth_of([TRUTH[0], None, TRUTH[2]]), ("/truth", 1, detection(TRUTH[3], BEGAN + 1))]
    source = open_source(str(write_bag(tmp_path / "run", [*clip(TRUTH), *reported])))
    truth = source.truth()
    assert truth.known.tolist() == [True, True, True, False]
    assert truth.boxes[0].tolist() == list(TRUTH[0].xywh)
    assert np.isnan(truth.boxes[[1, 3]]).all()


def test_which_topic_holds_the_truth(tmp_path: Path) -> None:
    both = [*truth_of(TRUTH, "/a/truth"), *truth_of(TRUTH, "/b/ground_truth"), *truth_of(TRUTH, "/detection")]
    source = open_source(str(write_bag(tmp_path / "run", [*clip(TRUTH), *both])))
    with pytest.raises(UserError, match="give one with --truth-topic: /a/truth, /b/ground_truth"):
        source.truth()
    assert source.truth("/detection").known.all()
    plain = open_source(str(write_bag(tmp_path / "plain", [*clip(TRUTH), *truth_of(TRUTH, "/detection")])))
    assert plain.truth() is None


# ---- definitions


def test_texts_are_those_of_the_messages() -> None:
    assert (ROOT / "msg" / "TrackerState.msg").read_text() == TEXTS[bag_types.STATE]
    for name, text in TEXTS.items():
        if name.startswith("vision_msgs"):
            assert (ROOT / "test/ros/vision_msgs/msg" / f"{name.rpartition('/')[2]}.msg").read_text() == text
