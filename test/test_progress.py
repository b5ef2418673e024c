import sys

import pytest

from sot_tracker.progress import progress


@pytest.mark.parametrize(("total", "lines"), [(200, 10), (7, 7), (1, 1), (None, 0), (0, 0)])
def test_a_log_gets_a_line_per_ten_percent(total, lines, capsys):
    with progress(total, "frame", "kcf") as bar:
        for _ in range(total or 50):
            bar.update()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == lines
    if lines:
        assert told[-1].startswith(f"kcf: 100 % ({total} of {total}), ")


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(10, "frame", "kcf") as bar:
        bar.update(10)
    assert "\r" in capsys.readouterr().err
