"""Draws pairs of template and search patch from a cache. Pair number i depends only on the seed and i."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from sot_tracker.catalog import NetworkSpec
from sot_tracker.datasets.records import XYWH
from sot_tracker.errors import UserError
from sot_tracker.train import augment, copy_paste, geometry, patterns
from sot_tracker.train.augment import Photometry
from sot_tracker.train.cache import Cache

MIN_SCENE = 120
"""Smallest side, in pixels, of a picture that is used as a background, unless all are smaller."""
MIN_TEXTURE = 18.0
"""Smallest standard deviation of grey levels of a random region; smoother ones could not be found again."""

STAND_IN = 0.7
"""Share of pasted pairs without the target that show another object at its place, so that an object in the middle does
not mean that the target is present."""
CROWD = 5
"""Number of other objects in the search patch of a crowded pair."""
OTHER_PATTERNS = 3
"""Number of other blobs in the search patch of a pair of generated patterns."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How pairs are drawn; the default is the published recipe (fact sheets, training section).

    weights: relative weight per source; sources that are not named get 0. If empty, all sources have the same weight.
    max_gap: largest number of frames between template and search. causal: only search frames after the template's.
    paste, region, pattern: shares of pairs made of cut-out objects on other scenes, of random regions of pictures, and
        of generated patterns.
    negative: share of pairs without the target in the search patch. distractors: largest number of look-alikes in a
        search patch.
    crowd: share of pasted pairs with `CROWD` other objects around the target and no look-alike, so that only the
        template tells which one is the target.
    """

    size_jitter: float = 0.25
    shift_jitter: float = 3.0
    max_gap: int = 200
    causal: bool = True
    weights: dict[str, float] = field(default_factory=dict)
    paste: float = 0.0
    region: float = 0.0
    pattern: float = 0.0
    negative: float = 0.0
    distractors: int = 0
    crowd: float = 0.0
    occlusion: float = 0.0
    bend: float = 0.0  # largest spread of the shifts that bend a pasted object between both, in sizes of the object
    turn: float = 0.0  # radians, standard deviation between template and search
    stretch: float = 0.0  # standard deviation of the aspect's logarithm between template and search
    joint_flip: float = 0.5
    flip: float = 0.5  # each crop on its own
    photometry: Photometry = field(default_factory=Photometry)

    def __post_init__(self) -> None:
        kinds, others = ("paste", "region", "pattern"), ("negative", "crowd")
        shares = {name: getattr(self, name) for name in (*kinds, *others)}
        together = sum(shares[name] for name in kinds)
        if not all(0 <= share <= 1 for share in (*shares.values(), together)):  # NaN is refused too
            given = ", ".join(f"{name}={share:g}" for name, share in shares.items())
            raise UserError(f"{given}: give shares within 0..1, those of {', '.join(kinds)} together at most 1")


@dataclass(frozen=True, slots=True)
class Pair:
    """template, search: S x S x 3 uint8 RGB. box: x, y, w, h in fractions of the search patch, zeros if not present."""

    template: np.ndarray
    search: np.ndarray
    box: np.ndarray
    present: bool


class PairSampler:
    """Draws pairs from the tracks of a cache.

    tracks: indices of the tracks to use (a split). spec: of the network; crops are made as in its tracker.
    template_size, search_size: of the patches, pixels. seed: determines a pair, together with its number.
    """

    def __init__(
        self,
        cache: Cache,
        tracks: np.ndarray,
        how: Sampling,
        spec: NetworkSpec,
        template_size: int,
        search_size: int,
        seed: int,
    ) -> None:
        self.cache, self.how, self.spec, self.seed = cache, how, spec, seed
        self.template_size, self.search_size = template_size, search_size
        annotated = ~np.isnan(cache.index["box"][:, 0])
        mine = np.isin(cache.index["track"], tracks)
        self.cutouts = copy_paste.Cutouts(cache, np.flatnonzero(annotated & mine))
        large = mine & (cache.index["height"] >= MIN_SCENE) & (cache.index["width"] >= MIN_SCENE)
        kept = large if large.any() else mine
        self.scenes = self._by_group(np.flatnonzero(kept))
        usable = [t for t in tracks if annotated[slice(*cache.ranges[t])].any()]
        self.groups = self._by_source(usable)
        self.shares = _shares(how.weights, list(self.groups))

    def _by_group(self, entries: np.ndarray) -> list[np.ndarray]:
        """The entries grouped by video or still picture, so that one with a hundred objects counts as one scene."""
        groups: dict[str, list[int]] = {}
        for entry in entries:
            groups.setdefault(self.cache.tracks[self.cache.index["track"][entry]]["group"], []).append(entry)
        return [np.array(own) for own in groups.values()]

    def _by_source(self, tracks: list[int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Source -> its tracks and their probabilities, proportional to the root of their lengths."""
        names: dict[str, list[int]] = {}
        for track in tracks:
            names.setdefault(self.cache.tracks[track]["source"], []).append(track)
        lengths = np.sqrt(np.diff(self.cache.ranges, axis=1)[:, 0])
        return {name: (np.array(own), lengths[own] / lengths[own].sum()) for name, own in sorted(names.items())}

    def pair(self, number: int) -> Pair:
        rng = np.random.default_rng((self.seed, number))
        kind, negative = rng.random(), bool(rng.random() < self.how.negative)
        if kind < self.how.paste and len(self.cutouts.entries):
            found = self._pasted(rng, negative)
        elif kind < self.how.paste + self.how.region:
            found = self._real(rng, negative, region=True)
        elif kind < self.how.paste + self.how.region + self.how.pattern:
            found = self._generated(rng, negative)
        else:
            found = self._real(rng, negative, region=False)
        return self._finish(*found, rng)

    def _finish(self, template: np.ndarray, search: np.ndarray, box: XYWH | None, rng: np.random.Generator) -> Pair:
        """Augment both patches in the published order: grey and flip of both, then light, optics and flip of each."""
        how, light = self.how, self.how.photometry
        joint = rng.random(2) < (light.grey, how.joint_flip)
        patches = []
        for patch in (template, search):
            patch = augment.grey(patch) if joint[0] else patch
            patch = augment.optics(augment.light(patch, light, rng), light, rng)
            flipped = bool(joint[1]) ^ bool(rng.random() < how.flip)
            patches.append(np.ascontiguousarray((cv2.flip(patch, 1) if flipped else patch)[..., ::-1]))
        if box is None:
            return Pair(patches[0], patches[1], np.zeros(4, np.float32), False)
        if flipped:
            box = (search.shape[1] - box[0] - box[2], *box[1:])
        return Pair(patches[0], patches[1], np.array(geometry.fractions(box, search.shape[0]), np.float32), True)

    def _scene(self, rng: np.random.Generator) -> int:
        """An entry large enough to be a background. All videos and stills are equally likely, whatever their length."""
        return int(rng.choice(self.scenes[rng.integers(len(self.scenes))]))

    def entries(self, rng: np.random.Generator) -> tuple[int, int]:
        """A template and a search entry of one track, at most `max_gap` frames apart; else the nearest frame."""
        tracks, shares = self.groups[rng.choice(list(self.groups), p=self.shares)]
        start, end = self.cache.ranges[rng.choice(tracks, p=shares)]
        first = int(rng.integers(start, end))
        numbers = self.cache.index["number"][start:end].astype(int) - int(self.cache.index["number"][first])
        low = 1 if self.how.causal else -self.how.max_gap
        near = np.flatnonzero((numbers >= low) & (numbers <= self.how.max_gap) & (numbers != 0))
        if len(near) == 0:
            others = np.abs(numbers) + np.where(numbers == 0, 1 << 30, 0)
            near = np.array([int(np.argmin(others))])
        return first, int(start + rng.choice(near))

    def _region(self, rng: np.random.Generator) -> tuple[int, XYWH]:
        """A random textured box in a random picture; after 50 smooth ones, the last one."""
        for _ in range(50):
            entry = self._scene(rng)
            picture = self.cache.picture(entry)
            height, width = picture.shape[:2]
            side, aspect = min(height, width) * rng.uniform(0.1, 0.4), math.exp(rng.normal(0, 0.35))
            w, h = min(side * math.sqrt(aspect), 0.8 * width), min(side / math.sqrt(aspect), 0.8 * height)
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            if picture[int(y) : int(y + h), int(x) : int(x + w), 1].std() > MIN_TEXTURE:
                break
        return entry, (x, y, w, h)

    def _real(
        self, rng: np.random.Generator, negative: bool, region: bool
    ) -> tuple[np.ndarray, np.ndarray, XYWH | None]:
        """Two crops of unchanged pictures: two frames of a track, one still picture twice, or a random region."""
        if region:
            first, box_t = self._region(rng)
            second, box_s = first, box_t
        else:
            first, second = self.entries(rng)
            box_t, box_s = self.cache.box(first), self.cache.box(second)
        template = self._template(first, box_t)
        if negative and rng.random() < 0.5:
            other = self._region(rng) if region else self._other(rng)
            template = self._template(*other)
        elif negative:
            box_s = _beside(box_s, 0.5 * self._side(box_s, self.spec.search_factor), rng)
        return self._search(template, second, box_s, negative, rng)

    def _other(self, rng: np.random.Generator) -> tuple[int, XYWH]:
        entry, _ = self.entries(rng)
        return entry, self.cache.box(entry)

    def _side(self, box: XYWH, factor: float) -> float:
        return geometry.square_side(self.spec.crop, box[2], box[3], factor)

    def _template(self, entry: int, box: XYWH) -> np.ndarray:
        center = (box[0] + 0.5 * box[2], box[1] + 0.5 * box[3])
        side = math.ceil(self._side(box, self.spec.template_factor))
        return self._patch(entry, geometry.crop(center, side, self.template_size), self.template_size)

    def _patch(self, entry: int, affine: geometry.Affine, out: int) -> np.ndarray:
        picture = self.cache.picture(entry)
        return geometry.warp(picture, affine, out, geometry.padding(self.spec.crop, picture))[..., :3]

    def _search(
        self, template: np.ndarray, entry: int, box: XYWH, negative: bool, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, XYWH | None]:
        how, out = self.how, self.search_size
        near = geometry.jitter(box, how.size_jitter, how.shift_jitter, rng)
        angle, aspect = rng.normal(0, how.turn), math.exp(rng.normal(0, how.stretch))
        side = math.ceil(self._side(near, self.spec.search_factor))
        affine = geometry.crop((near[0] + 0.5 * near[2], near[1] + 0.5 * near[3]), side, out, angle, aspect)
        patch = self._patch(entry, affine, out)
        moved = geometry.move_box(box, affine)
        patch = self._clutter(patch, moved, None, rng)
        return template, patch, None if negative else moved

    def _clutter(
        self, patch: np.ndarray, box: XYWH, like: copy_paste.Cutout | None, rng: np.random.Generator
    ) -> np.ndarray:
        count = int(rng.integers(0, self.how.distractors + 1)) if rng.random() < (0.7 if like else 0.25) else 0
        if count and len(self.cutouts.entries):
            covered = 0.35 if like else 0.15  # the true box of a pasted object is exact, even if a part of it is hidden
            patch = copy_paste.distractors(patch, box, self.cutouts.draw, like, count, rng, covered)
        if rng.random() < self.how.occlusion:
            patch = copy_paste.occluder(patch, box, self.cache.picture(self._scene(rng)), rng)
        return patch

    def _pasted(self, rng: np.random.Generator, negative: bool) -> tuple[np.ndarray, np.ndarray, XYWH | None]:
        """A cut-out object in front of two scenes, or twice in front of the same one."""
        how, small, large = self.how, self.template_size, self.search_size
        seen, again = self._views(rng)
        if how.bend:
            again = copy_paste.bent(again, rng.uniform(0, how.bend), rng)
        scene = self.cache.picture(self._scene(rng))
        other_scene = scene if rng.random() < 0.6 else self.cache.picture(self._scene(rng))
        angle, aspect, flip = rng.normal(0, 0.25), math.exp(rng.normal(0, 0.2)), bool(rng.random() < 0.5)
        side = self._pasted_side(seen, small, self.spec.template_factor, angle, aspect, flip)
        affine = copy_paste.target_map(seen, (small / 2, small / 2), side, angle, aspect, flip)
        template = copy_paste.paste(copy_paste.background(other_scene, small, rng), seen, affine)
        grown, shift = math.exp(rng.normal(0, how.size_jitter)), rng.random(2) - 0.5
        angle, aspect = angle + rng.normal(0, how.turn), aspect * math.exp(rng.normal(0, how.stretch))
        side = grown * self._pasted_side(again, large, self.spec.search_factor, angle, aspect, flip)
        x, y = (large / 2 + how.shift_jitter * side * shift).tolist()
        box = again.bounds(copy_paste.target_map(again, (x, y), side, angle, aspect, flip))
        search = copy_paste.background(scene, large, rng)
        shown: copy_paste.Cutout | None = again
        if negative:
            shown = self.cutouts.draw(rng) if rng.random() < STAND_IN else None
        crowded = bool(how.crowd) and bool(rng.random() < how.crowd)
        if shown is not None:
            behind = CROWD if crowded else int(rng.integers(0, how.distractors + 1))
            like = None if negative or crowded else again
            search = copy_paste.distractors(search, box, self.cutouts.draw, like, behind, rng, covered=1.0)
            search = copy_paste.paste(search, shown, copy_paste.target_map(shown, (x, y), side, angle, aspect, flip))
        like = None if crowded or (negative and rng.random() < 0.5) else again  # a look-alike alone is not the target
        return template, self._clutter(search, box, like, rng), None if negative else box

    def _generated(self, rng: np.random.Generator, negative: bool) -> tuple[np.ndarray, np.ndarray, XYWH | None]:
        """A generated blob on one scene, and on another scene among `OTHER_PATTERNS` other blobs."""
        target, how, small, large = patterns.cutout(rng), self.how, self.template_size, self.search_size
        angle, aspect, flip = rng.normal(0, 0.25), math.exp(rng.normal(0, 0.2)), False
        side = self._pasted_side(target, small, self.spec.template_factor, angle, aspect, flip)
        middle = (small / 2, small / 2)
        template = copy_paste.paste(
            patterns.scene(small, rng), target, copy_paste.target_map(target, middle, side, angle, aspect, flip)
        )
        angle, aspect = angle + rng.normal(0, how.turn), aspect * math.exp(rng.normal(0, how.stretch))
        side = self._pasted_side(target, large, self.spec.search_factor, angle, aspect, flip)
        side *= math.exp(rng.normal(0, how.size_jitter))
        x, y = (large / 2 + how.shift_jitter * side * (rng.random(2) - 0.5)).tolist()
        affine = copy_paste.target_map(target, (x, y), side, angle, aspect, flip)
        box = target.bounds(affine)
        search = copy_paste.distractors(
            patterns.scene(large, rng), box, patterns.cutout, None, OTHER_PATTERNS, rng, covered=1.0
        )
        shown = patterns.cutout(rng) if negative else target
        search = copy_paste.paste(search, shown, affine)
        return template, search, None if negative else box

    def _pasted_side(
        self, cutout: copy_paste.Cutout, out: int, factor: float, angle: float, aspect: float, flip: bool
    ) -> float:
        """sqrt(w h) of the object, rotated and stretched, in a patch of `out` pixels that a tracker crops around it."""
        box = cutout.bounds(copy_paste.target_map(cutout, (0.0, 0.0), 1.0, angle, aspect, flip))
        return out / self._side(box, factor)

    def _views(self, rng: np.random.Generator) -> tuple[copy_paste.Cutout, copy_paste.Cutout]:
        """Two views of one object: from two frames of its track if both have masks, otherwise the same view twice."""
        entry = self.cutouts.draw_entry(rng)
        start, end = self.cache.ranges[self.cache.index["track"][entry]]
        later = int(rng.integers(max(start, entry - 10), min(end, entry + 11)))
        seen, again = self.cutouts.get(entry), None
        if self.cache.index["channels"][later] == 4:
            again = self.cutouts.get(later)
        if seen is None:
            seen = self.cutouts.draw(rng)
            again = None
        return seen, again or seen


def _shares(weights: dict[str, float], names: list[str]) -> np.ndarray:
    """Probabilities of the sources `names`. Raises UserError for a weight of an unknown source."""
    unknown = sorted(set(weights) - set(names))
    given = np.array([weights.get(name, 0.0) if weights else 1.0 for name in names])
    if unknown or not given.min() >= 0 or not 0 < given.sum() < math.inf:
        raise UserError(f"weights {weights} do not fit the sources {', '.join(names)}: give positive shares of these")
    shares: np.ndarray = given / given.sum()
    return shares


def _beside(box: XYWH, reach: float, rng: np.random.Generator) -> XYWH:
    """A box so far to one side that a search crop of side 2 `reach` around it does not show the target, even after the
    search jitter (facts: at most 1.5 sizes).
    """
    away = reach + 2.2 * math.sqrt(box[2] * box[3])
    angle = rng.uniform(0, 2 * math.pi)
    return (box[0] + away * math.cos(angle), box[1] + away * math.sin(angle), box[2], box[3])
