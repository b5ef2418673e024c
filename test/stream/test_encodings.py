"""Every encoding, raw and compressed; every kind of damage, refused in words. Without ROS: messages are stand-ins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.stream.encodings import ENCODINGS, FrameError, compressed_picture, decode_pixels, raw_picture
from sot_tracker.stream.range16 import Range16

H, W = 6, 8
BGR = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
GREY = BGR[:, :, 0]


def message(encoding: str, data: np.ndarray, step: int | None = None, **fields: Any) -> SimpleNamespace:
    raw = np.ascontiguousarray(data).tobytes()
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=5), frame_id="camera")
    known = {"height": H, "width": W, "is_bigendian": 0, "step": len(raw) // H if step is None else step}
    return SimpleNamespace(header=header, encoding=encoding, data=raw, **{**known, **fields})


def decode_image(made: SimpleNamespace) -> np.ndarray:
    return raw_picture(made, Range16((0, 65535)))()


def alpha(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full((H, W), 77, np.uint8)])


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("bgr8", BGR, BGR),
        ("8UC3", BGR, BGR),
        ("rgb8", BGR[:, :, ::-1], BGR),
        ("bgra8", alpha(BGR), BGR),
        ("8UC4", alpha(BGR), BGR),
        ("rgba8", alpha(BGR[:, :, ::-1]), BGR),
        ("mono8", GREY, three(GREY)),
        ("8UC1", GREY, three(GREY)),
    ],
)
@pytest.mark.parametrize("padding", [0, 5])
def test_packed_encodings_are_views(encoding: str, data: np.ndarray, expected: np.ndarray, padding: int) -> None:
    rows = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8).reshape(H, -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=200)
    made = message(encoding, padded, step=rows.shape[1] + padding)
    image = decode_image(made)
    np.testing.assert_array_equal(image, expected)
    assert np.shares_memory(image, np.frombuffer(made.data, np.uint8))
    assert not image.flags.writeable


WIDE = BGR.astype(np.uint16) * 257  # the 16-bit value of every level, where 65535 is white


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("mono16", WIDE[:, :, 0], three(GREY)),
        ("16UC1", WIDE[:, :, 0], three(GREY)),
        ("bgr16", WIDE, BGR),
        ("16UC3", WIDE, BGR),
        ("rgb16", WIDE[:, :, ::-1], BGR),
        ("bgra16", np.dstack([WIDE, WIDE[:, :, :1]]), BGR),
        ("rgba16", np.dstack([WIDE[:, :, ::-1], WIDE[:, :, :1]]), BGR),
        ("16UC4", np.dstack([WIDE, WIDE[:, :, :1]]), BGR),
    ],
)
@pytest.mark.parametrize(("endian", "flag"), [("<u2", 0), (">u2", 1)])
@pytest.mark.parametrize("padding", [0, 5])
def test_16_bit(encoding: str, data: np.ndarray, expected: np.ndarray, endian: str, flag: int, padding: int) -> None:
    rows = np.frombuffer(np.ascontiguousarray(data.astype(endian)).tobytes(), np.uint8).reshape(H, -1)
    made = message(encoding, np.pad(rows, ((0, 0), (0, padding))), rows.shape[1] + padding, is_bigendian=flag)
    np.testing.assert_array_equal(decode_image(made), expected)


def test_big_endian_flag_means_nothing_for_bytes() -> None:
    np.testing.assert_array_equal(decode_image(message("bgr8", BGR, is_bigendian=1)), BGR)


# A flat picture of one colour has the same value in every subsampled plane, so that it must come back (nearly) exact.
FLAT = np.full((H, W, 3), (40, 160, 90), np.uint8)


def limited() -> tuple[int, int, int]:
    """BT.601 limited range of FLAT, as cameras send it."""
    b, g, r = FLAT[0, 0].astype(float)
    return (
        round(16 + 0.257 * r + 0.504 * g + 0.098 * b),
        round(128 - 0.148 * r - 0.291 * g + 0.439 * b),
        round(128 + 0.439 * r - 0.368 * g - 0.071 * b),
    )


LY, LU, LV = limited()


@pytest.mark.parametrize(
    ("encoding", "pattern"),
    [
        ("yuv422", (LU, LY, LV, LY)),
        ("uyvy", (LU, LY, LV, LY)),
        ("yuv422_yuy2", (LY, LU, LY, LV)),
        ("yuyv", (LY, LU, LY, LV)),
    ],
)
@pytest.mark.parametrize("padding", [0, 4])
def test_yuv_packed(encoding: str, pattern: tuple[int, ...], padding: int) -> None:
    rows = np.pad(np.tile(np.array(pattern, np.uint8), (H, W // 2)), ((0, 0), (0, padding)))
    image = decode_image(message(encoding, rows, step=2 * W + padding))
    np.testing.assert_allclose(image.astype(int), FLAT.astype(int), atol=3)


@pytest.mark.parametrize(("encoding", "chroma"), [("nv12", (LU, LV)), ("nv21", (LV, LU))])
@pytest.mark.parametrize("padding", [0, 4])
def test_yuv_planar(encoding: str, chroma: tuple[int, int], padding: int) -> None:
    planes = np.vstack([np.full((H, W), LY), np.tile(np.array(chroma), (H // 2, W // 2))]).astype(np.uint8)
    rows = np.pad(planes, ((0, 0), (0, padding)))
    image = decode_image(message(encoding, rows, step=W + padding))
    np.testing.assert_allclose(image.astype(int), FLAT.astype(int), atol=3)


@pytest.mark.parametrize("padding", [0, 4])
def test_nv24(padding: int) -> None:
    planes = np.vstack([np.full((H, W), LY), np.tile(np.array((LU, LV)), (2 * H, W // 2))]).astype(np.uint8)
    image = decode_image(message("nv24", np.pad(planes, ((0, 0), (0, padding))), step=W + padding))
    np.testing.assert_allclose(image.astype(int), FLAT.astype(int), atol=3)


def test_nv24_takes_every_pixels_own_colour() -> None:
    y, u, v = (np.random.default_rng(k).integers(60, 180, (H, W), dtype=np.uint8) for k in range(3))
    chroma = np.dstack([u, v]).reshape(H, 2 * W).reshape(2 * H, W)
    image = decode_image(message("nv24", np.vstack([y, chroma]), step=W))
    blue, red = 1.164 * (y - 16.0) + 2.017 * (u - 128.0), 1.164 * (y - 16.0) + 1.596 * (v - 128.0)
    np.testing.assert_allclose(image[:, :, 0], np.clip(blue, 0, 255), atol=1)
    np.testing.assert_allclose(image[:, :, 2], np.clip(red, 0, 255), atol=1)


def mosaic(order: str, image: np.ndarray = FLAT) -> np.ndarray:
    channel = {"b": 0, "g": 1, "r": 2}
    made = np.empty((H, W), image.dtype)
    for position, color in enumerate(order):
        row, column = divmod(position, 2)
        made[row::2, column::2] = image[row::2, column::2, channel[color]]
    return made


ORDERS = ["rggb", "bggr", "gbrg", "grbg"]


@pytest.mark.parametrize("order", ORDERS)
def test_bayer(order: str) -> None:
    np.testing.assert_array_equal(decode_image(message(f"bayer_{order}8", mosaic(order))), FLAT)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("endian", "flag"), [("<u2", 0), (">u2", 1)])
def test_bayer_16(order: str, endian: str, flag: int) -> None:
    wide = mosaic(order, FLAT.astype(np.uint16) * 257)
    np.testing.assert_array_equal(
        decode_image(message(f"bayer_{order}16", wide.astype(endian), is_bigendian=flag)), FLAT
    )


def test_every_documented_encoding_is_there() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "ros.md").read_text()
    for name in ENCODINGS:
        assert f"`{name}`" in page, f"docs/ros.md does not name {name}"


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"height": 0}, "empty"),
        ({"data": b""}, "short"),
        ({"data": BGR.tobytes()[:-1]}, "short"),
        ({"step": 3 * W - 1}, "step"),
        ({"step": 3 * W + 1}, "short"),
    ],
)
def test_damaged_frames_are_refused(fields: dict[str, Any], kind: str) -> None:
    made = message("bgr8", BGR)
    vars(made).update(fields)
    with pytest.raises(FrameError) as caught:
        decode_image(made)
    assert caught.value.kind == kind


def test_last_row_may_come_without_padding_and_step_may_be_missing() -> None:
    padded = np.pad(BGR.reshape(H, -1), ((0, 0), (0, 6))).tobytes()[:-6]
    made = message("bgr8", BGR, step=3 * W + 6)
    made.data = padded
    np.testing.assert_array_equal(decode_image(made), BGR)
    np.testing.assert_array_equal(decode_image(message("bgr8", BGR, step=0)), BGR)


@pytest.mark.parametrize("encoding", ["nv12", "yuv422"])
def test_odd_sizes_of_subsampled_encodings_are_refused(encoding: str) -> None:
    made = message(encoding, np.zeros((20, 20), np.uint8), step=20, height=5, width=5)
    with pytest.raises(FrameError, match="even"):
        decode_image(made)


@pytest.mark.parametrize("encoding", ["32FC1", "16SC1", "bayer_rggb12", "", "x" * 1000])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(FrameError, match="cannot be read: publish one of bgr8") as caught:
        decode_image(message(encoding, np.zeros((H, W), np.float32)))
    assert caught.value.kind == "encoding"
    assert encoding[:40] in str(caught.value)


def compressed(picture: np.ndarray, text: str, suffix: str = ".png") -> np.ndarray:
    data = cv2.imencode(suffix, np.ascontiguousarray(picture))[1].tobytes()
    return compressed_picture(data, text, Range16((0, 65535)))


@pytest.mark.parametrize(
    ("text", "picture", "expected"),
    [
        ("png", BGR, BGR),
        ("bgr8; png compressed bgr8", BGR, BGR),
        ("rgb8; png compressed bgr8", BGR, BGR),
        ("rgb8; png compressed rgb8", BGR[:, :, ::-1], BGR),
        ("bgra8; png compressed bgr8", alpha(BGR), BGR),
        ("rgba8; png compressed bgr8", BGR, BGR),
        ("mono8; png compressed ", GREY, three(GREY)),
        ("8UC3; png compressed ", BGR, BGR),
        ("mono16; png compressed ", WIDE[:, :, 0], three(GREY)),
        ("16UC1; png compressed ", WIDE[:, :, 0], three(GREY)),
        ("bgr16; png compressed bgr16", WIDE, BGR),
        ("rgb16; png compressed bgr16", WIDE, BGR),
        *((f"bayer_{o}8; png compressed ", mosaic(o), FLAT) for o in ORDERS),
        *((f"bayer_{o}16; png compressed ", mosaic(o, FLAT.astype(np.uint16) * 257), FLAT) for o in ORDERS),
        ("bayer_rggb8; png compressed bgr8", FLAT, FLAT),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_compressed_has_the_colours_of_raw(text: str, picture: np.ndarray, expected: np.ndarray, suffix: str) -> None:
    image = compressed(picture, text, suffix)
    np.testing.assert_array_equal(image, expected)
    assert not image.flags.writeable


@pytest.mark.parametrize("order", ORDERS)
def test_a_mosaic_as_jpeg(order: str) -> None:
    image = compressed(mosaic(order), f"bayer_{order}8; jpeg compressed ", ".jpg")
    assert np.abs(image.astype(int) - FLAT).mean() < 25, "JPEG blurs a mosaic, and its colours stay"


def test_planes_in_a_grey_picture() -> None:
    planes = np.vstack([np.full((H, W), LY), np.tile(np.array((LU, LV)), (H // 2, W // 2))]).astype(np.uint8)
    np.testing.assert_allclose(compressed(planes, "nv12; png compressed ").astype(int), FLAT.astype(int), atol=3)
    with pytest.raises(FrameError, match="rows"):
        compressed(planes[:-1], "nv12; png compressed ")


def test_planes_of_16_bit_are_refused() -> None:
    with pytest.raises(FrameError, match="does not fit its encoding"):
        compressed(np.zeros((9, 8), np.uint16), "nv12; png compressed ")


# A BMP whose header claims 60000 x 60000 pixels: OpenCV refuses it by an exception of its own.
HUGE = bytearray(cv2.imencode(".bmp", BGR)[1].tobytes())
HUGE[18:26] = (60000).to_bytes(4, "little") * 2
PNG = cv2.imencode(".png", BGR)[1].tobytes()
FLOAT = cv2.imencode(".tiff", np.ones((H, W), np.float32))[1].tobytes()
DAMAGED = [b"", PNG[:20], b"no picture", b"P5 99999 99999 255 x", bytes(HUGE), FLOAT]


def test_the_huge_one_really_raises_in_opencv() -> None:
    with pytest.raises(cv2.error):
        cv2.imdecode(np.frombuffer(bytes(HUGE), np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("data", DAMAGED)
def test_every_kind_of_damage_is_a_damaged_frame(data: bytes) -> None:
    with pytest.raises(FrameError, match=r"compressed frame of .* cannot be (decoded|used)") as caught:
        compressed_picture(data, "jpeg", Range16())
    assert caught.value.kind == "compressed"


def test_an_unexpected_exception_of_the_decoder_is_a_damaged_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(cv2, "imdecode", fails)
    with pytest.raises(FrameError):
        decode_pixels(PNG)
