"""Two networks that agree, and two that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sot_tracker.agreement import agreement
from sot_tracker.box import Box
from sot_tracker.catalog import network_spec

FRAMES = list(np.random.default_rng(0).integers(0, 256, (4, 120, 160, 3), dtype=np.uint8))
BOXES = [Box(40 + i, 40, 24, 24) for i in range(4)]


class Still:
    """Finds the target in the middle of the search window, of this size and with this score."""

    def __init__(self, size: float = 0.25, score: float = 0.9) -> None:
        self._answer = size, score

    def template(self, patch: Any) -> Any:
        return None

    def search(self, cached: Any, patch: Any) -> dict[str, Any]:
        size, score = self._answer
        maps = {"score": np.full((1, 16, 16), 1e-3, np.float32), "size": np.full((2, 16, 16), size, np.float32)}
        maps["score"][0, 8, 8] = score
        return {**maps, "offset": np.zeros((2, 16, 16), np.float32)}


@pytest.mark.parametrize(
    ("other", "pairs", "score"), [(Still(), 1.0, 1.0), (Still(score=0.6), 1.0, 0.7), (Still(size=0.3), 0.694, 1.0)]
)
def test_agreement(other: Still, pairs: float, score: float) -> None:
    looks = list(zip(FRAMES[1:], BOXES[1:], BOXES[:-1], strict=True))
    found = agreement(network_spec("fermt"), Still(), other, looks, FRAMES, BOXES[0])  # type: ignore[arg-type]
    assert found["pairs"] == pytest.approx(pairs, abs=2e-3)
    assert found["score"] == pytest.approx(score, abs=1e-3)
    assert (found["clip"] == 1) == (pairs == 1), "sizes add up along the clip"
    assert found["clip"] <= found["pairs"]
