from __future__ import annotations

import math

import pytest

from sot_tracker.box import Box
from sot_tracker.stream.statistics import (
    WINDOW,
    Reminder,
    Sequence,
    StateTimes,
    Throttle,
    Times,
    dropping,
    falling_behind,
    percentiles,
)
from sot_tracker.tracker import Estimate, State


def test_percentiles() -> None:
    assert percentiles(range(101)) == (50.0, 95.0)
    assert percentiles([1.0, math.nan, 3.0])[0] == 2.0
    assert all(math.isnan(v) for v in percentiles([]))


def test_times_keep_a_window() -> None:
    times = Times()
    for value in [1000.0] * 5 + [2.0] * WINDOW:
        times.add({"track": value})
    assert times.percentiles() == {"track": (2.0, 2.0)}


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ([1, 2, 3], 0),
        ([5, 6, 9], 2),  # what came before the first message is not counted
        ([1, 4, 5, 7], 3),
        ([8, 9, 1, 2], 0),  # the publisher began anew
        ([1, None, 5], 0),  # the middleware does not tell
    ],
)
def test_sequence_counts_gaps(numbers: list[int | None], lost: int) -> None:
    sequence = Sequence()
    for number in numbers:
        sequence.see(number)
    assert sequence.lost == lost


def test_restart_forgets_the_last_number() -> None:
    sequence = Sequence()
    sequence.see(1)
    sequence.restart()
    sequence.see(9)
    assert sequence.lost == 0


def test_throttle_tells_each_kind_once() -> None:
    throttle = Throttle(1000.0)
    assert [throttle.ready(kind) for kind in "aabab"] == [True, False, True, False, False]


def test_throttle_allows_so_many_in_its_period(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 2.0, 4.9, 5.0, 5.1, 6.1, 6.2])
    monkeypatch.setattr("sot_tracker.stream.statistics.time.monotonic", lambda: next(times))
    throttle = Throttle(5.0, most=2)
    assert [throttle.ready("a") for _ in range(8)] == [True, True, False, False, True, False, True, False]


@pytest.mark.parametrize(("processed", "dropped"), [(30, 0), (30, 2), (100, 10)])
def test_a_few_dropped_frames_are_no_warning(processed: int, dropped: int) -> None:
    assert dropping(processed, dropped, 1.0) == ""


def test_many_dropped_frames_are_a_warning_with_rates_and_advice() -> None:
    text = dropping(27, 60, 1.0)
    assert "60 of 87 frames dropped: 27.0 of 87.0 per second are processed" in text
    assert "faster model" in text


def test_since_when_a_state_holds() -> None:
    seen, lost = (Estimate(Box(0, 0, 9, 9), 0.5, state) for state in (State.TRACKING, State.LOST))
    since = StateTimes()
    reported = [
        since.see(target, estimate, now)
        for now, (target, estimate) in enumerate(
            [("", None), ("1", seen), ("1", seen), ("1", lost), ("1", lost), ("2", lost), ("2", seen), ("", None)], 10
        )
    ]
    assert reported == [0, 11, 11, 13, 13, 15, 16, 0]


def test_states_of_many_targets_have_times_of_their_own() -> None:
    tracked = Estimate(Box(0, 0, 9, 9), 0.5, State.TRACKING)
    since = StateTimes()
    assert [since.see(name, tracked, now) for now, name in enumerate("abab", 10)] == [10, 11, 10, 11]
    for name in range(2 * StateTimes.MAX):
        since.see(str(name), tracked, 50)
    assert since.see("a", tracked, 60) == 60, "so many others came since that it is forgotten"


@pytest.mark.parametrize(
    ("processed", "busy", "message"),
    [
        (150, 9.0, "150 of 300 frames dropped: 15.0 of 30.0 per second are processed; take a faster model"),
        (150, 3.0, ""),  # the tracker waited most of the time: the camera gives fewer than it says
        (290, 9.0, ""),
        (310, 9.0, ""),
    ],
)
def test_a_camera_that_is_faster_than_the_tracker(processed: int, busy: float, message: str) -> None:
    assert falling_behind(processed, 10.0, 30.0, busy).startswith(message)
    assert bool(falling_behind(processed, 10.0, 30.0, busy)) == bool(message)


def test_what_lasts_is_reported_at_growing_intervals_and_a_new_problem_at_once() -> None:
    now = 0.0
    reminder = Reminder(first_s=10.0, longest_s=60.0, steady=lambda: now)
    due = []
    for tenth in range(3000):
        now = tenth / 10
        if reminder.is_due("silence"):
            due.append(round(now))
    assert due == [0, 10, 30, 70, 130, 190, 250]
    assert reminder.is_due("another")
    assert not reminder.is_due("another")
    reminder.clear()
    assert reminder.is_due("another")
