"""Every encoding, viewed or converted; every kind of damage, refused in words. Without ROS: messages are stand-ins."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker.stream import frame
from sot_tracker.stream.frame import ENCODINGS, Frame, FrameError, decode_compressed, decode_image

H, W = 6, 8
BGR = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
GREY = BGR[:, :, 0]


def message(encoding: str, data: np.ndarray, step: int | None = None, **fields: Any) -> SimpleNamespace:
    raw = np.ascontiguousarray(data).tobytes()
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=5), frame_id="camera")
    known = {"height": H, "width": W, "is_bigendian": 0, "step": len(raw) // H if step is None else step}
    return SimpleNamespace(header=header, encoding=encoding, data=raw, **{**known, **fields})


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
        ("mono16", GREY.astype("<u2") * 256 + 13, three(GREY)),
        ("16UC1", GREY.astype("<u2") * 256, three(GREY)),
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


def test_big_endian_16_bit_grey() -> None:
    data = GREY.astype(">u2") * 256 + 99
    np.testing.assert_array_equal(decode_image(message("mono16", data.astype(">u2"), is_bigendian=1)), three(GREY))


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


@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer(order: str) -> None:
    channel = {"b": 0, "g": 1, "r": 2}
    mosaic = np.empty((H, W), np.uint8)
    for position, color in enumerate(order):
        row, column = divmod(position, 2)
        mosaic[row::2, column::2] = FLAT[0, 0, channel[color]]
    image = decode_image(message(f"bayer_{order}8", mosaic))
    np.testing.assert_array_equal(image, FLAT)


def test_every_listed_encoding_is_tested_above() -> None:
    promised = (
        "bgr8 rgb8 bgra8 rgba8 mono8 mono16 yuv422 yuv422_yuy2 nv12 bayer_rggb8 bayer_bggr8 bayer_gbrg8 bayer_grbg8"
    )
    assert set(promised.split()) <= set(ENCODINGS)


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


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """Put a cv_bridge of our own first on the path of this process and its children."""

    def install(body: str) -> None:
        (tmp_path / "cv_bridge.py").write_text(body)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
        frame.cv_bridge_works.cache_clear()

    yield install
    sys.modules.pop("cv_bridge", None)
    frame.cv_bridge_works.cache_clear()


WORKING = """
import numpy as np
class CvBridgeError(TypeError): pass
class CvBridge:
    def cv2_to_imgmsg(self, image, encoding): return encoding
    def imgmsg_to_cv2(self, message, encoding):
        if getattr(message, "encoding", "") == "bad": raise CvBridgeError("cannot")
        return np.full((2, 2, 3), 9, np.uint8)
"""


def test_other_encodings_go_through_cv_bridge(bridge: Any) -> None:
    bridge(WORKING)
    np.testing.assert_array_equal(decode_image(message("bgr16", BGR)), np.full((2, 2, 3), 9))
    with pytest.raises(FrameError, match="cannot"):
        decode_image(message("bad", BGR))


@pytest.mark.parametrize(
    "body", ["raise ImportError('numpy.core.multiarray failed to import')", "import os; os.abort()"]
)
def test_a_cv_bridge_that_crashes_only_costs_the_frame(bridge: Any, body: str) -> None:
    bridge(body)
    with pytest.raises(FrameError, match="encoding 'bgr16' is unknown") as caught:
        decode_image(message("bgr16", BGR))
    assert caught.value.kind == "encoding"


def test_compressed() -> None:
    data = cv2.imencode(".png", BGR)[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(SimpleNamespace(data=data, format="png")), BGR)
    for damaged in (b"", data[:20], b"no picture"):
        with pytest.raises(FrameError, match="cannot be decoded"):
            decode_compressed(SimpleNamespace(data=damaged, format="jpeg"))


def test_a_frame_is_decoded_once_and_only_when_asked() -> None:
    asked = []

    def picture() -> np.ndarray:
        asked.append(1)
        return BGR

    frame = Frame(message("bgr8", BGR), picture)
    assert frame.stamp == 1_000_000_005
    assert asked == []
    assert frame.image is frame.image
    assert asked == [1]
