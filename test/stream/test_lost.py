import pytest

from sot_tracker.stream.lost import Lost
from sot_tracker.tracker import State


@pytest.mark.parametrize(
    ("states", "ranges", "message", "total"),
    [
        ("ttt", [], "", 0),
        ("ltt", [(0, 0)], "0", 1),
        ("tllt", [(1, 2)], "1-2", 2),
        ("tltll", [(1, 1), (3, 4)], "1, 3-4", 3),
        ("lt" * 10, [(i, i) for i in range(0, 20, 2)], "0, 2, 4, 6, 8, 10, 12, 14 and 2 more times", 10),
    ],
)
def test_ranges(states: str, ranges: list, message: str, total: int) -> None:
    lost = Lost()
    for number, state in enumerate(states):
        lost.add(number, State.LOST if state == "l" else State.TRACKING)
    assert (lost.ranges, str(lost), lost.total) == (ranges, message, total)


def test_numbers_of_frames_that_are_far_apart() -> None:
    lost = Lost()
    for number in (0, 10, 20):
        lost.add(number, State.LOST if number else State.TRACKING)
    assert lost.ranges == [(10, 20)]
