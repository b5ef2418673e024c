"""The online loop with networks that give scripted answers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.catalog import NetworkSpec, network_spec, spec
from sot_tracker.config import Config
from sot_tracker.engines.network import Facts
from sot_tracker.errors import UserError
from sot_tracker.loading import load_network_tracker
from sot_tracker.tracker import Policy, State
from sot_tracker.tracking import reacquire
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.tracking.session import Session

HEIGHT, WIDTH = 240, 320
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
START = Box(100, 80, 40, 40)  # search crop: side 160, centre (120, 100), a cell is 10 pixels
CENTER = network_spec("fermt")


def center_answer(cx: float, cy: float, w: float, h: float, score: float = 0.9) -> dict[str, np.ndarray]:
    """Maps of a box with that centre and size, fractions of the crop."""
    col, row = int(cx * 16), int(cy * 16)
    maps = {"score": np.full((1, 16, 16), 1e-4), "size": np.zeros((2, 16, 16)), "offset": np.zeros((2, 16, 16))}
    maps["score"][0, row, col] = score
    maps["size"][:, row, col] = w, h
    maps["offset"][:, row, col] = cx * 16 - col, cy * 16 - row
    return {name: value.astype(np.float32) for name, value in maps.items()}


def token_answer(cx: float, cy: float, w: float, h: float, score: float = 0.9) -> dict[str, np.ndarray]:
    logits = np.tile(np.float32([-9, 0]), (256, 1))
    index = int(cy * 16) * 16 + int(cx * 16)
    logits[index] = math.log(score / (1 - score)), 0
    boxes = np.zeros((256, 4), np.float32)
    boxes[index] = cx, cy, w, h
    return {"logits": logits, "boxes": boxes}


class Scripted:
    """A network that gives the answers in turn and remembers its patches."""

    def __init__(self, answers: Iterable[dict[str, np.ndarray]]) -> None:
        self.answers = iter(answers)
        self.templates: list[np.ndarray] = []
        self.patches: list[np.ndarray] = []

    def template(self, patch: np.ndarray) -> Any:
        self.templates.append(patch)
        return f"template {len(self.templates)}"

    def search(self, cached: Any, patch: np.ndarray) -> dict[str, np.ndarray]:
        assert cached == f"template {len(self.templates)}"
        self.patches.append(patch)
        return next(self.answers)

    def search_many(self, inputs: Iterable[tuple[Any, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        return [self.search(*one) for one in inputs]


def tracker(
    *answers: dict[str, np.ndarray], threshold: float = 0.0, spec: NetworkSpec = CENTER, box: Box = START
) -> NetworkTracker:
    made = NetworkTracker("scripted", spec, Scripted(answers), Policy(lost_threshold=threshold))  # type: ignore[arg-type]
    made.init(IMAGE, box)
    return made


def test_a_box_is_mapped_into_the_frame() -> None:
    estimate = tracker(center_answer(0.55, 0.45, 0.25, 0.3)).update(IMAGE)
    center = (120 + 0.05 * 160, 100 - 0.05 * 160)
    assert estimate.box.center == pytest.approx(center, abs=1e-4)
    assert (estimate.box.w, estimate.box.h) == pytest.approx((40, 48), abs=1e-4)
    assert estimate.score == pytest.approx(0.9)
    assert estimate.state is State.TRACKING
    assert set(estimate.times) == {"crop", "search", "decode"}
    assert all(0 <= value < 1e4 for value in estimate.times.values())


def test_patches_are_rgb_of_the_sizes_of_the_network() -> None:
    made = tracker(center_answer(0.5, 0.5, 0.25, 0.25), box=Box(128, 88, 64, 64))
    made.update(IMAGE)
    (template,), (search,) = made.network.templates, made.network.patches  # type: ignore[attr-defined]
    assert (template.shape, search.shape) == ((128, 128, 3), (256, 256, 3))
    assert np.array_equal(template, IMAGE[56:184, 96:224, ::-1])


def test_the_search_window_follows_the_box() -> None:
    step = center_answer(0.55, 0.5, 0.25, 0.25)  # 8 of 160 pixels to the right, same size
    made = tracker(step, step, step)
    xs = [made.update(IMAGE).box.center[0] for _ in range(3)]
    assert xs == pytest.approx([128, 136, 144], abs=1e-3)
    assert made.box.center == pytest.approx((144, 100), abs=1e-3)


def test_a_size_is_followed_by_its_rate_and_a_centre_at_once() -> None:
    made = tracker(*(center_answer(0.55, 0.5, side, 0.25) for side in (0.5, 0.5)))
    made.policy = Policy(size_smoothing=0.3)
    first, second = made.update(IMAGE).box, made.update(IMAGE).box
    assert first.center == pytest.approx((128, 100), abs=1e-3)
    assert (first.w, first.h) == pytest.approx((40 * 2**0.3, 40), abs=1e-3)
    crop = math.ceil(4 * math.sqrt(first.w * first.h))  # the wider box is the next window
    assert (second.w, second.h) == pytest.approx(
        (first.w**0.7 * (0.5 * crop) ** 0.3, 40**0.7 * (0.25 * crop) ** 0.3), abs=1e-3
    )


@pytest.mark.parametrize(("share", "width"), [(1.0, 40), (0.5, 40 * math.sqrt(1.5)), (0.0, 60)])
def test_sizes_are_corrected_towards_the_initial_box(share: float, width: float) -> None:
    """The network finds the given target half as wide again, and so it does ever after."""
    wide, wider = center_answer(0.5, 0.5, 0.375, 0.25), center_answer(0.55, 0.5, 0.375, 0.25)
    network = Scripted([wide, wider] if share else [wider])
    made = NetworkTracker("scripted", CENTER, network, Policy(init_size_correction=share))  # type: ignore[arg-type]
    made.init(IMAGE, START)
    box = made.update(IMAGE).box
    assert (box.w, box.h) == pytest.approx((width, 40), abs=1e-3)
    assert box.center == pytest.approx((128, 100), abs=1e-3)


@pytest.mark.parametrize(
    "first",
    [center_answer(0.9, 0.5, 0.25, 0.25), center_answer(0.5, 0.5, -0.1, 0.25), {"score": np.full((1, 16, 16), np.nan)}],
    ids=["elsewhere", "negative size", "not finite"],
)
def test_a_first_frame_without_the_target_corrects_no_size(first: dict[str, np.ndarray]) -> None:
    first = {**center_answer(0.5, 0.5, 0.25, 0.25), **first}
    network = Scripted([first, center_answer(0.5, 0.5, 0.375, 0.25)])
    made = NetworkTracker("scripted", CENTER, network, Policy(init_size_correction=1.0))  # type: ignore[arg-type]
    made.init(IMAGE, START)
    assert made.update(IMAGE).box.w == pytest.approx(60, abs=1e-3)


def test_the_size_after_a_loss_is_the_one_found() -> None:
    lost, back = center_answer(0.5, 0.5, 0.25, 0.25, score=0.1), center_answer(0.5, 0.5, 0.5, 0.5)
    made = tracker(lost, back, back, threshold=0.5)
    made.policy = Policy(lost_threshold=0.5, size_smoothing=0.3)
    made.update(IMAGE)
    returned = made.update(IMAGE).box
    assert (returned.w, returned.h) == pytest.approx((80, 80), abs=1e-3)
    again = made.update(IMAGE).box
    assert again.w == pytest.approx(80 * 2**0.3, abs=1e-3)


def test_sizes_of_crossed_corners_stay_boxes() -> None:
    made = tracker(center_answer(0.5, 0.5, -0.1, 0.25))
    made.policy = Policy(size_smoothing=0.3)
    assert made.update(IMAGE).box.w == pytest.approx(40**0.7, abs=1e-3)


def test_a_loaded_tracker_has_the_options_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SimpleNamespace(lost_threshold=0.4, facts=SimpleNamespace(calibration=None))
    monkeypatch.setattr("sot_tracker.loading.load_network", lambda model, config: network)
    alone = Config(second_opinion="off")
    made = load_network_tracker(
        spec("fermt"), replace(alone, init_size_correction=0.8, size_smoothing=0.6, reacquire_positions=5)
    )
    assert (made.network, made.lost_threshold) == (network, 0.4)
    assert made.policy == Policy(
        -1.0, reacquire_positions=5, init_size_correction=0.8, size_smoothing=0.6, search_around="expected"
    )
    assert load_network_tracker(spec("fermt"), replace(alone, lost_threshold=0.7)).lost_threshold == 0.7


def test_boxes_are_clipped_with_a_margin() -> None:
    far_left = center_answer(0.01, 0.5, 0.01, 0.01)
    made = tracker(far_left, box=Box(10, 80, 40, 40))
    assert made.update(IMAGE).box.xywh == pytest.approx((0, 99.2, 10, 10))


def test_hcat_clips_the_centre_alone() -> None:
    answer = token_answer(0.2, 0.5, 0.9, 0.01)  # crop side 160 around (30, 100): centre x = 30 - 48
    made = tracker(answer, spec=network_spec("hcat"), box=Box(10, 80, 40, 40))
    box = made.update(IMAGE).box
    assert box.center == pytest.approx((0, 100), abs=1e-3)
    assert (box.w, box.h) == pytest.approx((144, 10), abs=1e-3)
    assert box.x == pytest.approx(-72, abs=1e-3)


def test_hcat_boxes_are_no_larger_than_the_frame() -> None:
    answer = token_answer(0.5, 0.5, 0.9, 0.9)
    made = tracker(answer, spec=network_spec("hcat"), box=Box(60, 20, 200, 200))
    box = made.update(IMAGE).box
    assert (box.w, box.h) == (WIDTH, HEIGHT)


def test_hcat_keeps_the_average_of_the_first_frame() -> None:
    dark = np.full_like(IMAGE, 10)
    made = tracker(token_answer(0.5, 0.5, 0.2, 0.2), spec=network_spec("hcat"), box=Box(0, 0, 40, 40))
    made.update(dark)
    patch = made.network.patches[0]  # type: ignore[attr-defined]
    assert patch.dtype == np.uint8
    assert np.array_equal(patch[0, 0], np.rint(IMAGE.mean((0, 1))[::-1]))
    assert (patch[-1, -1] == 10).all()


def test_a_box_that_is_not_accepted_does_not_move_the_search_window() -> None:
    elsewhere = center_answer(0.7, 0.7, 0.5, 0.5, score=0.3)
    back = center_answer(0.55, 0.5, 0.25, 0.25, score=0.8)
    made = tracker(elsewhere, elsewhere, back, threshold=0.5)
    lost = made.update(IMAGE)
    assert (lost.state, lost.accepted) == (State.UNCERTAIN, False)
    assert lost.score == pytest.approx(0.3)
    assert lost.box.center == pytest.approx((152, 132), abs=1e-3)  # this frame's best guess
    assert made.box == START
    assert made.update(IMAGE).box == lost.box
    found = made.update(IMAGE)
    assert found.state is State.TRACKING
    assert found.box.center == pytest.approx((128, 100), abs=1e-3)
    assert made.box == found.box


NOTHING = center_answer(0.5, 0.5, 0.25, 0.25, score=0.1)
THERE = center_answer(0.5, 0.5, 0.25, 0.25, score=0.55)


def searching(*answers: dict[str, np.ndarray]) -> NetworkTracker:
    """A tracker that has lost its target for as long as it waits before it searches elsewhere."""
    made = tracker(*[NOTHING] * reacquire.PATIENCE, *answers, threshold=0.5)
    made.policy = Policy(lost_threshold=0.5, reacquire_positions=8)
    for _ in range(reacquire.PATIENCE):
        assert not made.update(IMAGE).accepted
    return made


def test_a_lost_target_that_returns_elsewhere_is_found_and_confirmed() -> None:
    made = searching(THERE, THERE)
    there = made.update(IMAGE)
    assert not there.accepted, "one search is not a proof"
    assert there.box.iou(START) == 0
    assert made.box == START
    found = made.update(IMAGE)
    assert found.accepted
    assert found.box.iou(there.box) > 0.5
    assert made.box == found.box


def test_a_lost_target_is_searched_at_the_size_of_its_last_sure_box() -> None:
    grown = center_answer(0.5, 0.5, 0.5, 0.5, score=0.6)
    made = tracker(center_answer(0.5, 0.5, 0.25, 0.3, score=0.9), grown, *[NOTHING] * reacquire.PATIENCE, threshold=0.5)
    for _ in range(2):
        made.update(IMAGE)
    sizes = [made.update(IMAGE) and (made.box.w, made.box.h) for _ in range(reacquire.PATIENCE)]
    assert sizes[0] == sizes[-2] == pytest.approx((87.6, 87.6), abs=0.5)
    assert sizes[-1] == pytest.approx((40, 48), abs=1e-3)
    assert made.box.center == pytest.approx((120, 100), abs=0.5)


def test_a_return_elsewhere_that_is_not_confirmed_is_none() -> None:
    made = searching(THERE, NOTHING)
    assert not made.update(IMAGE).accepted
    assert not made.update(IMAGE).accepted
    assert made.box == START


def test_without_a_threshold_no_other_position_is_searched() -> None:
    broken = {name: np.full_like(value, np.nan) for name, value in THERE.items()}
    made = tracker(*[broken] * (reacquire.PATIENCE + 1), THERE)
    made.policy = Policy(reacquire_positions=8)
    patches = [made.update(IMAGE) and made.network.patches[-1] for _ in range(reacquire.PATIENCE + 1)]  # type: ignore[attr-defined]
    assert all(np.array_equal(patch, patches[0]) for patch in patches)


def test_the_threshold_may_change_while_tracking() -> None:
    made = tracker(*[center_answer(0.5, 0.5, 0.25, 0.25, score=0.6)] * 2)
    assert made.update(IMAGE).state is State.TRACKING
    made.policy = Policy(lost_threshold=0.7)
    assert not made.update(IMAGE).accepted


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_maps_that_are_not_finite_are_lost(threshold: float) -> None:
    broken = center_answer(0.7, 0.7, 0.5, 0.5)
    broken["score"][0, 2, 2] = np.nan
    made = tracker(broken, center_answer(0.5, 0.5, 0.25, 0.25), threshold=threshold)
    lost = made.update(IMAGE)
    assert (lost.state, lost.score, lost.box) == (State.UNCERTAIN, 0.0, START)
    assert made.update(IMAGE).state is State.TRACKING


def test_a_threshold_of_zero_never_loses() -> None:
    made = tracker(center_answer(0.55, 0.5, 0.25, 0.25, score=1.2e-4))
    assert made.update(IMAGE).state is State.TRACKING


def test_a_tracker_shows_what_it_is_and_where() -> None:
    network = Scripted([])
    network.facts = SimpleNamespace(**dict.fromkeys(Facts.__slots__), description="ONNX on cpu")  # type: ignore[attr-defined]
    made = NetworkTracker("scripted", CENTER, network)  # type: ignore[arg-type]
    assert repr(made) == "<scripted without a target: ONNX on cpu>"
    made.init(IMAGE, START)
    assert repr(made) == "<scripted at (100, 80, 40, 40): ONNX on cpu>"


def test_one_session_advances_several_targets_at_once() -> None:
    """Each goes its own way, and gives what it would give alone."""
    right, down = center_answer(0.55, 0.5, 0.25, 0.25), center_answer(0.5, 0.55, 0.25, 0.25, score=0.3)
    network = Scripted([right, down])
    network.search = lambda cached, patch: next(network.answers)  # type: ignore[method-assign]
    session, policy = Session(CENTER, network), Policy(lost_threshold=0.5)  # type: ignore[arg-type]
    starts = [START, Box(200, 100, 40, 40)]
    targets = [session.start(IMAGE, box, policy, stamp_ns=10**9)[0] for box in starts]
    (first, seen), (second, lost) = session.advance(targets, IMAGE, policy, stamp_ns=3 * 10**9)
    assert (seen.state, lost.state) == (State.TRACKING, State.LOST), "not found for two seconds"
    assert seen.box.center == pytest.approx((128, 100), abs=1e-3)
    assert lost.box.center == pytest.approx((220, 128), abs=1e-3)
    assert (first.state.box, second.state.box) == (seen.box, starts[1])
    assert (first.state.lost_seconds, second.state.lost_seconds) == (0, 2)
    assert [target.state.box for target in targets] == starts, "targets are not changed in place"
    assert session.advance([], IMAGE, policy) == []


@pytest.mark.parametrize(("stamps", "seconds"), [((0, 2), 2), ((None, 2), 0), ((2, None), 0), ((3, 2), 0)])
def test_seconds_come_from_stamps_where_both_are_known(stamps: tuple[int | None, int | None], seconds: float) -> None:
    before, now = (None if stamp is None else stamp * 10**9 for stamp in stamps)
    made = tracker(NOTHING, threshold=0.5)
    made.init(IMAGE, START, before)
    made.update(IMAGE, now)
    assert made.state.lost_seconds == seconds


def test_one_network_serves_many_trackers() -> None:
    network = Scripted([center_answer(0.55, 0.5, 0.25, 0.25)] * 4)
    network.search = lambda cached, patch: next(network.answers)  # type: ignore[method-assign]
    first, second = (NetworkTracker("scripted", CENTER, network) for _ in range(2))  # type: ignore[arg-type]
    first.init(IMAGE, START)
    second.init(IMAGE[:200, :200], Box(40, 40, 40, 40))
    assert first.update(IMAGE).box.center == pytest.approx((128, 100), abs=1e-3)
    assert second.update(IMAGE[:200, :200]).box.center == pytest.approx((68, 60), abs=1e-3)
    assert first.update(IMAGE).box.center == pytest.approx((136, 100), abs=1e-3)


def test_recenter_moves_the_window_and_keeps_the_template() -> None:
    made = tracker(center_answer(0.5, 0.5, 0.25, 0.25))
    made.recenter(Box(200, 150, 40, 40))
    assert made.update(IMAGE).box.center == pytest.approx((220, 170), abs=1e-3)
    assert len(made.network.templates) == 1  # type: ignore[attr-defined]


BAD_BOXES = [
    (Box(math.nan, 0, 10, 10), "finite"),
    (Box(10, 10, 0, 10), "positive"),
    (Box(400, 10, 10, 10), "outside"),
    (Box(0, 0, 1e200, 1e200), "area"),
]


@pytest.mark.parametrize(("box", "why"), BAD_BOXES)
def test_a_bad_box_changes_nothing(box: Box, why: str) -> None:
    made = tracker(center_answer(0.5, 0.5, 0.25, 0.25))
    with pytest.raises(UserError, match=why):
        made.init(IMAGE, box)
    assert made.box == START
    assert made.update(IMAGE).state is State.TRACKING


@pytest.mark.parametrize(
    "image",
    [IMAGE[..., 0], np.dstack([IMAGE, IMAGE[..., :1]]), IMAGE.astype(np.float32), IMAGE[:0], None, "a.png"],
    ids=["grey", "four channels", "float", "empty", "none", "a name"],
)
def test_other_images_are_refused(image: np.ndarray) -> None:
    made = tracker(center_answer(0.5, 0.5, 0.25, 0.25))
    with pytest.raises(UserError, match="uint8"):
        made.init(image, START)
    with pytest.raises(UserError, match="uint8"):
        made.update(image)


def test_another_frame_size_is_refused() -> None:
    made = tracker(center_answer(0.5, 0.5, 0.25, 0.25))
    with pytest.raises(UserError, match=r"200x240.*320x240"):
        made.update(IMAGE[:, :200])
    assert made.update(IMAGE).state is State.TRACKING


def test_nothing_works_before_init() -> None:
    made = NetworkTracker("scripted", CENTER, Scripted([]))  # type: ignore[arg-type]
    for call in (lambda: made.update(IMAGE), lambda: made.box, lambda: made.recenter(START)):
        with pytest.raises(UserError, match="init"):
            call()


def test_a_second_init_starts_over() -> None:
    made = tracker(center_answer(0.5, 0.5, 0.25, 0.25))
    made.init(IMAGE[:100, :100], Box(20, 20, 30, 30))
    assert made.update(IMAGE[:100, :100]).box.center == pytest.approx((35, 35), abs=1e-3)


def test_far_box_of_the_published_loop_never_leaves_the_frame() -> None:
    """Whatever the maps hold, the next crop meets the frame."""
    rng = np.random.default_rng(3)
    answers = [center_answer(*rng.uniform(0, 0.99, 2), *rng.uniform(1e-4, 1, 2)) for _ in range(50)]
    made = tracker(*answers)
    for _ in answers:
        box = made.update(IMAGE).box
        assert box.w >= 10
        assert box.h >= 10
        assert box.intersection(Box(0, 0, WIDTH, HEIGHT)) == pytest.approx(box.area)


def with_second_peak(value: float) -> dict[str, np.ndarray]:
    """The target in the middle, and another peak six cells right and four below."""
    maps = center_answer(0.5, 0.5, 0.25, 0.25)
    maps["score"][0, 12, 14] = value
    return maps


@pytest.mark.parametrize(("score", "second", "known"), [(0.9, 0.6, True), (0.9, 0.1, False), (0.5, 0.4, False)])
def test_colours_of_a_look_alike_beside_a_sure_target_are_remembered(score: float, second: float, known: bool) -> None:
    """The look-alike of the target's own colours lies at 105 + 60, 85 + 40; all else is grey."""
    image = np.full_like(IMAGE, 128)
    for x, y, colour in ((100, 80, (0, 0, 255)), (165, 125, (0, 255, 0))):
        image[y : y + 40, x : x + 40] = colour
    answer = with_second_peak(second)
    answer["score"][0, 8, 8] = score
    answers = [answer, center_answer(14.5 / 16, 12.5 / 16, 0.25, 0.25)]
    made = NetworkTracker("scripted", CENTER, Scripted(answers), Policy(lost_threshold=0.4))  # type: ignore[arg-type]
    made.init(image, START)
    made.update(image)
    made.update(image)
    reported = made.state.features
    assert reported["differs_memory"] > 0.7
    assert (reported["nearer"] < -0.5) is known
    assert (reported["nearer"] == 0.4) is not known


def test_no_other_thread_ever_sees_a_negative_threshold() -> None:
    """The policy may be replaced while a `RealtimeTracker` runs in a thread of its own."""
    seen = []

    class Watched(Scripted):
        @property
        def lost_threshold(self) -> float:
            seen.append(made.lost_threshold)
            return 0.25

    made = NetworkTracker("scripted", CENTER, Watched([]), Policy(lost_threshold=0.5))  # type: ignore[arg-type]
    made.policy = Policy(lost_threshold=-1)
    assert seen == [0.5]
    assert made.lost_threshold == 0.25
