"""Pairs: where the target is, how far frames are apart, what repeats."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from sot_tracker.box import Box
from sot_tracker.catalog import NetworkSpec
from sot_tracker.crop import channel_average, crop_average, crop_black
from sot_tracker.errors import UserError
from sot_tracker.train import copy_paste, geometry, patterns, sampling
from sot_tracker.train.augment import Photometry
from sot_tracker.train.cache import ENTRY, Cache
from sot_tracker.train.recipe import SCRATCH_SAMPLING
from sot_tracker.train.sampling import PairSampler, Sampling

PLAIN = Sampling(joint_flip=0, flip=0, photometry=Photometry(grey=0, brightness=0))


BLACK, AVERAGE = NetworkSpec("center"), NetworkSpec("token", crop="average")


def sampler(cache, how=PLAIN, seed=0, tracks=None, spec=BLACK):
    return PairSampler(cache, np.arange(len(cache.tracks)) if tracks is None else tracks, how, spec, 128, 256, seed)


def orange(patch):
    """Bounds x, y, w, h of the trees' target frame, whose colour is (250, 90, 40) in RGB."""
    found = (patch[..., 0] > 200) & (patch[..., 1] < 130) & (patch[..., 2] < 80)
    rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
    return columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]


def videos(cache):
    return np.array([i for i, t in enumerate(cache.tracks) if t["source"] == "clip"])


@pytest.mark.parametrize(
    "how", [PLAIN, dataclasses.replace(PLAIN, joint_flip=1.0), dataclasses.replace(PLAIN, flip=1.0)]
)
def test_box_lies_on_the_target(small_cache, how):
    pairs, checked = sampler(small_cache, how, tracks=videos(small_cache)), 0
    for number in range(40):
        pair = pairs.pair(number)
        x, y, w, h = pair.box * 256 + (0.5, 0.5, 0, 0)  # the published half pixel
        if min(x, y) < 2 or x + w > 254 or y + h > 254:
            continue
        assert orange(pair.search) == pytest.approx((x, y, w, h), abs=4)
        checked += 1
    assert checked > 10


def test_template_shows_the_target_in_its_middle(small_cache):
    pair = sampler(small_cache, tracks=videos(small_cache)).pair(0)
    x, y, w, h = orange(pair.template)
    assert (x + w / 2, y + h / 2) == pytest.approx((64, 64), abs=2)
    assert np.sqrt(w * h) == pytest.approx(64, abs=2)


def deployed(image, box, spec):
    """The search crop as the tracker takes it."""
    box = Box(*(float(v) for v in box))
    if spec.crop == "black":
        return crop_black(image, box, spec.search_factor, 256)
    return crop_average(image, box, spec.search_factor, 256, channel_average(image))


@pytest.mark.parametrize("spec", [BLACK, AVERAGE], ids=["black", "average"])
@pytest.mark.parametrize("shape", [(40, 40), (90, 20), (13, 71)])
def test_square_is_the_deployed_one(spec, shape):
    side = geometry.square_side(spec.crop, *shape, spec.search_factor)
    assert np.ceil(side) == deployed(np.zeros((200, 200, 3), np.uint8), (100, 100, *shape), spec).side


@pytest.mark.parametrize("spec", [BLACK, AVERAGE], ids=["black", "average"])
def test_pairs_are_cropped_as_deployed(small_cache, spec, monkeypatch):
    """Of an elongated box at the picture's border, where the two conventions differ most."""
    (track,) = videos(small_cache)[:1]
    entry = int(small_cache.ranges[track][0])
    image = small_cache.picture(entry)[..., :3]
    box = (2.0, image.shape[0] - 24.0, 60.0, 20.0)
    monkeypatch.setattr(type(small_cache), "box", lambda *_: box)
    monkeypatch.setattr(PairSampler, "entries", lambda *_: (entry, entry))
    how = dataclasses.replace(PLAIN, size_jitter=0, shift_jitter=0)
    pair = sampler(small_cache, how, tracks=np.array([track]), spec=spec)._real(np.random.default_rng(0), False, False)
    _, patch, (x, y, w, h) = pair
    crop = deployed(image, box, spec)
    outside = [0, -1, -1], [0, 0, -1]
    corners = crop.patch[..., ::-1][outside].astype(int)
    assert patch[outside].astype(int) == pytest.approx(corners, abs=1), "the trackers round, training cuts"
    assert (w, h) == pytest.approx((60 * 256 / crop.side, 20 * 256 / crop.side), rel=1e-6)
    assert (x + w / 2, y + h / 2) == pytest.approx((128, 128))


def test_pasted_targets_are_as_large_as_deployed(small_cache):
    how = dataclasses.replace(PLAIN, paste=1.0, size_jitter=0.0)
    for spec in (BLACK, AVERAGE):
        pairs = sampler(small_cache, how, spec=spec)
        for number in range(5):
            _, _, w, h = pairs.pair(number).box
            side = geometry.square_side(spec.crop, float(w), float(h), spec.search_factor)
            assert side == pytest.approx(1.0, abs=1e-4)


PATTERNS = dataclasses.replace(PLAIN, pattern=1.0, size_jitter=0.0, shift_jitter=2.0)


def alike(patch, template, box):
    """Mean difference of a box's picture to the target's in the template, grey levels."""
    x, y, w, h = (round(float(v)) for v in box)
    if x < 0 or y < 0 or x + w > 256 or y + h > 256:
        return None
    middle = cv2.resize(template[32:96, 32:96], (w, h)).astype(float)
    return np.abs(patch[y : y + h, x : x + w] - middle)[h // 4 : -h // 4, w // 4 : -w // 4].mean()


def test_the_target_of_a_pattern_pair_looks_as_in_the_template_and_nothing_else_does(small_cache):
    pairs, right, wrong = sampler(small_cache, PATTERNS), [], []
    for number in range(40):
        pair = pairs.pair(number)
        box = pair.box * 256 + (0.5, 0.5, 0, 0)
        right.append(alike(pair.search, pair.template, box))
        wrong.append(alike(pairs.pair(number + 100).search, pair.template, box))
        assert pair.present
    right, wrong = ([v for v in values if v is not None] for values in (right, wrong))
    assert len(right) > 20
    assert np.mean(right) < 25
    assert np.mean(wrong) > 50


def test_a_negative_pattern_pair_shows_another_blob_in_the_targets_place(small_cache):
    pairs = sampler(small_cache, dataclasses.replace(PATTERNS, negative=1.0))
    assert not any(pairs.pair(number).present for number in range(5))
    assert pairs.pair(0).search.std() > 10


def test_blobs_differ_and_fill_their_hull():
    first, second = (patterns.cutout(np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.array_equal(first.picture, second.picture)
    for blob in (first, second):
        assert 0.2 < (blob.picture[..., 3] == 255).mean() < 0.8
        assert len(np.unique(blob.picture[..., :3].reshape(-1, 3), axis=0)) == 2
        low, high = blob.points.min(0), blob.points.max(0)
        assert (low >= 0).all()
        assert (high <= patterns.SIDE).all()


def test_pair_depends_on_seed_and_number_alone(small_cache):
    one, two = sampler(small_cache, SCRATCH_SAMPLING), sampler(small_cache, SCRATCH_SAMPLING)
    for number in (3, 1, 7):
        a, b = one.pair(number), two.pair(number)
        assert (a.search == b.search).all()
        assert (a.template == b.template).all()
        assert (a.box == b.box).all()
    assert (sampler(small_cache, seed=1).pair(3).search != one.pair(3).search).any()


@pytest.mark.parametrize(("causal", "gap"), [(True, 2), (False, 3), (False, 1)])
def test_frames_are_at_most_the_gap_apart(small_cache, causal, gap):
    pairs = sampler(small_cache, dataclasses.replace(PLAIN, causal=causal, max_gap=gap), tracks=videos(small_cache))
    steps = set()
    for seed in range(200):
        first, second = pairs.entries(np.random.default_rng(seed))
        number = small_cache.index["number"]
        if causal and number[first] == 5:  # the last frame has nothing after it: the nearest other one
            continue
        steps.add(int(number[second]) - int(number[first]))
    wanted = set(range(1, gap + 1)) | (set() if causal else set(range(-gap, 0)))
    assert steps == wanted


def test_stills_give_both_patches(small_cache):
    still = np.array([i for i, t in enumerate(small_cache.tracks) if t["source"] == "still"])
    assert sampler(small_cache, tracks=still).entries(np.random.default_rng(0))[0] == small_cache.ranges[still[0]][0]


def test_weights_choose_the_sources(small_cache):
    pairs = sampler(small_cache, dataclasses.replace(PLAIN, weights={"still": 1.0}))
    entries = {pairs.entries(np.random.default_rng(i))[0] for i in range(20)}
    assert {small_cache.tracks[small_cache.index["track"][e]]["source"] for e in entries} == {"still"}


def test_share_of_negatives(small_cache):
    pairs = sampler(small_cache, dataclasses.replace(PLAIN, negative=0.5), tracks=videos(small_cache))
    absent = [pair for pair in map(pairs.pair, range(80)) if not pair.present]
    assert 25 < len(absent) < 55
    assert all((pair.box == 0).all() for pair in absent)


@pytest.mark.parametrize("kind", [{"paste": 1.0}, {"region": 1.0}, {"paste": 1.0, "distractors": 4, "occlusion": 1.0}])
def test_made_pairs_are_whole(small_cache, kind):
    pairs = sampler(
        small_cache, dataclasses.replace(SCRATCH_SAMPLING, **{"paste": 0.0, "region": 0.0, "negative": 0.0, **kind})
    )
    for number in range(15):
        pair = pairs.pair(number)
        assert pair.template.shape == (128, 128, 3)
        assert pair.search.shape == (256, 256, 3)
        assert pair.present
        x, y, w, h = pair.box
        assert 0 < w < 1.5
        assert 0 < h < 1.5
        assert -0.2 < x + w / 2 < 1.2
        assert -0.2 < y + h / 2 < 1.2


def test_pasted_object_fills_its_box(small_cache):
    """The still's whole rectangle is its mask: pasted upright on black, what is not black is the box."""
    entry = int(np.flatnonzero(small_cache.index["channels"] == 4)[0])
    cutout = copy_paste.Cutouts(small_cache, np.array([entry])).get(entry)
    affine = copy_paste.target_map(cutout, (100, 90), 60, 0.0, 1.5, False)
    patch = copy_paste.paste(np.zeros((256, 256, 3), np.uint8), cutout, affine)
    x, y, w, h = cutout.bounds(affine)
    assert (x + w / 2, y + h / 2) == pytest.approx((100, 90), abs=0.01)
    assert np.sqrt(w * h) == pytest.approx(60, abs=0.01)
    rows, columns = np.flatnonzero(patch.any((1, 2))), np.flatnonzero(patch.any((0, 2)))
    assert (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1) == pytest.approx((x, x + w, y, y + h), abs=2.5)


def test_long_video_is_cut_out_by_the_root_of_its_length():
    index = np.zeros(10, ENTRY)
    index["box"], index["channels"], index["track"] = (0, 0, 20, 20), 4, [0] * 9 + [1]
    cutouts = copy_paste.Cutouts(Cache(np.zeros(0), index, [], np.array([[0, 9], [9, 10]]), {}), np.arange(10))
    rng = np.random.default_rng(0)
    drawn = np.bincount([cutouts.draw_entry(rng) for _ in range(4000)], minlength=10)
    assert drawn[9] / 4000 == pytest.approx(1 / (3 + 1), abs=0.03)
    assert drawn[:9].min() > 0.7 * drawn[:9].max()


def test_bent_object_changes_shape_and_its_outline_follows(small_cache):
    entry = int(np.flatnonzero(small_cache.index["channels"] == 4)[0])
    straight = copy_paste.Cutouts(small_cache, np.array([entry])).get(entry)
    for seed in range(5):
        bent = copy_paste.bent(straight, 0.08, np.random.default_rng(seed))
        columns, rows = (np.flatnonzero((bent.picture[..., 3] > 127).any(axis)) for axis in (0, 1))
        found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert (*bent.points.min(0), *bent.points.max(0)) == pytest.approx(found)
        area, before = ((c.picture[..., 3] > 127).sum() for c in (bent, straight))
        assert 0.5 < area / before < 1.6
        filled = [(c.picture[..., 3] > 127).sum() / np.prod(np.ptp(c.points, axis=0)) for c in (bent, straight)]
        assert filled[0] < 0.97 < filled[1], "a rectangle is no longer one"


def test_every_video_and_every_still_is_one_scene(small_cache):
    pairs = sampler(small_cache, SCRATCH_SAMPLING)
    groups = [{small_cache.tracks[small_cache.index["track"][e]]["group"] for e in scene} for scene in pairs.scenes]
    assert all(len(names) == 1 for names in groups)
    assert len(set.union(*groups)) == len(groups)


def test_occluder_hides_a_part_of_the_box():
    patch, texture = np.zeros((256, 256, 3), np.uint8), np.full((200, 200, 3), 255, np.uint8)
    for seed in range(10):
        covered = copy_paste.occluder(patch, (100, 110, 50, 40), texture, np.random.default_rng(seed))
        share = (covered[110:150, 100:150, 0] > 0).mean()
        assert 0.02 < share < 0.75


def test_jitter_is_the_published_one():
    rng = np.random.default_rng(0)
    boxes = np.array([geometry.jitter((10, 20, 40, 90), 0.25, 3.0, rng) for _ in range(4000)])
    assert np.log(boxes[:, 2] / 40).std() == pytest.approx(0.25, rel=0.05)
    shift = (boxes[:, 0] + boxes[:, 2] / 2 - 30) / np.sqrt(boxes[:, 2] * boxes[:, 3])
    assert np.abs(shift).max() <= 1.5
    assert shift.std() == pytest.approx(3 / np.sqrt(12), rel=0.05)


@pytest.mark.parametrize("shares", [{"paste": 0.8, "region": 0.3}, {"negative": 1.5}, {"region": -0.1}, {"crowd": 2}])
def test_shares_that_make_no_sense(shares):
    with pytest.raises(UserError, match=r"within 0\.\.1"):
        Sampling(**shares)


@pytest.fixture
def without_target(small_cache):
    return sampler(small_cache, dataclasses.replace(SCRATCH_SAMPLING, paste=1.0, region=0.0, negative=1.0))


def test_patches_without_the_target_may_show_a_look_alike(without_target, monkeypatch):
    shown = []

    def distractors(patch, box, cutouts, like, *rest, **more):
        shown.append(like)
        return patch

    monkeypatch.setattr(copy_paste, "distractors", distractors)
    assert not any(without_target.pair(number).present for number in range(60))
    assert {like is None for like in shown} == {True, False}


def test_patches_without_the_target_mostly_show_another_object_in_its_place(without_target, monkeypatch):
    pasted = []

    def paste(patch, cutout, affine):
        pasted.append((len(patch), cutout.bounds(affine)))
        return patch

    monkeypatch.setattr(copy_paste, "distractors", lambda patch, *rest, **more: patch)
    monkeypatch.setattr(copy_paste, "paste", paste)
    for number in range(100):
        without_target.pair(number)
    places = [(x + w / 2, y + h / 2) for size, (x, y, w, h) in pasted if size == 256]
    assert len(places) == pytest.approx(100 * sampling.STAND_IN, abs=12)
    assert np.abs(np.array(places) - 128).max() < 150, "where targets are"
    assert np.abs(np.array(places) - 128).mean() > 10, "not always in the middle"


def test_in_a_crowd_only_the_template_tells_the_target(small_cache, monkeypatch):
    """Five others before and none like it, where elsewhere look-alikes come back in other colours."""
    given = []

    def distractors(patch, box, cutouts, like, count, *rest, **more):
        given.append((like, count))
        return patch

    monkeypatch.setattr(copy_paste, "distractors", distractors)
    how = dataclasses.replace(SCRATCH_SAMPLING, paste=1.0, region=0.0, negative=0.0, crowd=1.0)
    pairs = sampler(small_cache, how)
    for number in range(30):
        before = len(given)
        assert pairs.pair(number).present
        assert given[before] == (None, sampling.CROWD)
    assert {like for like, _ in given} == {None}
    given.clear()
    sampler(small_cache, dataclasses.replace(how, crowd=0.0)).pair(0)
    assert given[0][0] is not None
