"""The second opinion: how the filter and the network are combined, and what this changes in the online loop."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from sot_tracker import heap, load, loading
from sot_tracker.box import Box
from sot_tracker.catalog import network_spec, spec
from sot_tracker.config import Config
from sot_tracker.crop import Crop, crop_black
from sot_tracker.decode import DECODERS, Decoded
from sot_tracker.engines.network import Facts
from sot_tracker.errors import UserError
from sot_tracker.tracker import Policy, State
from sot_tracker.tracking import second_opinion
from sot_tracker.tracking.feature_network import FeatureNetwork
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.tracking.second_opinion import ABSENT, ALONE, EVEN, EVERY, PASSED, PRESENT, FilterResponse

G, CENTER = 16, network_spec("lite")
THRESHOLD = 0.4
HEIGHT, WIDTH, SIDE = 160, 320, 24


def seen(*peaks: tuple[int, int, float], floor: float = 0.0) -> FilterResponse:
    """A response with those values at (column, row), of a patch of 160 pixels around (100, 100)."""
    response = np.full((G, G), floor, np.float32)
    for column, row, value in peaks:
        response[row, column] = value
    crop = Crop(np.zeros((256, 256, 3), np.uint8), (20, 20), 160, (100.0, 100.0))
    return FilterResponse(crop, np.zeros((G * G, 1), np.float32), response)


def maps(kind: str, *peaks: tuple[int, int, float], grid: int = G) -> dict[str, Any]:
    """Maps of that kind that show a box of 4 x 4 cells at (column, row) of a 16 x 16 grid, each with its score."""
    score = np.full((grid, grid), 1e-3, np.float32)
    k = grid // G
    for column, row, value in peaks:
        score[row * k, column * k] = value
    if kind == "center":
        return {
            "score": score[None],
            "size": np.full((2, grid, grid), 0.25, np.float32),
            "offset": np.full((2, grid, grid), 0.5, np.float32),
        }
    if kind == "token":
        rows, columns = np.mgrid[0:grid, 0:grid]
        centers = (np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5) / grid
        odds = np.log(score / (1 - score)).ravel()
        boxes = np.concatenate([centers, np.full_like(centers, 0.25)], axis=1).astype(np.float32)
        return {"logits": np.stack([odds, 0 * odds], axis=1), "boxes": boxes}
    corners = {name: np.zeros((G, G), np.float32) for name in ("tl", "br")}
    for column, row, value in peaks:
        corners["tl"][row - 2, column - 2] = 10 * value
        corners["br"][row + 2, column + 2] = 10 * value
    return corners


@pytest.mark.parametrize(
    ("score", "response", "expected"),
    [
        (THRESHOLD, EVEN, THRESHOLD),
        (1.0, PRESENT, 1.0),
        (0.0, 0.0, 0.0),
        (1.0, EVEN, 0.7),  # a sure network beside a filter that cannot say
        (THRESHOLD, PRESENT, 0.7),
        (0.0, PRESENT, THRESHOLD),  # one says surely not, the other surely: even
        (1.0, 0.0, THRESHOLD),
        (1.0, 5.0, 1.0),  # responses are bounded
        (0.0, -5.0, 0.0),
    ],
)
def test_both_have_the_same_say(score: float, response: float, expected: float) -> None:
    found = second_opinion.combined_score(np.float32([score]), np.float32([response]), THRESHOLD)
    assert found == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_at_the_end_of_the_scale(threshold: float) -> None:
    found = second_opinion.combined_score(np.float32([0, 0.5, 1]), np.float32([0.0, EVEN, PRESENT]), threshold)
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("kind", ["center", "token", "corner"])
@pytest.mark.parametrize(
    ("response", "column"),
    [
        ([(6, 8, 0.0), (10, 8, 0.9)], 10),  # the filter turns a close choice
        ([(6, 8, 0.9), (10, 8, 0.0)], 6),
    ],
)
def test_the_filter_says_which_peak_is_the_target(kind: str, response: Any, column: int) -> None:
    of = maps(kind, (6, 8, 0.8), (10, 8, 0.78))
    found = DECODERS[kind](second_opinion.combined_maps(of, seen(*response), (40, 40), THRESHOLD))
    assert found.cx * G == pytest.approx(column + 0.5, abs=1.01)
    assert abs(found.cx * G - (16.5 - column)) > 2, "not the other one"
    assert (found.w, found.h) == pytest.approx((0.25, 0.25), abs=0.07)


@pytest.mark.parametrize("kind", ["center", "token"])
def test_within_a_peak_the_network_has_the_choice_of_the_cell(kind: str) -> None:
    found = DECODERS[kind](
        second_opinion.combined_maps(maps(kind, (6, 8, 0.8)), seen((7, 9, 0.9)), (40, 40), THRESHOLD)
    )
    assert divmod(found.index, G) == (8, 6)


@pytest.mark.parametrize(("response", "least", "most"), [(EVEN, 0.4, 0.75), (PRESENT, 0.75, 1.0)])
def test_a_network_without_a_score_map_has_an_agreed_score(response: float, least: float, most: float) -> None:
    of, second = maps("corner", (8, 8, 0.99)), seen((8, 8, response))
    found = DECODERS["corner"](of)
    assert found.score > 0.9
    assert least < second_opinion.with_combined_score(found, of, second, THRESHOLD).score < most


@pytest.mark.parametrize("kind", ["center", "token", "corner"])
def test_a_filter_that_cannot_say_leaves_the_choice_to_the_network(kind: str) -> None:
    of = maps(kind, (6, 8, 0.8), (10, 8, 0.7))
    alone = DECODERS[kind](of)
    both = DECODERS[kind](second_opinion.combined_maps(of, seen(floor=EVEN), (40, 40), THRESHOLD))
    assert (both.cx, both.cy) == pytest.approx((alone.cx, alone.cy), abs=0.03)


@pytest.mark.parametrize("kind", ["center", "token", "corner"])
def test_the_box_is_the_networks_and_its_maps_stay_as_they_were(kind: str) -> None:
    of = maps(kind, (6, 8, 0.8))
    kept = {name: value.copy() for name, value in of.items()}
    changed = second_opinion.combined_maps(of, seen((6, 8, 0.9)), (40, 40), THRESHOLD)
    assert all((of[name] == kept[name]).all() for name in of)
    for name in of.keys() & {"size", "offset", "boxes"}:
        assert changed[name] is of[name]


def test_a_map_with_more_cells_than_the_filter() -> None:
    of = maps("token", (6, 8, 0.8), (10, 8, 0.78), grid=32)
    found = DECODERS["token"](second_opinion.combined_maps(of, seen((10, 8, 0.9)), (40, 40), THRESHOLD))
    assert found.cx * G == pytest.approx(10.25, abs=0.5)


@pytest.mark.parametrize("kind", ["center", "token", "corner"])
@pytest.mark.parametrize(
    ("response", "is_there"), [(0.0, False), (ABSENT - 0.01, False), (EVEN + 0.1, True), (PRESENT, True)]
)
def test_no_target_where_the_filter_sees_nothing_of_it(kind: str, response: float, is_there: bool) -> None:
    """However sure the network is."""
    of, second = maps(kind, (8, 8, 0.99)), seen((8, 8, response))
    found = DECODERS[kind](second_opinion.combined_maps(of, second, (40, 40), THRESHOLD))
    score = second_opinion.with_combined_score(found, of, second, THRESHOLD).score
    assert 0 <= score <= 1
    assert (score >= THRESHOLD) is is_there


# One object on a patterned ground, seen by cells of colour.


def features_of(patch: Any) -> Any:
    """10 x 16 x 16: the mean of each cell, its contrast, and products of both."""
    cells = patch.reshape(16, 16, 16, 16, 3).astype(np.float32).transpose(0, 2, 1, 3, 4).reshape(16, 16, 256, 3) / 255
    mean, contrast = cells.mean(axis=2), cells.std(axis=2)
    parts = [mean, contrast, mean * mean, mean[..., :1] * mean[..., 1:2]]
    return np.ascontiguousarray(np.concatenate(parts, axis=2).transpose(2, 0, 1))


class ColourBlind:
    """Finds what is bright, whatever its colour, the brighter the surer; its features see colours."""

    lost_threshold = THRESHOLD
    facts = Facts("toy", "toy", "cpu", "fp32", 1, "toy weights", THRESHOLD)

    def __init__(self, gives_features: bool = True) -> None:
        self.gives_features = gives_features
        self.searches = 0

    def template(self, patch: Any) -> float:
        return float(patch.shape[0])

    def search(self, cached: Any, patch: Any) -> dict[str, Any]:
        self.searches += 1
        bright = cv2.blur(patch.max(axis=2), (49, 49))[8::16, 8::16].astype(np.float32) / 255
        found = {
            "score": np.clip(bright, 1e-4, 1)[None],
            "size": np.full((2, G, G), 0.25, np.float32),
            "offset": np.full((2, G, G), 0.5, np.float32),
        }
        return {**found, "features": features_of(patch)} if self.gives_features else found

    def search_many(self, inputs: Iterable[Any]) -> list[dict[str, Any]]:
        return [self.search(*one) for one in inputs]


class Narrow(ColourBlind):
    """With narrower peaks, so that one alone is alone."""

    def search(self, cached: Any, patch: Any) -> dict[str, Any]:
        maps = super().search(cached, patch)
        return {**maps, "score": maps["score"] ** 2}


RED, GREEN = (20, 30, 130), (20, 245, 30)  # BGR; the green one is brighter


def frame(target: float | None, other: float | None, y: float = 68) -> Any:
    """A red object at column `target` and a green one at column `other` of a dull scene."""
    noise = np.random.default_rng(0).integers(30, 90, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 3)
    for x, colour, top in ((target, RED, y), (other, GREEN, y)):
        if x is not None:
            left = round(x)
            image[round(top) : round(top) + SIDE, left : left + SIDE] = colour
    return image


def tracker(second: bool, network: Any = None, policy: Policy | None = None, features: Any = None) -> NetworkTracker:
    network = network or ColourBlind()
    features = FeatureNetwork(features or ColourBlind(), CENTER) if second else None
    return NetworkTracker("toy", CENTER, network, policy or Policy(lost_threshold=THRESHOLD), features=features)


def box(x: float) -> Box:
    return Box(x, 68, SIDE, SIDE)


@pytest.mark.parametrize("own_features", [True, False])
@pytest.mark.parametrize(("second", "stays"), [(False, False), (True, True)])
def test_a_look_alike_that_comes_near(second: bool, stays: bool, own_features: bool) -> None:
    """The network follows the brighter one; the filter knows the target."""
    made = tracker(second, ColourBlind(own_features))
    made.init(frame(150, 230), box(150))
    for k in range(1, 28):
        estimate = made.update(frame(150, 230 - 2 * k))
    assert (estimate.box.iou(box(150)) > 0.3) is stays
    assert (estimate.box.iou(box(176)) > 0.3) is not stays


@pytest.mark.parametrize(("second", "fooled"), [(False, True), (True, False)])
def test_a_look_alike_in_the_place_of_a_target_that_left(second: bool, fooled: bool) -> None:
    made = tracker(second)
    made.init(frame(150, None), box(150))
    for _ in range(5):
        assert made.update(frame(150, None)).state is State.TRACKING
    for _ in range(3):
        estimate = made.update(frame(None, 156))
    assert estimate.accepted is fooled
    assert made.update(frame(150, None)).accepted, "the target is back"


def test_the_filter_runs_in_every_fourth_frame_and_at_once_for_a_look_alike() -> None:
    features, network = ColourBlind(), Narrow(False)
    made = tracker(True, network, features=features)
    runs = []
    made.init(frame(None, 150), box(150))
    for _ in range(3 * EVERY + PASSED):
        before = features.searches
        made.update(frame(None, 150))
        runs.append(features.searches - before)
    assert sum(runs[PASSED:]) == 3
    for k in range(3):
        before, image = features.searches, frame(None, 150)
        image[68 : 68 + SIDE, 200 + k : 200 + k + SIDE] = GREEN
        made.update(image)
        assert features.searches == before + 1


@pytest.mark.parametrize(
    ("fps", "skips"),
    [
        (None, [1, 1, 1, 0]),  # unknown: limited in frames alone
        (30.0, [1, 1, 1, 0]),
        (15.0, [1, 1, 1, 0]),
        (10.0, [1, 1, 0]),
        (5.0, [1, 0]),
        (2.0, [0]),
    ],
)
def test_at_a_low_frame_rate_the_filter_skips_fewer_frames(fps: float | None, skips: list[int]) -> None:
    """A response of half a second ago says nothing of what is there now."""
    features, image = ColourBlind(), frame(None, 150)
    made = tracker(True, Narrow(False), features=features)
    stamps = [None if fps is None else int(1e9 + 1e9 * k / fps) for k in range(40)]
    made.init(image, box(150), stamps[0])
    found = []
    for stamp in stamps[1:]:
        before = features.searches
        made.update(image, stamp)
        found.append(int(features.searches == before))
    longest = max(map(len, "".join(map(str, found)).split("0")))
    assert longest == sum(skips), found
    assert made._require_target().opinion.age < EVERY, "and it learns in every fourth frame, as ever"


def test_where_the_filter_does_not_run_its_cached_response_is_part_of_the_score() -> None:
    features, image = ColourBlind(), frame(None, 150)
    made, plain = tracker(True, Narrow(False), features=features), tracker(False, Narrow(False))
    for one in (made, plain):
        one.init(image, box(150))
    skipped = 0
    for _ in range(3 * EVERY + PASSED):
        cached, before = made._require_target().opinion.cached, features.searches
        found, alone = made.update(image), plain.update(image)
        if features.searches == before:
            skipped += 1
            assert found.score == pytest.approx(
                second_opinion.score_with_cached_response(alone.score, cached, THRESHOLD)
            )
            assert found.score > alone.score + 0.01
    assert skipped > 2 * EVERY


def test_the_filter_runs_in_the_frame_after_recenter() -> None:
    features, image = ColourBlind(), frame(None, 150)
    made = tracker(True, Narrow(False), features=features)
    made.init(image, box(150))
    for _ in range(PASSED + EVERY):
        before = features.searches
        made.update(image)
    assert features.searches == before, "the target is clear and there is no look-alike"
    made.recenter(box(152))
    before = features.searches
    made.update(image)
    assert features.searches == before + 1


@pytest.mark.parametrize("response", [EVEN, 0.6, PRESENT])
def test_the_score_with_a_cached_response_is_the_combined_score(response: float) -> None:
    both = second_opinion.combined_score(np.float32([0.8]), np.float32([response]), THRESHOLD)
    assert second_opinion.score_with_cached_response(0.8, response, THRESHOLD) == pytest.approx(both[0])


def test_the_filter_follows_a_target_that_changes_slowly() -> None:
    """From green by way of cyan to blue."""
    made = tracker(True)
    made.init(frame(None, 150), box(150))
    first = made._require_target().opinion
    for k in range(70):
        image = frame(None, 150)
        image[68 : 68 + SIDE, 150 : 150 + SIDE, 0] = min(20 + 8 * k, 245)
        image[68 : 68 + SIDE, 150 : 150 + SIDE, 1] = min(max(245 - 8 * (k - 30), 30), 245)
        estimate = made.update(image)
        assert estimate.accepted, k
    assert estimate.box.iou(box(150)) > 0.5
    crop, last = crop_of(image)(box(150)), made._require_target().opinion
    before, after = (
        second_opinion.run_filter(one, features_of(crop.patch), crop).at(0.5, 0.5) for one in (first, last)
    )
    assert after > before + 0.1


@pytest.mark.parametrize(
    ("sure", "elsewhere", "frames", "learns"),
    [
        (True, 0.0, EVERY - 1, False),
        (True, 0.0, EVERY, True),
        (True, 0.9, 1, True),  # a look-alike is learnt at once
        (False, 0.0, 3 * EVERY, False),
        (False, 0.9, 3 * EVERY, False),
    ],
)
def test_what_is_learnt(sure: bool, elsewhere: float, frames: int, learns: bool) -> None:
    target = start_of(frame(150, None))
    crop = crop_of(frame(150, None))(box(150))
    now = target
    for _ in range(frames):
        response = second_opinion.run_filter(now, features_of(crop.patch), crop)
        response.response[2, 2] = elsewhere
        now = second_opinion.settle(now, response, box(150), sure)
    assert (now.learnt is not target.learnt) is learns
    assert now.age == (0 if learns else frames)
    assert target.age == 0, "the opinion before stays as it was"


def found(score: float) -> Decoded:
    return replace(DECODERS["center"](maps("center", (8, 8, 0.9))), score=score)


@pytest.mark.parametrize(
    ("cached", "age", "score", "rival", "expected"),
    [
        (0.7, 0, 0.9, 0.1, 0.7),
        (0.7, EVERY - 2, 0.9, 0.1, 0.7),
        (0.7, EVERY - 1, 0.9, 0.1, None),  # time for a sample
        (None, 0, 0.9, 0.1, None),  # the last response was in doubt
        (0.7, 0, 0.55, 0.1, 0.7),  # on the common scale, with this threshold, 0.62
        (0.7, 0, 0.5, 0.1, None),  # a score of which the network is not sure
        (0.7, 0, math.nan, 0.1, None),
        (0.7, 0, 0.9, ALONE + 0.01, None),  # something else looks like the target
    ],
)
def test_when_the_filter_may_skip_a_frame(
    cached: float | None, age: int, score: float, rival: float, expected: float | None
) -> None:
    opinion = replace(start_of(frame(150, None)), cached=cached, age=age)
    assert second_opinion.cached_response(opinion, found(score), rival, THRESHOLD) == expected


@pytest.mark.parametrize(
    ("target", "elsewhere", "sure", "holds"),
    [
        (PRESENT, 0.0, True, True),
        (EVEN + 0.01, 0.0, True, True),
        (EVEN - 0.01, 0.0, True, False),
        (PRESENT, 0.7, True, False),
        (PRESENT, 0.0, False, False),
    ],
)
def test_which_response_holds_for_the_next_frames(target: float, elsewhere: float, sure: bool, holds: bool) -> None:
    opinion, crop = start_of(frame(150, None)), crop_of(frame(150, None))(box(150))
    response = second_opinion.run_filter(opinion, features_of(crop.patch), crop)
    response.response[:] = 0
    response.response[8, 8], response.response[2, 2] = target, elsewhere
    after = second_opinion.settle(opinion, response, box(150), sure)
    assert after.cached == (pytest.approx(target) if holds else None)
    assert second_opinion.settle(after, None, box(150), sure=True).cached == after.cached, "the filter did not run"
    assert second_opinion.settle(after, None, box(150), sure=False).cached is None
    assert second_opinion.settle(after, None, box(150), sure=True).age == after.age + 1


def test_a_sure_box_that_the_filter_does_not_know_is_not_learnt() -> None:
    target = start_of(frame(150, None))
    crop = crop_of(frame(None, 150))(box(150))
    now = target
    for _ in range(3 * EVERY):
        now = second_opinion.settle(
            now, second_opinion.run_filter(now, features_of(crop.patch), crop), box(150), sure=True
        )
    assert now.learnt is target.learnt


def test_after_a_loss_nothing_is_learnt_until_the_target_was_found_for_a_while() -> None:
    made = tracker(True)
    made.init(frame(None, 150), box(150))
    for image in [frame(None, 150)] * 3 + [frame(None, None)] * 2 * EVERY:
        assert made.update(image).accepted is bool(image.max() > 200)
    lost, learnt = made._require_target().opinion, []
    for _ in range(PASSED + EVERY):
        assert made.update(frame(None, 150)).accepted
        learnt.append(made._require_target().opinion.learnt is not lost.learnt)
    assert learnt == [k + 1 >= PASSED for k in range(PASSED + EVERY)]


def crop_of(image: Any) -> Any:
    return lambda at: crop_black(image, at, CENTER.search_factor, CENTER.search_size)


def start_of(image: Any) -> second_opinion.Opinion:
    return second_opinion.start(crop_of(image), features_of, box(150))


def run(made: NetworkTracker, frames: int = 12) -> list[tuple[Box, float]]:
    made.init(frame(150, 230), box(150))
    estimates = [made.update(frame(150 + k, 230 - 3 * k)) for k in range(1, frames)]
    return [(estimate.box, estimate.score) for estimate in estimates]


def test_without_it_nothing_changes_and_nothing_is_learnt() -> None:
    """A network that gives features is followed as one that gives none, bit for bit."""
    plain, gives = ColourBlind(False), ColourBlind(True)
    first, second = tracker(False, plain), tracker(False, gives)
    assert run(first) == run(second)
    assert plain.searches == gives.searches == 11
    assert second._require_target().opinion is None
    assert set(second.update(frame(150, 230)).times) == {"crop", "search", "decode"}


def test_the_same_frames_give_the_same_boxes() -> None:
    assert run(tracker(True)) == run(tracker(True))


def test_a_copy_goes_its_own_way() -> None:
    made = tracker(True)
    run(made)
    target = made._require_target()
    advance = lambda image: made._session.advance([target], image, made._applied)[0][1].box  # noqa: E731
    before = advance(frame(160, 190))
    advance(frame(None, 160))
    assert advance(frame(160, 190)) == before


def test_several_targets_as_each_alone() -> None:
    network = ColourBlind(False)
    both = [tracker(True, network) for _ in range(2)]
    alone = [tracker(True, network) for _ in range(2)]
    for made, x in zip(both + alone, (150, 230, 150, 230), strict=True):
        made.init(frame(150, 230), box(x))
    for k in range(1, 8):
        image = frame(150 + k, 230 - k)
        NetworkTracker.search_ahead(both, image)
        for one, other in zip(both, alone, strict=True):
            assert one.update(image).box == other.update(image).box


def test_stage_times() -> None:
    made = tracker(True)
    assert made.init(frame(150, None), box(150)).times["opinion"] > 0
    assert made.update(frame(150, None)).times["opinion"] > 0


def test_features_that_are_not_finite_are_no_opinion() -> None:
    network = ColourBlind()
    made, plain = tracker(True, network), tracker(False)
    for one in (made, plain):
        one.init(frame(150, 230), box(150))
    search = network.search
    network.search = lambda *inputs: search(*inputs) | {"features": np.full((11, G, G), math.nan, np.float32)}  # type: ignore[method-assign]
    found, expected = made.update(frame(150, 200)), plain.update(frame(150, 200))
    assert (found.box, found.score) == (expected.box, expected.score)


def test_a_network_without_features_is_refused() -> None:
    with pytest.raises(UserError, match="toy weights gives no features"):
        FeatureNetwork(ColourBlind(False), CENTER)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "dtype"), [(256, np.uint8), (256, np.float32), (128, np.uint8)])
def test_patches_are_brought_to_the_network(size: int, dtype: type) -> None:
    patch = np.full((size, size, 3), 90, dtype)
    (found,) = FeatureNetwork(ColourBlind(), CENTER).of([patch])  # type: ignore[arg-type]
    assert found.shape[1:] == (G, G)
    assert found[0] == pytest.approx(90 / 255)


@pytest.mark.parametrize("name", ["csrt", "kcf"])
def test_trackers_without_a_network_refuse_it(name: str) -> None:
    with pytest.raises(UserError, match=f"not {name}: leave it out"):
        load(name, second_opinion="on")
    assert load(name).name == name, "auto does not count as a request"


@pytest.mark.parametrize(
    ("name", "wanted", "there"),
    [
        ("lite", "auto", True),
        ("lite", "off", False),
        ("hit_tiny", "auto", True),
        ("hit_tiny", "on", True),
        ("fermt", "auto", True),
    ],
)
def test_shipped_networks_follow_with_it_and_without(name: str, wanted: str, there: bool) -> None:
    pytest.importorskip("onnxruntime")
    made = load(name, engine="onnx", threads=1, second_opinion=wanted)
    made.init(frame(150, None), box(150))
    for k in range(1, 4):
        estimate = made.update(frame(150 + k, None))
        assert ("opinion" in estimate.times) == there
    assert estimate.box.iou(box(153)) > 0.4


@pytest.mark.parametrize(
    ("engine", "precision", "device", "expected"),
    [
        ("torch", "bf16", "cpu", ("torch", "bf16", "cpu", 2)),  # one number of threads for the whole process
        ("onnx", "fp32", "cpu", ("onnx", "fp32", "cpu", 1)),
        ("openvino", "bf16", "cpu", ("openvino", "bf16", "cpu", 1)),
        ("openvino", "int8", "cpu", ("openvino", "auto", "cpu", 1)),  # lite ships no int8 variant
        ("onnx", "fp16", "tensorrt", ("onnx", "auto", "cuda", 1)),
    ],
)
def test_the_features_run_as_the_network_beside_them(
    engine: str, precision: str, device: str, expected: tuple[str, str, str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `auto` has come to for that network; a second engine would take memory of its own."""
    asked: list[Any] = []

    def load_network(model: Any, config: Any) -> Any:
        asked.append((model.name, config.weights, config.engine, config.precision, config.device, config.threads))
        raise UserError("enough")

    monkeypatch.setattr(loading, "load_network", load_network)
    network: Any = ColourBlind()
    network.facts = Facts(engine, "toy", device, precision, 2, "toy weights", THRESHOLD)
    with pytest.raises(UserError, match="enough"):
        loading.load_features(spec("hit_tiny"), network, Config(model="hit_tiny", weights="my/hit_tiny", device=device))
    assert asked == [("lite", "", *expected)]


def test_torch_keeps_its_threads_beside_a_second_opinion() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        load("hit_tiny", engine="torch", threads=before + 1, second_opinion="on")
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("name", "kept"), [("lite", True), ("hit_tiny", False)])
def test_what_loading_and_learning_need_for_a_moment_is_given_back(
    name: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kept: whether the features' network still has its template graph: only where it is the one that follows."""
    pytest.importorskip("onnxruntime")
    calls: list[str] = []
    monkeypatch.setattr(heap, "give_back", lambda: calls.append("given back"))
    made = load(name, engine="onnx", threads=1, second_opinion="on")
    assert len(calls) == (1 if kept else 3), "after each network, and after its template graph"
    network: Any = made._session._features._network  # type: ignore[attr-defined]
    assert (network._template is not None) == kept
    calls.clear()
    for _ in range(2):
        made.init(frame(150, None), box(150))
    assert len(calls) == 2


@pytest.mark.parametrize("wanted", ["auto", "on"])
def test_a_lite_without_features_is_reported_and_auto_goes_on(
    wanted: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnxruntime")

    def refuse(*_: Any) -> None:
        raise UserError("no features")

    monkeypatch.setattr(loading, "load_features", refuse)
    if wanted == "on":
        with pytest.raises(UserError, match="no features"):
            load("lite", engine="onnx", threads=1, second_opinion=wanted)
        return
    assert load("lite", engine="onnx", threads=1, second_opinion=wanted).name == "lite"
    assert "running without second_opinion: no features" in caplog.text
