"""What is read from the maps of one search."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.calibration import FEATURES
from sot_tracker.decode import DECODERS, NOTHING
from sot_tracker.tracking.colour import Likeness
from sot_tracker.tracking.confidence import UNREADABLE, features_of, read_maps, score_grid
from sot_tracker.tracking.state import Measurement, SearchWindow

G = 16


def center_maps(*peaks: tuple[int, int, float]) -> dict[str, np.ndarray]:
    score = np.full((1, G, G), 0.01, np.float32)
    for row, col, value in peaks:
        score[0, row, col] = value
    return {"score": score, "size": np.full((2, G, G), 0.25, np.float32), "offset": np.zeros((2, G, G), np.float32)}


def token_maps(row: int, col: int) -> dict[str, np.ndarray]:
    logits = np.zeros((G, G, 2), np.float32)
    logits[..., 1] = 6
    logits[row, col] = 6, 0
    return {"logits": logits.reshape(-1, 2), "boxes": np.full((G * G, 4), 0.25, np.float32)}


def corner_maps(row: int, col: int) -> dict[str, np.ndarray]:
    tl, br = np.zeros((G, G), np.float32), np.zeros((G, G), np.float32)
    tl[row, col], br[row + 4, col + 4] = 20, 20
    return {"tl": tl, "br": br}


@pytest.mark.parametrize(
    ("decoding", "maps"),
    [("center", center_maps((7, 8, 0.9))), ("token", token_maps(7, 8)), ("corner", corner_maps(7, 8))],
)
def test_every_decoding_has_a_grid_whose_peak_is_the_chosen_cell(decoding: str, maps: dict[str, np.ndarray]) -> None:
    found = DECODERS[decoding](maps)
    evidence = read_maps(maps, found)
    assert score_grid(maps).shape == (G, G)
    assert found.index == 7 * G + 8
    assert evidence.peak == evidence.chosen > 0.85
    assert evidence.rival < 0.1


@pytest.mark.parametrize(
    ("second", "rival"),
    [((7, 9, 0.8), 0.01 / 0.9), ((12, 3, 0.8), 0.8 / 0.9), ((7, 11, 0.45), 0.5)],
    ids=["a neighbour", "far", "just outside"],
)
def test_only_a_peak_apart_is_a_rival(second: tuple[int, int, float], rival: float) -> None:
    maps = center_maps((7, 8, 0.9), second)
    assert read_maps(maps, DECODERS["center"](maps)).rival == pytest.approx(rival)


def test_the_place_of_the_second_peak_is_known_where_the_map_is_of_middles() -> None:
    maps = center_maps((7, 8, 0.9), (12, 3, 0.8))
    assert read_maps(maps, DECODERS["center"](maps)).second_at == (3.5 / G, 12.5 / G)
    corners = corner_maps(7, 8)
    assert read_maps(corners, DECODERS["corner"](corners)).second_at is None


@pytest.mark.parametrize(("others", "nearer"), [(None, 0.4), (0.75, 0.4), (0.99, 0.0), (1.0, -0.1)])
def test_colours_between_the_target_and_look_alikes(others: float | None, nearer: float) -> None:
    window = SearchWindow(Box(100, 100, 40, 40))
    found = Measurement(window, window.box, 0.9, likeness=Likeness(0.84, 0.99, others))
    reported = features_of(found, window.box, 0, {})
    assert (reported["differs"], reported["differs_memory"], reported["nearer"]) == pytest.approx((0.4, 0.1, nearer))


def test_the_spread_grows_with_a_second_peak() -> None:
    one, two = (center_maps((7, 8, 0.9), *more) for more in ((), ((14, 1, 0.9),)))
    first, second = (read_maps(maps, DECODERS["center"](maps)) for maps in (one, two))
    assert second.spread > first.spread
    assert second.mass > first.mass


def test_maps_that_are_not_finite_tell_nothing() -> None:
    assert read_maps(center_maps((7, 8, math.nan)), NOTHING) == UNREADABLE
    assert UNREADABLE.rival == 0


def test_features_are_those_of_the_calibration_and_finite() -> None:
    window = SearchWindow(Box(100, 100, 40, 40))
    for measurement in (Measurement(window, window.box, 1.0), Measurement(window, None, 0.0)):
        reported = features_of(measurement, Box(120, 100, 40, 40), 3, {})
        assert tuple(reported) == FEATURES
        assert all(math.isfinite(value) for value in reported.values())
        assert reported["overlap"] == pytest.approx(1 / 3)
        assert reported["jump"] == pytest.approx(math.log1p(0.5))


def test_memories_follow_the_score_slowly() -> None:
    window, reported = SearchWindow(Box(100, 100, 40, 40)), {}
    for _ in range(5):
        reported = dict(features_of(Measurement(window, window.box, 0.05), window.box, 0, reported))
    assert reported["score"] < reported["recent"] < reported["memory"] < 3


def test_a_jump_is_remembered_for_a_while() -> None:
    window, reported, jumped = SearchWindow(Box(100, 100, 40, 40)), {}, []
    for x in (160, 100, 100, 100):
        reported = dict(features_of(Measurement(window, window.box, 0.9), Box(x, 100, 40, 40), 0, reported))
        jumped.append(reported["jumped"])
    assert jumped[0] == told_jump(60)
    assert jumped == sorted(jumped, reverse=True)
    assert jumped[-1] > 0.9 * jumped[0]


def told_jump(pixels: float) -> float:
    return math.log1p(pixels / 40)
