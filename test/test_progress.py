import itertools
import sys

import pytest

from sot_tracker.progress import progress


@pytest.mark.parametrize(
    ("total", "seconds", "lines"),
    [(200, 1.0, 10), (7, 1.0, 7), (1, 1.0, 1), (None, 1.0, 0), (0, 1.0, 0), (200, 0.0, 1), (20, 0.25, 5)],
)
def test_a_log_gets_a_line_per_ten_percent_but_not_more_than_one_a_second(total, seconds, lines, capsys, monkeypatch):
    """seconds: how long one of `total` takes."""
    ticks = itertools.count(100.0, seconds)
    monkeypatch.setattr("sot_tracker.progress.time.monotonic", lambda: next(ticks))
    with progress(total, "frame", "kcf") as bar:
        for _ in range(total or 50):
            bar.update()
    reported = capsys.readouterr().err.splitlines()
    assert len(reported) == lines
    if lines:
        assert reported[-1].startswith(f"kcf: 100 % ({total} of {total}), ")


def test_what_is_done_before_the_first_update_does_not_count(capsys, monkeypatch):
    """For example loading a model: the rate is that of the frames."""
    times = iter([0.0, *(60.0 + step / 20 for step in range(40))])
    monkeypatch.setattr("sot_tracker.progress.time.monotonic", lambda: next(times))
    with progress(40, "frame", "kcf") as bar:
        for _ in range(40):
            bar.update()
    assert capsys.readouterr().err.splitlines()[-1] == "kcf: 100 % (40 of 40), 20.0 frames per second"


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(10, "frame", "kcf") as bar:
        bar.update(10)
    assert "\r" in capsys.readouterr().err
