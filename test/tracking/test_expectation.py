"""Where a target is expected before the network looks: a known motion of camera and target."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.catalog import network_spec
from sot_tracker.tracker import Policy
from sot_tracker.tracking import fusion
from sot_tracker.tracking.expectation import expect, remember
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.tracking.step import start

BOX = Box(180, 130, 40, 36)


class Middle:
    """A network that always finds a box of the target's size in the middle of the crop, with that score."""

    def __init__(self, score=0.9):
        self.score = score

    def template(self, patch):
        return None

    def search(self, cached, patch):
        maps = {
            "score": np.full((1, 16, 16), 1e-4),
            "size": np.full((2, 16, 16), 0.25),
            "offset": np.zeros((2, 16, 16)),
        }
        maps["score"][0, 8, 8] = self.score
        return {name: value.astype(np.float32) for name, value in maps.items()}


def tracker(policy, score=0.9):
    made = NetworkTracker("middle", network_spec("fermt"), Middle(score), policy)
    made.init(FIRST, BOX)
    return made


def texture(seed, size, grain):
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), grain), None, 0, 255, cv2.NORM_MINMAX)


SCENE, OBJECT = texture(0, (900, 500), 6), texture(1, (40, 36), 3)


def frame(x, y, camera=0):
    """The object at (x, y) of a 400 x 300 frame before a scene that the camera shows `camera` pixels to the right."""
    shown = SCENE[100:400, 200 - camera : 600 - camera].copy()
    shown[y : y + 36, x : x + 40] = OBJECT
    return shown


FIRST = frame(180, 130)
STATE = start(BOX, (300, 400))


def expect_one(state, flow, image):
    (expectation,) = expect([(state, flow)], image)
    return expectation


def flow():
    return remember(expect_one(STATE, None, FIRST), FIRST, BOX)


@pytest.mark.parametrize(
    ("image", "lost_frames", "shift"),
    [
        (frame(188, 127), 0, (8, -3)),  # the target moves
        (frame(240, 130, camera=60), 0, (60, 0)),  # both go with a pan
        (frame(192, 130, camera=-10), 2, (-10, 0)),  # while lost, with the background alone
    ],
)
def test_the_box_is_expected_where_the_target_went(image, lost_frames, shift):
    state = replace(STATE, lost_frames=lost_frames, suspect=Box(50, 50, 40, 36) if lost_frames else None)
    after = expect_one(state, flow(), image).state
    center = BOX.center[0] + shift[0], BOX.center[1] + shift[1]
    assert after.box.center == pytest.approx(center, abs=1.5)
    assert (after.box.w, after.box.h) == pytest.approx((BOX.w, BOX.h))  # the network's to change
    if lost_frames:
        assert after.suspect.center == pytest.approx((70 + shift[0], 68 + shift[1]), abs=1.5)
    assert replace(after, box=BOX, suspect=None) == replace(state, suspect=None)


def test_the_background_is_measured_once_for_all_targets_of_a_frame(monkeypatch):
    calls = []
    measure = fusion.background
    monkeypatch.setattr(fusion, "background", lambda *args: calls.append(len(args[2])) or measure(*args))
    elsewhere = start(Box(30, 30, 40, 36), (300, 400))
    there = remember(expect_one(elsewhere, None, FIRST), FIRST, elsewhere.box)
    older = remember(expect_one(STATE, None, frame(150, 130)), frame(150, 130), BOX)
    image = frame(240, 130, camera=60)
    moved = expect([(STATE, flow()), (elsewhere, there), (STATE, None), (STATE, older)], image)
    assert calls == [2, 1], "two that remember the same frame, and one that remembers another"
    assert [round(each.state.box.center[0] - 20) for each in moved[:3]] == [240, 90, 180]
    assert moved[3].moved is not None
    assert moved[3].moved.reduced is not moved[0].moved.reduced


def test_nothing_remembered_is_nothing_expected():
    before = expect_one(STATE, None, frame(188, 127))
    assert (before.state, before.moved) == (STATE, None)


@pytest.mark.parametrize(("around", "column"), [("expected", 240), ("last", 180)])
def test_the_search_window_of_a_tracker(around, column):
    """A pan of 60 pixels in one frame: the network is asked around the new place, or the old one, as published."""
    estimate = tracker(Policy(search_around=around)).update(frame(240, 130, camera=60))
    assert estimate.box.center == pytest.approx((column + 20, 148), abs=1.5)
    assert ("flow" in estimate.times) == (around == "expected")


def test_a_lost_target_is_searched_for_where_the_camera_took_its_place():
    made = tracker(Policy(lost_threshold=0.5, search_around="expected"), score=0.1)
    made.update(FIRST)
    made.update(frame(150, 130, camera=-30))
    assert made.box.center == pytest.approx((170, 148), abs=1.5)


@pytest.mark.parametrize(
    ("call", "box"),
    [("move", Box(240, 130, 40, 36)), ("recenter", Box(180, 130, 40, 36)), ("recenter", Box(20, 20, 30, 30))],
)
def test_a_box_from_outside_is_searched_around(call, box):
    """That of `move` is in the next frame already; that of `recenter` in the last one, and the camera moves it on."""
    made = tracker(Policy(search_around="expected"))
    getattr(made, call)(box)
    moved = 0 if call == "move" else 60
    found = made.update(frame(240, 130, camera=60)).box.center
    assert found == pytest.approx((box.center[0] + moved, box.center[1]), abs=2.5)
