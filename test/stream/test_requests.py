"""Which clocks disagree, in words."""

from __future__ import annotations

import pytest

from sot_tracker.stream.requests import clock_report

S = 1_000_000_000
NOW = 1_700_000_000 * S


@pytest.mark.parametrize(
    ("box", "frame", "words"),
    [
        (NOW, NOW - 1000 * S, "the frames' stamps are 1000.000 s behind this node's clock (a recording"),
        (NOW, NOW + 1000 * S, "the frames' stamps are 1000.000 s ahead of this node's clock"),
        (NOW + 60 * S, NOW, "its sender's clock is 60.000 s ahead of this node's (clocks of two computers"),
        (NOW - 50 * S, NOW - 1000 * S, "frames and box come from different recordings"),
    ],
)
def test_the_clock_that_stands_apart_is_named(box: int, frame: int, words: str) -> None:
    report = clock_report(box, frame, NOW)
    assert words in report
    assert report.endswith("send the box with stamp 0 for the next frame")
