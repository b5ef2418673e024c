"""Maps to boxes, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sot_tracker.decode import (
    DECODERS,
    NOTHING,
    Decoded,
    decode_center,
    decode_corner,
    decode_token,
    hann_closed,
    hann_open,
)

G = 16


def center_maps(peak: float = 0.9, row: int = 5, col: int = 9) -> dict[str, np.ndarray]:
    score = np.full((1, G, G), 0.01, np.float32)
    score[0, row, col] = peak
    size, offset = (np.zeros((2, G, G), np.float32) for _ in range(2))
    size[:, row, col] = 0.25, 0.5
    offset[:, row, col] = 0.5, -0.25
    return {"score": score, "size": size, "offset": offset}


def token_maps(gap: float = 3.0, index: int = 8 * G + 7) -> dict[str, np.ndarray]:
    logits = np.zeros((G * G, 2), np.float32)
    logits[:, 1] = 4.0
    logits[index] = gap, 0.0
    boxes = np.full((G * G, 4), 0.1, np.float32)
    boxes[index] = 0.4, 0.5, 0.2, 0.3
    return {"logits": logits, "boxes": boxes}


def blob(row: float, col: float, sharpness: float = 2.0) -> np.ndarray:
    rows, cols = np.mgrid[:G, :G]
    return (-sharpness * ((rows - row) ** 2 + (cols - col) ** 2)).astype(np.float32)


def corner_maps(sharpness: float = 2.0) -> dict[str, np.ndarray]:
    return {"tl": blob(4, 6, sharpness), "br": blob(10, 11, sharpness)}


GOOD = {"center": center_maps, "center_weak": center_maps, "corner": corner_maps, "token": token_maps}


def fractions(found: Decoded) -> tuple[float, ...]:
    return (found.cx, found.cy, found.w, found.h)


def test_windows() -> None:
    line = hann_open(16)[7] / hann_open(16)[7, 7] * 0.991487
    expected = (0.033764, 0.130496, 0.277131, 0.453866, 0.636831, 0.801317, 0.925109, 0.991487)
    assert line[:8] == pytest.approx(expected, abs=1e-6)
    assert line[8:] == pytest.approx(expected[::-1], abs=1e-6)
    assert hann_closed(16)[0].max() == hann_closed(16)[:, -1].max() == 0
    assert hann_closed(16)[7, 7] == pytest.approx((0.5 - 0.5 * math.cos(2 * math.pi * 7 / 15)) ** 2)
    assert hann_closed(5)[2, 2] == hann_open(5)[2, 2] == 1


def test_center() -> None:
    found = decode_center(center_maps())
    assert found.index == 5 * G + 9
    assert fractions(found) == pytest.approx(((9 + 0.5) / 16, (5 - 0.25) / 16, 0.25, 0.5))
    assert found.score == pytest.approx(0.9)
    assert found.response == pytest.approx(0.9 * hann_open(16)[5, 9])


def test_a_weak_window_follows_a_sure_score_further_out() -> None:
    maps = center_maps(peak=0.3, row=7, col=7)
    maps["score"][0, 2, 13] = 0.9
    assert decode_center(maps).index == 7 * G + 7
    assert DECODERS["center_weak"](maps).index == 2 * G + 13
    assert decode_center(maps, window=0.0).response == pytest.approx(0.9)


def test_center_prefers_the_middle_and_reports_the_score_without_window() -> None:
    maps = center_maps(peak=0.6, row=7, col=7)
    maps["score"][0, 0, 0] = 0.99
    assert decode_center(maps).index == 7 * G + 7
    assert decode_center(maps).score == pytest.approx(0.6)


def test_token() -> None:
    found = decode_token(token_maps())
    assert found.index == 8 * G + 7
    assert fractions(found) == pytest.approx((0.4, 0.5, 0.2, 0.3))
    assert found.score == pytest.approx(1 / (1 + math.exp(-3)), abs=1e-6)
    assert found.response == pytest.approx(0.58 * found.score + 0.42 * hann_closed(16)[8, 7], abs=1e-6)


def test_token_score_has_no_window_in_it() -> None:
    """All background: the window still picks the middle, but nobody should believe it."""
    found = decode_token(token_maps(gap=-9.0))
    assert found.response > 0.4
    assert found.score < 0.02


def test_token_of_extreme_logits() -> None:
    maps = token_maps()
    maps["logits"] *= np.float32(1e20)
    with np.errstate(all="raise"):
        assert decode_token(maps).score == 1.0


def test_corner() -> None:
    """A cell stands for its top-left corner: (6, 4) / 16 and (11, 10) / 16."""
    found = decode_corner(corner_maps(sharpness=50))
    assert fractions(found) == pytest.approx((8.5 / 16, 7 / 16, 5 / 16, 6 / 16))
    assert found.score == pytest.approx(1.0)
    assert found.index == 4 * G + 6


def test_corner_between_cells_is_no_less_sure() -> None:
    found = decode_corner({"tl": blob(4.5, 6.5), "br": blob(10.5, 11.5)})
    assert fractions(found) == pytest.approx((9 / 16, 7.5 / 16, 5 / 16, 6 / 16), abs=1e-4)
    assert found.score > 0.9


def two_places() -> dict[str, np.ndarray]:
    maps = corner_maps()
    maps["tl"] = np.maximum(maps["tl"], blob(1, 14) - 0.2)
    return maps


@pytest.mark.parametrize(
    ("name", "maps", "highest"),
    [
        ("flat", {"tl": np.zeros((G, G), np.float32), "br": np.zeros((G, G), np.float32)}, 0.1),
        ("wide", corner_maps(sharpness=0.02), 0.3),
        ("two places", two_places(), 0.7),
        ("crossed", {"tl": blob(10, 11), "br": blob(4, 6)}, 0.0),
        ("no area", {"tl": blob(4, 6), "br": blob(4, 11)}, 0.0),
    ],
)
def test_corner_score_falls(name: str, maps: dict[str, np.ndarray], highest: float) -> None:
    assert decode_corner(maps).score <= highest < decode_corner(corner_maps()).score


def test_crossed_corners_keep_their_negative_size() -> None:
    assert decode_corner({"tl": blob(10, 11), "br": blob(4, 6)}).w == pytest.approx(-5 / 16, abs=1e-4)


def test_corner_of_unscaled_maps() -> None:
    maps = {side: value * np.float32(1e6) for side, value in corner_maps().items()}
    with np.errstate(over="raise", invalid="raise"):
        assert decode_corner(maps).score == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("decoding", DECODERS)
def test_maps_that_are_not_finite_decode_to_nothing(decoding: str, bad: float) -> None:
    for key in GOOD[decoding]():
        maps = GOOD[decoding]()
        maps[key].flat[3] = bad
        assert DECODERS[decoding](maps) is NOTHING
    assert not NOTHING.is_finite
    assert NOTHING.score == 0


@pytest.mark.parametrize("decoding", DECODERS)
def test_scores_are_plain_numbers_within_bounds(decoding: str) -> None:
    found = DECODERS[decoding](GOOD[decoding]())
    assert found.is_finite
    assert 0 <= found.score <= 1
    assert {type(value) for value in (*fractions(found), found.score, found.response)} == {float}


def test_other_grids() -> None:
    maps = {"score": np.full((1, 8, 8), 0.5, np.float32), "size": np.ones((2, 8, 8)), "offset": np.zeros((2, 8, 8))}
    found = decode_center(maps)
    assert (found.index, found.cx, found.cy) == (3 * 8 + 3, 3 / 8, 3 / 8)
