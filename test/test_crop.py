"""Crops against the published rule written out the long way: pad the whole square, then resize it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.crop import channel_average, crop_average, crop_black
from sot_tracker.errors import UserError

HEIGHT, WIDTH = 120, 160
BOXES = {
    "inside": Box(60, 50, 20, 14),
    "inside, fractions": Box(60.3, 50.7, 11.9, 17.2),
    "touching the last column": Box(139, 50, 14, 14),
    "left": Box(-5, 50, 20, 20),
    "right": Box(150, 50, 20, 20),
    "top left corner": Box(-6, -4, 24, 18),
    "bottom right corner": Box(150, 110, 30, 20),
    "whole frame": Box(0, 0, WIDTH, HEIGHT),
    "larger than the frame": Box(-80, -60, 2 * WIDTH, 2 * HEIGHT),
    "one pixel": Box(80, 60, 1, 1),
    "thin": Box(80, 10, 0.5, 100),
    "far larger than the frame": Box(-900, -700, 2000, 1600),
    "far larger, frame in its corner": Box(-20, -10, 2400, 1200),
    "far larger, frame at its end": Box(-2380, -1190, 2400, 1200),
}
SIZES = ((2.0, 128), (4.0, 256))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """BGR noise: no two pixels alike, so that a shift by a pixel or a swap of channels shows."""
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def long_way_black(image: np.ndarray, box: Box, factor: float, size: int) -> np.ndarray:
    side = math.ceil(math.sqrt(box.w * box.h) * factor)
    x1, y1 = round(box.x + 0.5 * box.w - 0.5 * side), round(box.y + 0.5 * box.h - 0.5 * side)
    height, width = image.shape[:2]
    square = np.zeros((side, side, 3), np.uint8)
    right = width - 1 if x1 + side >= width else width
    bottom = height - 1 if y1 + side >= height else height
    columns = np.arange(max(0, x1), min(right, x1 + side))
    rows = np.arange(max(0, y1), min(bottom, y1 + side))
    square[np.ix_(rows - y1, columns - x1)] = image[np.ix_(rows, columns)]
    return cv2.resize(square, (size, size))[..., ::-1]


@pytest.mark.parametrize(("factor", "size"), SIZES)
@pytest.mark.parametrize("name", BOXES)
def test_black(image: np.ndarray, name: str, factor: float, size: int) -> None:
    crop = crop_black(image, BOXES[name], factor, size)
    expected = long_way_black(image, BOXES[name], factor, size)
    allowed = (
        1 if crop.side > 2304 else 0
    )  # the gathered samples of very large squares are rounded once, OpenCV's twice
    assert crop.patch.dtype == np.uint8
    assert crop.patch.flags.c_contiguous
    assert crop.patch.shape == (size, size, 3)
    assert np.abs(crop.patch.astype(int) - expected).max() <= allowed
    assert crop.patch.any()


def test_ties_are_rounded_to_even(image: np.ndarray) -> None:
    """x1 = 20 + 5 - 12.5 = 12.5 -> 12, y1 = 21 + 5 - 12.5 = 13.5 -> 14."""
    crop = crop_black(image, Box(20, 21, 10, 10), 2.5, 25)
    assert (crop.side, crop.corner) == (25, (12, 14))
    assert np.array_equal(crop.patch, image[14:39, 12:37, ::-1])


def test_last_column_and_row_are_black_once_reached(image: np.ndarray) -> None:
    just_inside = crop_black(image, Box(WIDTH - 41, HEIGHT - 41, 20, 20), 4.0, 80)
    reaching = crop_black(image, Box(WIDTH - 60, HEIGHT - 60, 20, 20), 4.0, 80)
    assert just_inside.corner == (WIDTH - 71, HEIGHT - 71)
    assert (reaching.corner[0] + 80, reaching.corner[1] + 80) == (WIDTH - 10, HEIGHT - 10)
    assert reaching.patch[-1, -1].any()
    at_border = crop_black(image, Box(WIDTH - 50, HEIGHT - 50, 20, 20), 4.0, 80)
    assert (at_border.corner[0] + 80, at_border.corner[1] + 80) == (WIDTH, HEIGHT)
    assert not at_border.patch[-1].any()
    assert not at_border.patch[:, -1].any()
    assert np.array_equal(at_border.patch[:-1, :-1], image[HEIGHT - 80 : -1, WIDTH - 80 : -1, ::-1])


@pytest.mark.parametrize("box", [Box(-500, 20, 10, 10), Box(20, 900, 10, 10), Box(-5e8, 20, 10, 10)])
def test_a_square_that_misses_the_frame_is_padding(image: np.ndarray, box: Box) -> None:
    assert not crop_black(image, box, 2.0, 32).patch.any()
    assert (crop_average(image, box, 2.0, 32, (10.4, 20.5, 30.6)).patch == (10, 20, 31)).all()


@pytest.mark.parametrize("box", [Box(5, 5, 0, 10), Box(5, 5, -3, -4), Box(5, 5, math.nan, 4), Box(0, 0, 1e300, 1e300)])
def test_a_box_without_usable_area_is_reported(image: np.ndarray, box: Box) -> None:
    with pytest.raises(UserError, match="area"):
        crop_black(image, box, 2.0, 32)
    with pytest.raises(UserError, match="area"):
        crop_average(image, box, 2.0, 32, (0, 0, 0))


def views(image: np.ndarray) -> dict[str, np.ndarray]:
    """The same BGR pixels in other layouts."""
    rgb = np.ascontiguousarray(image[..., ::-1])
    padded = np.zeros((HEIGHT, WIDTH + 7, 3), np.uint8)
    padded[:, :WIDTH] = image
    bgra = np.dstack([image, np.zeros((HEIGHT, WIDTH, 1), np.uint8)])
    return {
        "reversed RGB": rgb[..., ::-1],
        "padded rows": padded[:, :WIDTH],
        "BGRA": bgra[..., :3],
        "upside down": np.ascontiguousarray(image[::-1])[::-1],
        "planes": np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0),
        "read-only": np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape),
    }


@pytest.mark.parametrize("layout", ["reversed RGB", "padded rows", "BGRA", "upside down", "planes", "read-only"])
@pytest.mark.parametrize("name", ["inside", "right", "far larger than the frame"])
def test_any_layout_gives_the_same_patch(image: np.ndarray, layout: str, name: str) -> None:
    view, box = views(image)[layout], BOXES[name]
    average = channel_average(image)
    assert channel_average(view) == pytest.approx(average)
    assert np.array_equal(crop_black(view, box, 4.0, 256).patch, crop_black(image, box, 4.0, 256).patch)
    ours, expected = (crop_average(i, box, 4.0, 256, average).patch for i in (view, image))
    assert np.array_equal(ours, expected)


def test_a_grey_picture_seen_as_colour() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    view = np.broadcast_to(grey, (HEIGHT, WIDTH, 3))
    expected = crop_black(np.repeat(grey, 3, axis=2), BOXES["right"], 4.0, 256).patch
    assert np.array_equal(crop_black(view, BOXES["right"], 4.0, 256).patch, expected)


def test_average_inside_is_a_plain_resize(image: np.ndarray) -> None:
    """Square box of 20: side 2 * 20, from floor(70 - 20) = 50 and floor(60 - 20) = 40."""
    crop = crop_average(image, Box(60, 50, 20, 20), 2.0, 128, (1.0, 2.0, 3.0))
    assert (crop.side, crop.corner) == (40, (50, 40))
    assert np.array_equal(crop.patch, cv2.resize(image[40:80, 50:90], (128, 128))[..., ::-1])


def test_average_is_padded_after_resizing(image: np.ndarray) -> None:
    """Side 80 from (-27, -10): 27 of 80 columns are 43.2 -> 43 of 128, 10 rows are 16; the rest is resized alone."""
    average = (10.25, 20.5, 30.75)
    crop = crop_average(image, Box(3, 20, 20, 20), 4.0, 128, average, np.float32)
    assert (crop.side, crop.corner) == (80, (-27, -10))
    assert crop.patch.dtype == np.float32
    assert np.array_equal(crop.patch[16:, 43:], cv2.resize(image[0:70, 0:53], (85, 112))[..., ::-1])
    assert (crop.patch[:16] == np.float32(average)).all()
    assert (crop.patch[:, :43] == np.float32(average)).all()
    rounded = crop_average(image, Box(3, 20, 20, 20), 4.0, 128, average).patch
    assert np.array_equal(rounded, np.rint(crop.patch))


@pytest.mark.parametrize("name", BOXES)
def test_average_of_any_box(image: np.ndarray, name: str) -> None:
    average = channel_average(image)
    assert average == pytest.approx(image.mean((0, 1))[::-1], abs=1e-9)
    patch = crop_average(image, BOXES[name], 4.0, 256, average).patch
    assert patch.shape == (256, 256, 3)
    assert patch.flags.c_contiguous


def test_the_way_back(image: np.ndarray) -> None:
    box = Box(60.3, 50.7, 11.9, 17.2)
    crop = crop_black(image, box, 4.0, 256)
    same = crop.to_frame(0.5, 0.5, box.w / crop.side, box.h / crop.side)
    assert same.xywh == pytest.approx(box.xywh)
    corner = crop.to_frame(0.0, 0.0, 1.0, -0.5)
    assert corner.center == pytest.approx((66.25 - crop.side / 2, 59.3 - crop.side / 2))
    assert (corner.w, corner.h) == pytest.approx((crop.side, -0.5 * crop.side))


def test_the_frame_is_left_alone(image: np.ndarray) -> None:
    before = image.copy()
    for box in BOXES.values():
        crop_black(image, box, 4.0, 256).patch[:] = 7
        crop_average(image, box, 4.0, 256, (0, 0, 0)).patch[:] = 7
    crop_black(image[..., ::-1], Box(20, 20, 64, 64), 1.0, 64).patch[:] = 7  # nothing to resize, nothing to reorder
    assert np.array_equal(image, before)
