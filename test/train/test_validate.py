"""What validation reads from maps."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sot_tracker.box import Box  # noqa: E402
from sot_tracker.decode import decode_corner  # noqa: E402
from sot_tracker.train import validate  # noqa: E402


def test_the_score_of_corner_maps_is_the_deployed_one() -> None:
    """A threshold that was validated on another score would be for that one."""
    rng = np.random.default_rng(0)
    maps = {name: rng.normal(0, 4, (16, 16)).astype(np.float32) for name in ("tl", "br")}
    boxes, score = validate.predict({name: torch.tensor(value[None]) for name, value in maps.items()})
    found = decode_corner(maps)
    assert float(score[0]) == pytest.approx(found.score, abs=1e-5)
    assert boxes[0].tolist() == pytest.approx(Box.from_cxcywh(found.cx, found.cy, found.w, found.h).xyxy, abs=1e-6)
