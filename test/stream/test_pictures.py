"""The one reader of picture files, as everything that reads pictures uses it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.stream.pictures import in_natural_order, read_picture
from sot_tracker.stream.range16 import Range16

PICTURE = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)


def huge(path: Path) -> Path:
    """A BMP whose header claims 60000 x 60000 pixels, which OpenCV refuses by an exception."""
    data = bytearray(cv2.imencode(".bmp", PICTURE)[1].tobytes())
    data[18:26] = (60000).to_bytes(4, "little") * 2
    path.write_bytes(bytes(data))
    return path


def cut(path: Path) -> Path:
    path.write_bytes(cv2.imencode(".png", PICTURE)[1].tobytes()[:40])
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("make", [huge, cut, empty])
def test_damage_is_one_error_that_names_the_file(tmp_path: Path, make) -> None:
    with pytest.raises(UserError, match=r"picture '.*a\.png' cannot be decoded: it is damaged or not a picture"):
        read_picture(make(tmp_path / "a.png"))


@pytest.mark.parametrize("make", [huge, cut, empty])
def test_the_training_cache_counts_it(tmp_path: Path, make) -> None:
    cache = pytest.importorskip("sot_tracker.train.cache")
    from sot_tracker.datasets.records import Frame

    assert cache._crops(Frame(make(tmp_path / "a.png"), 0, None), None) == "unreadable picture"


def test_a_missing_file() -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_picture(Path("/nowhere/a.png"))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_grey_colour_and_alpha_become_three_channels(tmp_path: Path, suffix: str) -> None:
    for name, image in (
        ("grey", PICTURE[:, :, 0]),
        ("colour", PICTURE),
        ("alpha", np.dstack([PICTURE, PICTURE[:, :, 0]])),
    ):
        path = tmp_path / f"{name}{suffix}"
        cv2.imwrite(str(path), np.ascontiguousarray(image))
        read = read_picture(path)
        assert (read.shape, read.dtype) == ((12, 16, 3), np.uint8)
        np.testing.assert_array_equal(read[:, :, 0], PICTURE[:, :, 0])


def test_a_stream_shares_the_range_of_16_bit_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i, low in enumerate((8000, 8100)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), rng.integers(low, low + 400, (40, 50)).astype(np.uint16))
    shared = Range16()
    first, second = (read_picture(tmp_path / f"{i}.png", shared).mean() for i in (0, 1))
    assert second > first + 30, "brighter, as it is"
    assert read_picture(tmp_path / "1.png").mean() == pytest.approx(first, abs=10), "alone, every picture is stretched"


def test_natural_order() -> None:
    names = ("10.png", "2.png", "1.png", "a.JPG")
    assert [path.name for path in in_natural_order(map(Path, names))] == ["a.JPG", "1.png", "2.png", "10.png"]
