"""The search for an object around a click, in its thread."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.stream import object_search
from sot_tracker.stream.frame import Frame
from sot_tracker.stream.object_search import Found, ObjectSearch
from sot_tracker.tracker import Image

FRAME = Frame(0, lambda: np.zeros((48, 64, 3), np.uint8))
PATIENCE_S = 10


class Slow:
    """Stands for `object_at`: answers when it is let go. `answers` tells the box by the x of the point."""

    def __init__(self) -> None:
        self.go, self.asked = Event(), []

    def __call__(self, image: Image, x: float, y: float) -> Box | None:
        self.asked.append(x)
        assert self.go.wait(PATIENCE_S)
        if x < 0:
            raise ValueError("bad picture")
        return Box(x, y, 4, 4) if x else None


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow()
    monkeypatch.setattr(object_search, "object_at", slow)
    return slow


@pytest.fixture
def search(slow: Slow) -> Iterator[ObjectSearch]:
    search = ObjectSearch()
    yield search
    slow.go.set()
    search.close()


def ended(search: ObjectSearch, slow: Slow) -> None:
    """Let the searches end; jobs of one worker end in order, so that of an empty one is the last."""
    slow.go.set()
    search._worker.submit(lambda: None).result(PATIENCE_S)


@pytest.mark.parametrize(("x", "box"), [(5.0, Box(5, 7, 4, 4)), (0.0, None)])
def test_nothing_until_it_is_found_and_then_once(search: ObjectSearch, slow: Slow, x: float, box: Box | None) -> None:
    assert search.result() is None
    search.ask(FRAME, x, 7)
    assert search.result() is None, "the caller does not wait"
    ended(search, slow)
    assert search.result() == Found(x, 7, FRAME, box)
    assert search.result() is None


@pytest.mark.parametrize("replaced", [True, False])
def test_a_result_that_nobody_wants_any_more_is_never_seen(search: ObjectSearch, slow: Slow, replaced: bool) -> None:
    search.ask(FRAME, 5, 7)
    if replaced:
        search.ask(FRAME, 9, 7)
    else:
        search.forget()
    ended(search, slow)
    found = search.result()
    assert (found and found.x) == (9 if replaced else None)


def test_an_error_reaches_the_caller_once(search: ObjectSearch, slow: Slow) -> None:
    search.ask(FRAME, -1, 7)
    ended(search, slow)
    with pytest.raises(ValueError, match="bad picture"):
        search.result()
    assert search.result() is None


def test_closing_does_not_wait(search: ObjectSearch, slow: Slow) -> None:
    search.ask(FRAME, 5, 7)
    search.close()
    assert not slow.go.is_set()
    assert search.result() is None
