from __future__ import annotations

import cv2
import numpy as np
import pytest

from sot_tracker.datasets import evaluation
from sot_tracker.evaluate import raw
from sot_tracker.evaluate.worst import ACROSS, TILE, TILES, worst_frames, write_sheet

import trees

OFF = np.array([16, 0, 0, 0])


def track(boxes):
    count = len(boxes)
    boxes = np.array(boxes, float)
    return raw.Track(
        boxes, np.ones(count), np.ones(count, bool), np.ones(count), (128, 96), np.ones(count, bool), np.ones(count)
    )


@pytest.fixture
def sequences(tmp_path):
    for name in ("a", "b"):
        trees.sequence(tmp_path / "data" / name, 6)
    return evaluation.read(tmp_path / "data").sequences


def test_the_lowest_overlaps_come_first_and_few_of_each_sequence(sequences):
    """a is off by 8 pixels in its third frame and by 24 in its fifth, b by 16 in all; hidden frames do not count."""
    a, b = sequences
    shifted = a.truth.copy()
    shifted[[0, 2, 4], 0] += 99, 8, 24
    a.visible[3] = False
    shifted[3] += 500
    found = worst_frames([(a, track(shifted)), (b, track(b.truth + OFF))])
    assert [(frame.sequence.own_name, frame.number) for frame in found] == [("a", 4), ("b", 1), ("b", 2), ("a", 2)]
    assert found[0].overlap == pytest.approx(8 / 56)
    assert found[1].overlap == pytest.approx(16 / 48)


def test_without_truth_there_is_no_worst_frame(sequences):
    start = evaluation.first_frames(sequences[0], 6)
    start.visible[1:] = False
    assert worst_frames([(start, track(start.truth))]) == []


def test_the_sheet(sequences, tmp_path):
    found = worst_frames([(s, track(s.truth + OFF)) for s in sequences] * 4)
    assert len(found) == TILES
    write_sheet(tmp_path / "worst" / "kcf.jpg", found[:5])
    image = cv2.imread(str(tmp_path / "worst" / "kcf.jpg"))
    assert image.shape == (2 * TILE[1], ACROSS * TILE[0], 3)
    assert image[TILE[1] :, TILE[0] :].max() < 16  # the fifth is the only one in its row
