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


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(10, "frame", "kcf") as bar:
        bar.update(10)
    assert "\r" in capsys.readouterr().err
