"""NumPy's threads while a frame is worked on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest

from sot_tracker.loading import load
from sot_tracker.tracking import blas


def threads() -> list[int]:
    """Of each BLAS library."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    np.eye(2) @ np.eye(2)
    return [found["num_threads"] for found in threadpoolctl.threadpool_info() if found["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    libraries = blas._libraries
    libraries.cache_clear()
    yield
    libraries.cache_clear()


def test_one_thread_while_it_runs_and_as_many_as_before_afterwards() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")

    @blas.in_one_thread
    def work(text: str, number: int = 0) -> tuple[str, int, list[int]]:
        return text, number, threads()

    with threadpoolctl.threadpool_limits(2, "blas"):
        if 2 not in threads():
            pytest.skip("this NumPy's BLAS has one thread")
        text, number, during = work("a", number=3)
        assert (text, number, set(during)) == ("a", 3, {1})
        assert 2 in threads()


def test_two_trackers_at_a_time_leave_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to begin ends first: what the second found when it began is not what was there before both."""
    threads, begun, released = [4], threading.Event(), threading.Event()

    @contextmanager
    def limit(limits: int, user_api: str) -> Iterator[None]:
        before, threads[0] = threads[0], limits
        yield
        threads[0] = before

    monkeypatch.setattr(blas, "_libraries", lambda: SimpleNamespace(limit=limit))
    first = Thread(target=blas.in_one_thread(lambda: (begun.set(), released.wait(10))))
    during: list[int] = []

    @blas.in_one_thread
    def second() -> None:
        released.set()
        first.join()
        during.append(threads[0])

    first.start()
    assert begun.wait(10)
    second()
    assert (during, threads) == ([1], [4])


def test_also_after_an_error() -> None:
    @blas.in_one_thread
    def fail() -> None:
        raise ValueError("as it was")

    before = threads()
    with pytest.raises(ValueError, match="as it was"):
        fail()
    assert threads() == before


def test_without_the_package_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert blas.in_one_thread(lambda value: value + 1)(2) == 3


def test_a_tracker_limits_it_in_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    limited = []
    monkeypatch.setattr(blas, "_limit", lambda: limited.append(1) or nullcontext())
    tracker = load("lite", engine="onnx", threads=1)
    frame = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    tracker.init(frame, (40, 30, 40, 40))
    assert len(limited) == 1
    tracker.update(frame)
    assert len(limited) == 2
