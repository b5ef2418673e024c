import cv2
import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.stream import sources
from sot_tracker.stream.sources import open_source

from clips import SIZE, boxes, frame, write_sequence, write_video

TRUTH = boxes(4)


def test_video_file(tmp_path):
    source = open_source(str(write_video(tmp_path / "a.avi", TRUTH)))
    assert (source.name, source.fps, source.size, source.length) == ("a.avi", 25, SIZE, 4)
    frames = list(source)
    assert len(frames) == 4
    assert np.abs(frames[2].astype(int) - frame(TRUTH[2])).mean() < 10
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
    assert [int(image[0, 0, 0]) for image in source] == [1, 2, 10]
    assert [int(image[0, 0, 0]) for image in source] == [1, 2, 10]


def test_grey_pictures_become_three_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((6, 8), np.uint8))
    assert next(iter(open_source(str(tmp_path)))).shape == (6, 8, 3)


class Capture:
    """A camera of three frames."""

    def __init__(self, device):
        self.device, self.left = device, 3

    def read(self):
        self.left -= 1
        return (True, frame(None)) if self.left >= 0 else (False, None)

    def get(self, what):
        return 0.0

    def release(self):
        pass


@pytest.mark.parametrize(("text", "device"), [("0", 0), ("rtsp://cam/1", "rtsp://cam/1")])
def test_camera_is_live(monkeypatch, text, device):
    opened = []
    monkeypatch.setattr(sources.cv2, "VideoCapture", lambda d: opened.append(d) or Capture(d))
    source = open_source(text)
    assert opened == [device]
    assert (source.fps, source.size, source.length) == (30, SIZE, None)
    assert len(list(source)) == 2, "the first frame told the size"


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


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path, "does not exist"),
        (empty, "holds no pictures"),
        (garbage, "cannot be opened"),
        (truncated, "cannot be opened|holds no frame"),
        (damaged_picture, r"1.png' cannot be decoded"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, make, words):
    with pytest.raises(UserError, match=words):
        open_source(str(make(tmp_path / "thing")))


def test_missing_camera():
    with pytest.raises(UserError, match="camera 97 gives no picture"):
        open_source("97")


def test_a_picture_damaged_later_is_named(tmp_path):
    folder = write_sequence(tmp_path / "a", TRUTH)
    (folder / "3.png").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"3.png' cannot be decoded"):
        list(open_source(str(folder)))
