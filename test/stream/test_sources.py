"""What can be opened, what each frame's time is, and how it is refused."""

import logging
import struct

import cv2
import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.stream import captures, sources
from sot_tracker.stream.encodings import FrameError
from sot_tracker.stream.pictures import read_picture
from sot_tracker.stream.sources import open_source, parse_range16

from clips import SIZE, boxes, frame, write_sequence, write_video

TRUTH = boxes(4)


def test_video_file(tmp_path):
    source = open_source(str(write_video(tmp_path / "a.avi", TRUTH)))
    assert (source.name, source.fps, source.size, source.length, source.live) == ("a.avi", 25, SIZE, 4, False)
    frames = list(source)
    assert [f.stamp for f in frames] == [0, 40_000_000, 80_000_000, 120_000_000]
    assert np.abs(frames[2].image.astype(int) - frame(TRUTH[2])).mean() < 10
    assert len(list(source)) == 4, "iterating again starts from the beginning"


@pytest.mark.parametrize("place", [".", "img", "color"])
def test_folder_in_natural_order(tmp_path, place):
    folder = tmp_path / "clip"
    (folder / place).mkdir(parents=True)
    for i in (1, 2, 10):
        cv2.imwrite(str(folder / place / f"{i}.png"), np.full((6, 8, 3), i, np.uint8))
    (folder / place / "notes.txt").write_text("no picture")
    source = open_source(str(folder))
    assert (source.name, source.fps, source.size, source.length) == ("clip", 30, (8, 6), 3)
    assert [int(f.image[0, 0, 0]) for f in source] == [1, 2, 10]
    assert [int(f.image[0, 0, 0]) for f in source] == [1, 2, 10]


def test_grey_pictures_become_three_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((6, 8), np.uint8))
    assert next(iter(open_source(str(tmp_path)))).image.shape == (6, 8, 3)


class Device:
    """A stand-in of cv2.VideoCapture with so many frames. times: of each, in milliseconds."""

    def __init__(self, frames=3, fps=0.0, count=0.0, times=()):
        self.left, self.at, self.times = frames, -1, times
        self.facts = {cv2.CAP_PROP_FPS: fps, cv2.CAP_PROP_FRAME_COUNT: count}

    def isOpened(self):  # noqa: N802
        return True

    def read(self):
        self.left, self.at = self.left - 1, self.at + 1
        return (True, frame(None)) if self.left >= 0 else (False, None)

    def get(self, what):
        if what == cv2.CAP_PROP_POS_MSEC:
            return self.times[self.at] if self.at < len(self.times) else 0.0
        return self.facts[what]

    def release(self):
        pass


@pytest.fixture
def opened(monkeypatch):
    """Arguments of every cv2.VideoCapture; `device` is what they give."""
    made = []
    monkeypatch.setattr(captures.cv2, "VideoCapture", lambda *words: made.append(words) or Device())
    return made


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("0", 0),
        ("rtsp://cam/1", "rtsp://cam/1"),
        ("RTSP://User@Cam/1", "rtsp://User@Cam/1"),
        ("HTTP://cam/a.mjpg", "http://cam/a.mjpg"),
    ],
)
def test_camera_is_live(opened, text, device):
    source = open_source(text)
    assert opened == [(device,)]
    assert (source.fps, source.size, source.length, source.live) == (30, SIZE, None, True)
    stamps = [f.stamp for f in source]
    assert len(stamps) == 2, "the first frame gave the size"
    assert stamps[0] > 1.6e18, "time of day"


PIPELINE = "videotestsrc ! videoconvert ! appsink"


def test_a_pipeline_goes_to_gstreamer(opened, monkeypatch):
    monkeypatch.setattr(sources, "has_gstreamer", lambda: True)
    assert open_source(PIPELINE).name == "pipeline"
    assert opened == [(PIPELINE, cv2.CAP_GSTREAMER)]


@pytest.mark.skipif(sources.has_gstreamer(), reason="this OpenCV has GStreamer")
def test_a_pipeline_without_gstreamer_is_explained():
    with pytest.raises(UserError, match=r"built without GStreamer.*python3-opencv"):
        open_source(PIPELINE)


@pytest.mark.parametrize(
    ("fps", "times", "stamps", "rate"),
    [
        (25.0, (0, 40, 80), (0, 40, 80), 25.0),
        (1000.0, (0, 33, 67), (0, 33, 67), 29.85),  # WebM of a browser: its time base as the rate
        (0.0, (5, 55, 155), (5, 55, 155), 13.33),  # a varying rate
        (0.0, (0, 0, 0), (0, 33, 67), 30.0),  # a raw stream without times and rate
        (20.0, (-1, -1, -1), (50, 100, 150), 20.0),
    ],
)
@pytest.mark.parametrize("count", [3.0, 0.0, -9e18])
def test_times_come_from_the_file_else_from_the_rate(monkeypatch, tmp_path, fps, times, stamps, rate, count):
    monkeypatch.setattr(captures.cv2, "VideoCapture", lambda _: Device(3, fps, count, times))
    (tmp_path / "a.webm").touch()
    source = open_source(str(tmp_path / "a.webm"))
    assert source.fps == pytest.approx(rate, abs=0.01)
    assert (source.length, source.live) == (3 if count == 3.0 else None, False)
    found = [f.stamp / 1e6 for f in source]
    assert [t - found[0] for t in found] == pytest.approx([t - stamps[0] for t in stamps], abs=0.5)


def test_joined_jpegs_have_no_count_and_are_no_live_source(tmp_path):
    path = tmp_path / "a.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame(box))[1].tobytes() for box in TRUTH))
    source = open_source(str(path))
    assert source.live is False
    gaps = np.diff([f.stamp for f in source])
    assert len(gaps) == 3
    assert gaps / 1e9 == pytest.approx(1 / source.fps, rel=0.1)


def test_a_video_that_promises_more_than_it_holds_is_reported(tmp_path, caplog):
    path = write_video(tmp_path / "a.avi", TRUTH * 10)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    source = open_source(str(path))
    count = len(list(source))
    if source.length == count:
        pytest.skip("this OpenCV counts what is there")
    assert f"a.avi has 40 frames, but only {count} could be decoded" in caplog.text


@pytest.mark.parametrize(("stated", "reported"), [(75, True), (30, False), (28, False)])
def test_a_frame_or_two_less_than_promised_are_no_damage(monkeypatch, tmp_path, caplog, stated, reported):
    monkeypatch.setattr(captures.cv2, "VideoCapture", lambda _: Device(28, 25.0, stated))
    (tmp_path / "a.mp4").touch()
    with caplog.at_level(logging.WARNING):
        assert len(list(open_source(str(tmp_path / "a.mp4")))) == 28
    assert (f"has {stated} frames, but only 28 could be decoded" in caplog.text) is reported


@pytest.mark.parametrize("pattern", ["%d.png", "%06d.png", "%02d.png"])
def test_a_pattern_of_names(tmp_path, pattern):
    for i in (8, 9, 10, 11):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((6, 8, 3), i, np.uint8))
    cv2.imwrite(str(tmp_path / "mask_8.png"), np.zeros((6, 8, 3), np.uint8))
    source = open_source(str(tmp_path / pattern))
    assert [int(f.image[0, 0, 0]) for f in source] == [8, 9, 10, 11]
    with pytest.raises(UserError, match="no file is named like"):
        open_source(str(tmp_path / "other_%04d.png"))


def test_file_addresses(tmp_path):
    folder = tmp_path / "with space"
    folder.mkdir()
    write_video(folder / "a.avi", TRUTH)
    for text in (f"file://{folder}/a.avi", (folder / "a.avi").as_uri(), f"FILE://{folder}/a.avi"):
        assert open_source(text).length == 4


def with_orientation(path, orientation):
    """A JPEG of 24 x 16 whose EXIF asks to turn it."""
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:, :12] = 255
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    entry = struct.pack("<HHHIHH", 1, 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + struct.pack("<I", 0)
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])


def test_pictures_are_turned_by_their_exif_orientation_and_it_is_logged(tmp_path, caplog):
    for i in (1, 2):
        with_orientation(tmp_path / f"{i}.jpg", 6)
    source = open_source(str(tmp_path))
    assert source.size == (16, 24)
    assert next(iter(source)).image.shape == (24, 16, 3)
    assert "rotated by their EXIF orientation" in caplog.text


def test_pictures_of_a_data_set_are_read_as_they_are_stored(tmp_path, caplog):
    with_orientation(tmp_path / "1.jpg", 6)
    (tmp_path / "groundtruth.txt").write_text("1,1,5,5\n")
    assert open_source(str(tmp_path)).size == (24, 16)
    assert read_picture(tmp_path / "1.jpg").shape == (16, 24, 3)
    assert not caplog.text


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_pictures_keep_their_contrast_and_every_pass_is_the_same(tmp_path, suffix):
    rng = np.random.default_rng(0)
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}{suffix}"), rng.integers(8000, 8300, (40, 50)).astype(np.uint16))
    source = open_source(str(tmp_path))
    first, second = ([f.image for f in source] for _ in range(2))
    assert all(len(np.unique(image)) > 100 for image in first)
    np.testing.assert_array_equal(first, second)
    fixed = next(iter(open_source(str(tmp_path), range16=(0, 65535)))).image
    assert len(np.unique(fixed)) < 4


def empty(path):
    path.mkdir()
    return path


def garbage(path):
    path.write_bytes(b"not a video" * 100)
    return path


def truncated(path):
    whole = write_video(path.with_suffix(".avi"), TRUTH)
    whole.write_bytes(whole.read_bytes()[:200])
    return whole


def damaged_picture(path):
    folder = write_sequence(path, TRUTH)
    (folder / "1.png").write_bytes(b"")
    return folder


def parent(path):
    """As `sot-tracker synth` writes clips."""
    for name in ("clip10", "clip2"):
        write_sequence(path / name, boxes(2))
    return path


def huge_picture(path):
    """Its header claims 60000 x 60000 pixels, which OpenCV refuses by an exception."""
    path.mkdir()
    data = bytearray(cv2.imencode(".bmp", frame(None))[1].tobytes())
    data[18:26] = (60000).to_bytes(4, "little") * 2
    (path / "1.bmp").write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "does not exist"),
        (empty, "holds no pictures"),
        (parent, "give one with frames, for example '.*/thing/clip2'"),
        (garbage, "cannot be opened"),
        (truncated, "cannot be opened|holds no frame"),
        (damaged_picture, r"1.png' cannot be decoded"),
        (huge_picture, r"1.bmp' cannot be decoded"),
        (lambda path: "", "the source is empty"),
        (lambda path: "x" * 5000, "'x{77}...' cannot be opened: File name too long"),
        (lambda path: "a\0b", "cannot be opened|does not exist"),
        (lambda path: "9" * 30, "there is no camera"),
    ],
)
def test_what_cannot_be_read_is_reported(tmp_path, make, words):
    with pytest.raises(UserError, match=words):
        open_source(str(make(tmp_path / "thing")))


def test_missing_camera():
    with pytest.raises(UserError, match="camera 97 gives no picture"):
        open_source("97")


def test_a_picture_damaged_later_is_named(tmp_path):
    folder = write_sequence(tmp_path / "a", TRUTH)
    (folder / "3.png").write_bytes(b"junk")
    frames = list(open_source(str(folder)))
    assert [f.stamp for f in frames] == [round(k * 1e9 / 30) for k in range(len(TRUTH))]
    with pytest.raises(FrameError, match=r"3.png' cannot be decoded"):
        frames[2].image  # noqa: B018
    assert all(frame.image.any() for k, frame in enumerate(frames) if k != 2)


def test_a_range_of_16_bit_values():
    assert parse_range16(None) == ()
    assert parse_range16("7000,9000.5") == (7000.0, 9000.5)


@pytest.mark.parametrize("text", ["", "7000", "9000,7000", "a,b", "1,2,3", "nan,5", "-1,5"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(UserError, match="is not a range of 16-bit values"):
        parse_range16(text)
