"""The demo's summary of a clip, from what was recorded of the node's topics."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.ros_tools import report
from sot_tracker.ros_tools.report import Row, rows_of, summarize, table
from sot_tracker.stream.draw import caption

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


@pytest.mark.parametrize(
    ("probability", "source", "words"),
    [
        (0.75, "tracker", "lite  probability 0.75  2.0 ms"),
        (math.nan, "tracker", "lite  score 0.90  2.0 ms"),
        (0.75, "flow", "lite  probability 0.75  2.0 ms  flow, last search 40 ms ago"),
    ],
)
def test_its_pictures_say_what_the_debug_image_says(monkeypatch, probability, source, words):
    state = SimpleNamespace(
        state=1,
        score=0.9,
        probability=probability,
        source=source,
        look_age_ms=40.0,
        frame_age_ms=8.0,
        stage_names=["search", "process"],
        stage_ms=[2.0, 5.0],
    )
    place = SimpleNamespace(center=SimpleNamespace(position=SimpleNamespace(x=20.0, y=20.0)), size_x=20.0, size_y=20.0)
    recording = SimpleNamespace(states={7: state}, detections={7: SimpleNamespace(bbox=place)})
    (row,) = rows_of([(0, 7)], recording)
    drawn = []
    monkeypatch.setattr(report, "draw_estimate", lambda frame, estimate, name, true: drawn.append((estimate, name)))
    report._picture(np.zeros((60, 60, 3), np.uint8), row, None, None, "lite")
    assert [caption(*shown) for shown in drawn] == [words]


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
