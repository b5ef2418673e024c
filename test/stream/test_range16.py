"""16-bit pictures become 8-bit ones with contrast, steadily from picture to picture."""

from __future__ import annotations

import numpy as np
import pytest

from sot_tracker.stream.range16 import PACE, Range16


def thermal(low: int = 7000, high: int = 7400, seed: int = 0) -> np.ndarray:
    """A 14-bit thermal picture: all of it lies within a few hundred of 16384 levels."""
    return np.random.default_rng(seed).integers(low, high, (120, 160)).astype(np.uint16)


def test_a_narrow_band_of_levels_uses_most_of_the_range() -> None:
    picture = Range16().to_8_bit(thermal())
    assert len(np.unique(picture)) > 150, "its high byte alone has 2 levels"
    assert picture.min() > 5, "there is room for what is colder"
    assert picture.max() < 250, "and for what is hotter"


def test_order_is_kept() -> None:
    values = thermal()
    picture = Range16().to_8_bit(values)
    assert (np.diff(picture.reshape(-1)[np.argsort(values, axis=None)].astype(int)) >= 0).all()


def test_a_hot_spot_does_not_make_the_picture_flicker() -> None:
    stream = Range16()
    before = stream.to_8_bit(thermal()).astype(int)
    values = thermal()
    values[:30, :40] = 12000  # a sixteenth of the picture
    after = stream.to_8_bit(values).astype(int)
    alone = Range16().to_8_bit(values).astype(int)
    rest = np.s_[40:, 50:]
    change, change_alone = (np.abs(now - before)[rest].mean() for now in (after, alone))
    assert change_alone > 60, "limits of each picture alone"
    assert change < change_alone / 2
    assert (after[:30, :40] == 255).all()


def test_limits_follow_slowly() -> None:
    stream = Range16()
    stream.to_8_bit(thermal())
    first = stream.to_8_bit(thermal(7100, 7500)).mean()
    for _ in range(int(5 / PACE)):
        last = stream.to_8_bit(thermal(7100, 7500)).mean()
    assert first > last + 20
    assert last == pytest.approx(127, abs=6)


def test_another_scene_sets_the_limits_anew() -> None:
    stream = Range16()
    stream.to_8_bit(thermal())
    assert stream.to_8_bit(thermal(20000, 20400)).mean() == pytest.approx(127, abs=6)


def test_fixed_limits() -> None:
    values = np.array([[0, 1000, 1500, 2000, 60000]], np.uint16)
    assert Range16((1000, 2000)).to_8_bit(values).tolist() == [[0, 0, 128, 255, 255]]


def test_colours_share_the_limits() -> None:
    values = np.dstack([thermal(0, 1), thermal(1000, 1001), thermal(2000, 2001)])
    blue, green, red = Range16().to_8_bit(values)[0, 0].astype(int)
    assert green - blue == pytest.approx(red - green, abs=2)
    assert red - blue > 150


@pytest.mark.parametrize("value", [0, 5, 65535])
def test_a_flat_picture_is_grey(value: int) -> None:
    picture = Range16().to_8_bit(np.full((4, 5), value, np.uint16))
    assert len(np.unique(picture)) == 1
