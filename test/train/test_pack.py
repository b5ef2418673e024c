"""A cache in one file and back."""

from __future__ import annotations

import numpy as np
import pytest

from sot_tracker.errors import UserError
from sot_tracker.train import cache, pack


def test_round_trip(small_cache, tmp_path, tmp_path_factory):
    folder = next(p for p in tmp_path_factory.getbasetemp().glob("train*/cache") if (p / "meta.json").exists())
    pack.pack(cache.open_cache(folder), folder, tmp_path / "data.zip", quality=90)
    assert (tmp_path / "data.zip").stat().st_size < 0.3 * small_cache.pixels.size
    again = pack.unpack(tmp_path / "data.zip", tmp_path / "cache")
    assert (again.index == small_cache.index)[~np.isnan(small_cache.index["box"][:, 0])].all()
    assert again.tracks == small_cache.tracks
    for entry in range(len(again.index)):
        before, after = small_cache.picture(entry).astype(int), again.picture(entry).astype(int)
        assert np.abs(before[..., :3] - after[..., :3]).mean() < 8
        assert (before[..., 3:] == after[..., 3:]).all()


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_unreadable(content, tmp_path):
    if content:
        (tmp_path / "data.zip").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        pack.unpack(tmp_path / "data.zip", tmp_path / "cache")
