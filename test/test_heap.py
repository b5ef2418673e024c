"""Freed memory goes back to the system, where the C library can do that."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from sot_tracker import heap

_KEPT_BY_GLIBC = """
from pathlib import Path
from sot_tracker import heap

def anonymous():
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / 1024

pieces = [b"x" * 60_000 for _ in range(1000)]
last = b"x" * 60_000  # behind them: without it glibc would shorten the heap itself
del pieces
before = anonymous()
heap.give_back()
print(before - anonymous())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_freed_memory_is_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", _KEPT_BY_GLIBC], capture_output=True, text=True, check=True)
    assert float(ran.stdout) > 40, "of 57 MB"


@pytest.mark.parametrize(
    ("platform", "library"), [("darwin", None), ("win32", None), ("linux", SimpleNamespace())], ids=str
)
def test_nothing_happens_elsewhere(
    platform: str, library: SimpleNamespace | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """library: what the C library offers, None where it must not be asked."""
    opened: list[object] = []
    monkeypatch.setattr(heap.sys, "platform", platform)
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: opened.append(name) or library)
    heap.give_back()
    assert opened == ([] if library is None else [None])
