"""Frames decode when asked; the history is bounded in frames and bytes and keeps pictures as they came."""

from __future__ import annotations

import numpy as np

from sot_tracker.stream.frame import Frame, History

PICTURE = np.zeros((4, 6, 3), np.uint8)


def frame(stamp: int = 0, nbytes: int = 10) -> Frame:
    frame = Frame(stamp, lambda: asked.append(stamp) or PICTURE, nbytes)  # type: ignore[func-returns-value]
    asked: list[int] = []
    frame.asked = asked  # type: ignore[attr-defined]
    return frame


def test_a_frame_is_decoded_once_and_only_when_asked() -> None:
    made = frame(7)
    assert made.asked == []  # type: ignore[attr-defined]
    assert made.size is None
    assert made.image is made.image
    assert made.asked == [7]  # type: ignore[attr-defined]
    assert made.size == (6, 4)


def test_a_released_picture_is_decoded_again() -> None:
    made = frame(7)
    assert made.image is PICTURE
    made.release()
    assert made.size == (6, 4)
    assert made.image is PICTURE
    assert made.asked == [7, 7]  # type: ignore[attr-defined]


def test_history_keeps_so_many_besides_the_newest() -> None:
    history = History(2, 10**9)
    for stamp in range(5):
        history.append(frame(stamp))
    assert [kept.stamp for kept in history] == [2, 3, 4]
    assert history.newest is list(history)[-1]


def test_history_is_bounded_in_bytes_and_keeps_the_newest() -> None:
    history = History(100, 35)
    for stamp in range(6):
        history.append(frame(stamp, nbytes=10))
    assert [kept.stamp for kept in history] == [3, 4, 5]
    assert history.nbytes == 30
    history.append(frame(6, nbytes=1000))
    assert [kept.stamp for kept in history] == [6]
    history.append(frame(7, nbytes=1))
    assert (len(history), history.nbytes) == (1, 1)
    history.clear()
    assert (len(history), history.nbytes, history.newest) == (0, 0, None)


def test_only_the_newest_keeps_its_decoded_picture() -> None:
    """31 frames of 4K, decoded, would be 770 MB; as JPEG they are some 30 MB."""
    history = History(5, 10**9)
    for stamp in range(4):
        history.append(frame(stamp))
        assert list(history)[-1].image is PICTURE
    for kept in list(history)[:-1]:
        kept.asked.clear()  # type: ignore[attr-defined]
        assert kept.image is PICTURE
        assert kept.asked, "was released, so that it had to be decoded again"  # type: ignore[attr-defined]
