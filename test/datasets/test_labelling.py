"""Which frames of an unlabelled video get a box."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.datasets.labelling import label
from sot_tracker.tracker import Estimate, State

SIZE = 40


def clip(count: int) -> list[np.ndarray]:
    """Frames that hold their own number."""
    return [np.full((SIZE, 200, 3), number, np.uint8) for number in range(count)]


def place(number: int) -> Box:
    """Where the target is."""
    return Box(2 * number + 1, 5, 10, 10)


@dataclass
class Scripted:
    """A tracker that knows where the target is, with faults: from frame `slips` on it follows something else if it
    comes from before, and stays with it on the way back; in the frames `lost` it says so; elsewhere it is `off` pixels
    aside.
    """

    slips: int = 10_000
    lost: tuple[int, ...] = ()
    off: float = 0.0
    slipped: bool = False
    starts: list[int] = field(default_factory=list)

    def init(self, image: np.ndarray, box: Box) -> None:
        number = int(image[0, 0, 0])
        self.slipped = box.iou(place(number)) < 0.3
        self.starts.append(number)

    def update(self, image: np.ndarray) -> Estimate:
        number = int(image[0, 0, 0])
        self.slipped |= number == self.slips
        box = Box(150, 5, 10, 10) if self.slipped else Box(place(number).x + self.off, 5, 10, 10)
        return Estimate(box, 0.9, State.LOST if number in self.lost else State.TRACKING)


@pytest.mark.parametrize(
    ("trackers", "count", "sure"),
    [
        ([Scripted()], 30, range(30)),
        ([Scripted()], 1, range(0)),
        ([Scripted()], 0, range(0)),
        ([Scripted(lost=(5, 6))], 20, [n for n in range(20) if n not in (5, 6)]),
        ([Scripted(slips=14)], 30, range(14)),
        ([Scripted(slips=2)], 30, range(0)),
        ([Scripted(), Scripted(off=3)], 20, range(20)),
        ([Scripted(), Scripted(off=6)], 20, range(0)),  # they agree on nothing
        ([Scripted(), Scripted(lost=tuple(range(1, 30)))], 20, range(0)),
    ],
)
def test_frames_in_which_all_ways_agree_are_kept(trackers, count, sure):
    found = list(label(trackers, clip(count), place(0), span=8, agree=0.5))
    assert [f.number for f in found] == list(sure)
    assert all(int(f.image[0, 0, 0]) == f.number for f in found)
    assert all(f.box.iou(place(f.number)) > 0.6 for f in found)


def test_boxes_are_means_of_all_trackers():
    *_, last = label([Scripted(off=1), Scripted(off=2)], clip(4), place(0))
    assert last.box.x == pytest.approx(place(3).x + 1.5)


def test_no_more_than_a_span_of_frames_is_held():
    taken = []

    def frames():
        for image in clip(50):
            taken.append(int(image[0, 0, 0]))
            yield image

    for found in label([Scripted()], frames(), place(0), span=8):
        assert len(taken) <= found.number + 8
    assert len(taken) == 50
