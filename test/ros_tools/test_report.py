"""The demo's summary of a clip, from what was recorded of the node's topics."""

import math
from types import SimpleNamespace

import pytest

from sot_tracker.box import Box
from sot_tracker.ros_tools.report import Row, summarize, table

BOX = Box(10, 10, 20, 20)
TRUTH = [BOX.xywh] * 5
ROWS = [
    Row(0, 0, "tracking", BOX, 0.9, 8.0, (("flow", 2.0), ("process", 5.0))),
    Row(1, 100_000_000, "uncertain", Box(20, 10, 20, 20), 0.4, 12.0, (("flow", 4.0), ("process", 7.0))),
    Row(2, 200_000_000, "lost", None, 0.1, 10.0, (("flow", 3.0), ("process", 6.0))),
    Row(3, 300_000_000),
    Row(4, 400_000_000, "tracking", BOX, 0.9, 10.0, (("flow", 3.0), ("process", 6.0))),
]


@pytest.fixture
def summary():
    return summarize(ROWS, SimpleNamespace(diagnostics={}), TRUTH)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("frames in", 5),
        ("frames processed", 4),
        ("frames dropped", 1),
        ("frames lost by the tracker", 1),
        ("frames uncertain", 1),
        ("fps", 7.5),
        ("overlap", (1 + 1 / 3 + 0 + 1) / 4),
        ("success 0.5", 0.5),
    ],
)
def test_the_summary_counts_frames_and_overlaps(summary, key, value):
    assert summary[key] == pytest.approx(value)


def test_without_a_truth_there_is_no_overlap():
    assert "overlap" not in summarize(ROWS, SimpleNamespace(diagnostics={}), None)


def test_times_of_the_stages_and_of_the_node(summary):
    times = summary["latency ms"]
    assert times["flow"]["p50"] == pytest.approx(3.0)
    assert times["age of the frame"]["p50"] == pytest.approx(10.0)
    ours = {"overhead p50 ms": "1.5", "overhead p95 ms": "2.5"}
    assert summarize(ROWS, SimpleNamespace(diagnostics=ours), None)["latency ms"]["node overhead"] == {
        "p50": 1.5,
        "p95": 2.5,
    }


@pytest.mark.parametrize(
    "line",
    [
        "frames with state LOST 1",
        "frames with state UNCERTAIN 1",
        "share of overlaps above 0.5 0.500",
        "latency ms p50 p95",
    ],
)
def test_the_table_says_what_is_counted(summary, line):
    assert line in [" ".join(row.split()) for row in table(summary).splitlines()]


def test_a_summary_of_nothing_processed_says_nan():
    assert math.isnan(summarize([Row(0, 0)], SimpleNamespace(diagnostics={}), None)["fps"])
