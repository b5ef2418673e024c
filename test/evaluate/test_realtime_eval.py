"""Evaluation in real time with a clock that the tracker moves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.cli import main
from sot_tracker.datasets import evaluation
from sot_tracker.errors import INTERRUPTED, UserError
from sot_tracker.evaluate import realtime
from sot_tracker.evaluate.metrics import measure
from sot_tracker.evaluate.ope import Entry
from sot_tracker.tracker import Estimate, State
from sot_tracker.tracking.realtime import RealtimeTracker

from clips import write_sequence

COUNT, FPS = 8, 10.0
TRUTH = [Box(20 + 6 * index, 30, 24, 24) for index in range(COUNT)]


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "it waits for nothing"
        self.now += seconds


class Slow:
    """A tracker that is always right, after `seconds`."""

    def __init__(self, clock: Clock, seconds: float, state: State = State.TRACKING) -> None:
        self.clock, self.seconds, self.state = clock, seconds, state
        self.frames: list[int] = []

    def init(self, image, box, stamp_ns=None):
        self.clock.now += 9.0  # the start is not timed
        return Estimate(Box.of(box), 1.0, State.TRACKING)

    def update(self, image, stamp_ns=None):
        self.clock.now += self.seconds
        self.frames.append(round(stamp_ns * FPS / 1e9))
        return Estimate(TRUTH[self.frames[-1]], 0.5, self.state)


@pytest.fixture
def sequence(tmp_path):
    write_sequence(tmp_path / "one", TRUTH)
    return evaluation.read(tmp_path).sequences[0]


def shown(boxes: np.ndarray) -> list[int]:
    """Of which frame each box is."""
    return [round((x - 20) / 6) for x in boxes[:, 0]]


@pytest.mark.parametrize(
    ("seconds", "taken", "streaming", "vot"),
    [
        pytest.param(0.02, [1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], id="fast"),
        pytest.param(0.1, [1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], id="just in time"),
        pytest.param(0.15, [1, 2, 4, 5, 7], [0, 0, 1, 2, 2, 4, 5, 5], [0, 1, 2, 2, 4, 5, 5, 7], id="one and a half"),
        pytest.param(0.25, [1, 3, 6, 7], [0, 0, 0, 1, 1, 3, 3, 3], [0, 1, 1, 3, 3, 3, 6, 7], id="two and a half"),
        pytest.param(5.0, [1, 7], [0] * 8, [0, 1, 1, 1, 1, 1, 1, 7], id="hopeless"),
    ],
)
def test_which_box_counts(sequence, seconds, taken, streaming, vot):
    clock = Clock()
    tracker = Slow(clock, seconds)
    run = realtime.follow(tracker, sequence, FPS, clock, clock.sleep)
    assert tracker.frames == taken
    assert shown(run.streaming) == streaming
    assert shown(run.vot) == vot
    assert run.fresh.tolist() == [index == frame for frame, index in enumerate(streaming)]
    assert [answer.frame for answer in run.answers] == [0, *taken]


def test_a_box_that_is_not_reported_is_not_fresh(sequence):
    clock = Clock()
    run = realtime.follow(Slow(clock, 0.02, State.LOST), sequence, FPS, clock, clock.sleep)
    assert run.fresh.tolist() == [True] + [False] * 7


def test_a_row_compares_with_the_offline_figure(sequence):
    def figures(seconds: float) -> realtime.Row:
        clock = Clock()
        run = realtime.follow(Slow(clock, seconds), sequence, FPS, clock, clock.sleep)
        return realtime.row([(sequence, run)], {sequence.name: offline})

    boxes, ones = np.array([box.xywh for box in TRUTH]), np.ones(COUNT)
    offline = measure(boxes, ones, ones > 0, ones, sequence.truth, sequence.visible, (160, 120))
    fast, slow = figures(0.02), figures(0.25)
    assert (fast.ratio, fast.fresh) == (1.0, 1.0)
    assert slow.auc is not None
    assert slow.auc < slow.vot_auc < fast.auc == fast.offline_auc  # type: ignore[operator]
    assert slow.ratio == pytest.approx(slow.auc / fast.auc)  # type: ignore[operator]
    assert slow.fresh == 0.0
    assert "30 frames per second" in realtime.report({"mine": slow}, 30)


def test_a_damaged_picture_names_the_sequence(sequence):
    sequence.frames[3].write_bytes(b"no picture")
    with pytest.raises(UserError, match="sequence 'one': "):
        realtime.follow(Slow(Clock(), 0.02), sequence, FPS)


@pytest.mark.parametrize("propagate", ["auto", "off"])
def test_the_command_writes_a_table_and_json(sequence, tmp_path, capsys, propagate):
    out = tmp_path / "out"
    given = ["eval", "--data", str(sequence.frames[0].parent), "--model", "kcf", "--out", str(out), "--no-plots"]
    assert main([*given, "--realtime", "100", "--propagate", propagate]) == 0
    said = capsys.readouterr().out
    assert said.count("In real time, 100 frames per second") == said.count("One-pass evaluation") == 1
    assert "sequences.csv, realtime.json, raw/" in said
    assert "In real time, 100 frames per second" in (out / "report.md").read_text()
    reported = json.loads((out / "summary.json").read_text())["realtime"]
    assert (reported["fps"], reported["propagate"]) == (100, propagate)
    assert reported["models"]["kcf"]["ratio"] > 0.2
    assert len(json.loads((out / "realtime.json").read_text())["answers"]["kcf"]["one"]) >= 2


def test_the_report_of_the_first_part_is_there_if_the_second_is_interrupted(sequence, tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(realtime, "follow", interrupted)
    out = tmp_path / "out"
    given = ["eval", "--data", str(sequence.frames[0].parent), "--model", "kcf", "--out", str(out), "--no-plots"]
    assert main([*given, "--realtime", "100"]) == INTERRUPTED
    assert "One-pass evaluation" in capsys.readouterr().out
    assert "kcf" in json.loads((out / "summary.json").read_text())["models"]


def test_sequences_followed_before_an_interruption_are_kept(tmp_path, capsys, monkeypatch):
    for name in ("one", "two", "three"):
        write_sequence(tmp_path / "data" / name, TRUTH)
    followed, follow = [], realtime.follow

    def noted(tracker, sequence, fps):
        if len(followed) == 2:
            raise KeyboardInterrupt
        followed.append(sequence.name)
        return follow(tracker, sequence, fps)

    def evaluated(*more, fps="100"):
        followed.clear()
        given = ["eval", "--data", str(tmp_path / "data"), "--model", "kcf", "--out", str(tmp_path / "out")]
        status = main([*given, "--no-plots", "--realtime", fps, *more])
        (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("in real time: ")]
        return status, list(followed), said.removeprefix("in real time: ")

    def answers():
        return json.loads((tmp_path / "out" / "realtime.json").read_text())["answers"]["kcf"]

    monkeypatch.setattr(realtime, "follow", noted)
    assert evaluated() == (INTERRUPTED, ["one", "three"], "3 runs: 0 done, 3 to do")
    monkeypatch.setattr(realtime, "follow", lambda *given: followed.append(given[1].name) or follow(*given))
    assert evaluated() == (0, ["two"], "3 runs: 2 done, 1 to do; going on where an earlier start ended")
    before = answers()
    assert sorted(before) == ["one", "three", "two"]
    assert evaluated() == (0, [], "3 runs: 3 done, 0 to do")
    assert answers() == before, "all digits are kept"
    changed = "because options, weights or frames have changed"
    (tmp_path / "data" / "two" / f"{COUNT}.png").rename(tmp_path / "data" / "two" / "99.png")
    assert evaluated()[1:] == (["two"], f"3 runs: 2 done, 1 to do (1 of them again, {changed})")
    every = ["one", "three", "two"]
    off = ["--propagate", "off"]
    for more, fps in ((off, "100"), (off, "90"), ([*off, "--again"], "90")):
        assert evaluated(*more, fps=fps)[:2] == (0, every)
    monkeypatch.setattr("sot_tracker.cpus.processor", lambda: "another")
    assert evaluated(*off, fps="90")[:2] == (0, every)


def test_a_damaged_result_is_named(sequence, tmp_path):
    path, clock = tmp_path / "a.txt", Clock()
    run = realtime.follow(Slow(clock, 0.15), sequence, FPS, clock, clock.sleep)
    realtime.save(path, run, {"model": "x"})
    again = realtime.load(path, COUNT, FPS)
    assert (again.answers, again.size) == (run.answers, run.size)
    assert np.array_equal(again.streaming, run.streaming)
    assert np.array_equal(again.vot, run.vot)
    assert np.array_equal(again.fresh, run.fresh)
    with pytest.raises(UserError, match="has frames that the sequence does not have"):
        realtime.load(path, COUNT - 2, FPS)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        realtime.load(path, COUNT, FPS)


@pytest.mark.parametrize(
    ("more", "message"),
    [(["--realtime", "0"], "above 0 to 1000"), (["--realtime", "30", "--jobs", "2"], "leave --jobs out")],
)
def test_what_cannot_be(sequence, tmp_path, capsys, more, message):
    given = ["eval", "--data", str(sequence.frames[0].parent), "--model", "kcf", "--out", str(tmp_path / "out")]
    assert main([*given, *more]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("realtime", [False, True])
def test_a_limit_of_searches_holds_with_and_without_the_clock(realtime: bool) -> None:
    limited = Entry.parse("kcf", {"max_search_rate": 10.0}).load(realtime=realtime)
    assert isinstance(limited, RealtimeTracker)
    assert limited._min_interval == pytest.approx(0.1)
