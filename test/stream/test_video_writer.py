"""Which encoder writes a video, and what is told where it is not H.264."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.stream import h264
from sot_tracker.stream.video_writer import VideoWriter

PICTURES = [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(10)]


def write(path: Path) -> VideoWriter:
    writer = VideoWriter(path, 25.0, (64, 48), "--save")
    for picture in PICTURES:
        writer.write(picture)
    writer.close()
    return writer


def codec(path: Path) -> str:
    capture = cv2.VideoCapture(str(path))
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    means = []
    while (read := capture.read())[0]:
        means.append(read[1].mean())
    assert means == pytest.approx([20 * i for i in range(10)], abs=5)
    return code.to_bytes(4, "little").decode().lower()


@pytest.mark.parametrize("suffix", h264.SUFFIXES)
def test_pyav_writes_h264(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("av", reason="encodes")
    writer = write(tmp_path / f"a{suffix}")
    assert codec(tmp_path / f"a{suffix}") in ("avc1", "h264")
    assert writer.note == ""
    if suffix == ".mp4":
        data = (tmp_path / "a.mp4").read_bytes()
        assert data.index(b"moov") < data.index(b"mdat"), "a browser can begin before it has all"


def test_avi_stays_motion_jpeg(tmp_path: Path) -> None:
    assert write(tmp_path / "a.avi").note == ""
    assert codec(tmp_path / "a.avi") == "mjpg"


def test_without_an_encoder_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(h264.shutil, "which", lambda name: None)
    assert "browsers do not play: `pip install av`" in write(tmp_path / "a.mp4").note
    assert codec(tmp_path / "a.mp4") in ("mp4v", "fmp4")


FFMPEG = f"""#!{sys.executable}
# Stands for ffmpeg: tells its encoders, or stores what it is fed.
import sys
if "-encoders" in sys.argv:
    print(" V..... libx264 H.264")
elif "libx264" in sys.argv:
    open(sys.argv[-1], "wb").write(sys.stdin.buffer.read())
    sys.exit(STATUS)
"""


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def make(status: int) -> None:
        program = tmp_path / "ffmpeg"
        program.write_text(FFMPEG.replace("STATUS", str(status)))
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setitem(sys.modules, "av", None)
        monkeypatch.setattr(h264.shutil, "which", lambda name: str(program))

    return make


def test_the_program_gets_every_frame(tmp_path: Path, ffmpeg) -> None:
    ffmpeg(0)
    encoder = h264.open_h264(tmp_path / "a.mp4", 25.0, (64, 48))
    for picture in PICTURES:
        encoder.write(picture)
    encoder.close()
    assert (tmp_path / "a.mp4").read_bytes() == b"".join(picture.tobytes() for picture in PICTURES)


def test_a_program_that_fails_is_one_line(tmp_path: Path, ffmpeg) -> None:
    ffmpeg(3)
    with pytest.raises(UserError, match=r"--save cannot be written: ffmpeg ended with status 3|Broken pipe"):
        write(tmp_path / "a.mp4")


def test_ctrl_c_in_the_terminal_does_not_end_the_program(tmp_path: Path, ffmpeg) -> None:
    """The terminal sends it to our process group; what was written until then is kept."""
    ffmpeg(0)
    encoder = h264.open_h264(tmp_path / "a.mp4", 25.0, (64, 48))
    assert os.getpgid(encoder._process.pid) != os.getpgid(0)
    encoder.close()
