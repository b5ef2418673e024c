"""One small cache for all tests of this folder."""

from __future__ import annotations

import pytest
import trees


@pytest.fixture(scope="session")
def small_cache(tmp_path_factory):
    from sot_tracker.train import cache, datasets

    root = tmp_path_factory.mktemp("train")
    return cache.build(
        datasets.read(trees.jsonl(root / "data", videos=4, frames=6)), root / "cache", jobs=1, cutter=None
    )
