"""Second peaks are kept track of, and none of them is taken for the target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.catalog import network_spec
from sot_tracker.crop import Crop
from sot_tracker.tracker import Policy, State
from sot_tracker.tracking import rivals as module
from sot_tracker.tracking.rivals import NO_RIVALS, PATIENCE, SETTLED, Peak, Rival, Rivals, peaks, updated, without
from sot_tracker.tracking.session import NetworkTracker

WINDOW = Box(80, 80, 40, 40)  # side 40; the crop is 160 wide, a cell 10 pixels, the crop's corner at (20, 20)
CROP = Crop(np.zeros((1, 1, 3), np.uint8), (20, 20), 160, (100.0, 100.0))
TARGET, RIVAL = Peak(105, 105, 0.8), Peak(155, 105, 0.6)


def maps(*found):
    """A score map with these peaks: row, column, height."""
    score = np.full((1, 16, 16), 1e-4, np.float32)
    for row, col, height in found:
        score[0, row, col] = height
    size, offset = np.full((2, 16, 16), 0.25, np.float32), np.full((2, 16, 16), 0.5, np.float32)
    return {"score": score, "size": size, "offset": offset}


def test_peaks_are_the_highest_around_and_in_frame_pixels():
    found = peaks(maps((8, 8, 0.8), (8, 9, 0.7), (8, 13, 0.6), (2, 2, 0.1)), CROP)
    assert [(p.x, p.y, round(p.score, 3)) for p in found] == [(105, 105, 0.8), (155, 105, 0.6)]
    assert peaks({"tl": np.zeros((16, 16))}, CROP) == ()
    assert peaks({**maps(), "score": np.full((1, 16, 16), np.nan)}, CROP) == ()


@pytest.mark.parametrize(
    ("known", "seen", "found", "after"),
    [
        ([], [TARGET, RIVAL], TARGET, [Rival(155, 105)]),  # a second peak
        ([], [TARGET, Peak(120, 105, 0.6)], TARGET, []),  # close by: a part of the target
        ([], [TARGET, Peak(155, 105, 0.9)], TARGET, []),  # higher than the target
        ([], [RIVAL], None, []),  # it may be the target
        ([Rival(150, 105)], [TARGET, RIVAL], TARGET, [Rival(155, 105)]),  # follows the nearest peak
        ([Rival(150, 105, 3)], [RIVAL], None, [Rival(155, 105)]),  # also while the target is lost
        ([Rival(150, 105)], [], None, [Rival(150, 105, 1)]),  # not seen
        ([Rival(150, 105, PATIENCE - 1)], [], None, []),  # not seen for long
        ([Rival(300, 105)], [], None, [Rival(300, 105)]),  # outside of the search
        ([Rival(155, 105)], [TARGET, Peak(155, 105, 0.9)], TARGET, []),  # now higher: perhaps the target
        ([Rival(110, 105)], [TARGET], TARGET, []),  # it is the target
    ],
)
def test_rivals_after_a_search(known, seen, found, after):
    assert list(updated(Rivals(tuple(known)), seen, WINDOW, found).known) == after


def test_after_a_loss_a_second_peak_is_no_rival_for_a_while():
    """The loop may be on the wrong one, and the second peak the target."""
    known = updated(NO_RIVALS, [RIVAL], WINDOW, None)
    for frame in range(1, SETTLED + 1):
        known = updated(known, [TARGET, RIVAL], WINDOW, TARGET)
        assert bool(known.known) == (frame >= SETTLED)


def test_a_target_that_fades_does_not_lose_its_rivals():
    """They are compared with its mean score, not with that of one frame."""
    known = Rivals((Rival(155, 105),), level=0.8)
    after = updated(known, [replace(TARGET, score=0.4), RIVAL], WINDOW, replace(TARGET, score=0.4))
    assert after.known == known.known
    assert 0.4 < after.level < 0.8


@pytest.mark.parametrize(
    ("known", "chosen", "is_lost", "expected"),
    [
        ((), (8, 13), False, (8, 13)),
        ((Rival(155, 105),), (8, 13), False, (8, 8)),  # the other peak
        ((Rival(155, 105),), (8, 8), False, (8, 8)),  # was not chosen
        ((Rival(155, 105), Rival(105, 105)), (8, 13), True, None),  # lost, and all are rivals
        ((Rival(155, 105), Rival(120, 105)), (8, 13), False, (8, 8)),  # expected nearer to the window's middle
    ],
)
def test_a_rival_is_not_chosen(known, chosen, is_lost, expected):
    shown = maps((8, 8, 0.3), (8, 13, 0.6))
    rest = without(shown, CROP, chosen[0] * 16 + chosen[1], Rivals(known), WINDOW, is_lost)
    if expected is None:
        assert rest is None
    elif expected == chosen:
        assert rest is shown
    else:
        assert np.unravel_index(rest["score"].argmax(), rest["score"].shape)[1:] == expected
        assert np.count_nonzero(rest["score"]) == 1


class Scripted:
    """A network with a peak in the middle of the crop, until it is hidden, and always one to the right of it."""

    def __init__(self, hidden_from):
        self.hidden_from, self.searches = hidden_from, 0

    def template(self, patch):
        return None

    def search(self, cached, patch):
        self.searches += 1
        shown = [(8, 8, 0.9)] if self.searches <= self.hidden_from else []
        return maps(*shown, (8, 12, 0.7))


@pytest.mark.parametrize(("look_alikes", "state"), [("remember", State.TRACKING), ("ignore", State.TRACKING)])
def test_what_a_tracker_does_when_its_target_is_hidden(look_alikes, state):
    """As published it goes over to the look-alike; with rivals it stays, and has lost the target."""
    policy = Policy(lost_threshold=0.4, look_alikes=look_alikes)
    made = NetworkTracker("scripted", network_spec("fermt"), Scripted(hidden_from=1), policy)
    image = np.zeros((240, 320, 3), np.uint8)
    made.init(image, WINDOW)
    first = made.update(image)
    assert first.state is state
    hidden = made.update(image)
    assert hidden.accepted == (look_alikes == "ignore")
    moved = hidden.box.center[0] - first.box.center[0]
    assert moved == pytest.approx(45 if look_alikes == "ignore" else 0, abs=1)


def test_after_a_long_loss_anything_may_be_the_target(monkeypatch):
    monkeypatch.setattr("sot_tracker.tracking.step.FORGET", 3)
    monkeypatch.setattr(module, "PATIENCE", 1000)
    policy = Policy(lost_threshold=0.4, look_alikes="remember")
    made = NetworkTracker("scripted", network_spec("fermt"), Scripted(hidden_from=1), policy)
    image = np.zeros((240, 320, 3), np.uint8)
    made.init(image, WINDOW)
    accepted = [made.update(image).accepted for _ in range(8)]
    assert accepted[:5] == [True, False, False, False, False]
    assert accepted[-1]
