"""Networks at work on frames: crop, search, decode, step, in that order, for any number of targets.

`Session` holds no target: it turns targets and a frame into targets and estimates.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sot_tracker import heap
from sot_tracker.box import Box, BoxLike, require_trackable
from sot_tracker.calibration import Calibration
from sot_tracker.crop import Average, Crop, channel_average, crop_average, crop_black
from sot_tracker.decode import DECODERS, Decoded, Maps
from sot_tracker.manifest import FEATURES
from sot_tracker.tracker import Estimate, Image, Policy, State, frame_size, require_size, require_stamp, seconds_between
from sot_tracker.tracking import colour, expectation, fusion, second_opinion
from sot_tracker.tracking import step as loop
from sot_tracker.tracking.blas import in_one_thread
from sot_tracker.tracking.colour import Colours
from sot_tracker.tracking.confidence import read_maps
from sot_tracker.tracking.expectation import Expectation
from sot_tracker.tracking.feature_network import FeatureNetwork
from sot_tracker.tracking.second_opinion import Opinion, Seen
from sot_tracker.tracking.state import Measurement, SearchWindow, TargetState

if TYPE_CHECKING:
    from sot_tracker.catalog import NetworkSpec
    from sot_tracker.engines.network import Network

RIVAL = 0.25
"""Share of the highest peak from which on the second one is a look-alike whose colours are worth knowing."""


@dataclass(frozen=True, slots=True)
class Target:
    """One followed target.

    template: what the network knows of it, an opaque value. average: of the first frame, for HCAT's padding. stamp_ns:
    of the newest frame, None where unknown. colours: of the target, for the probability; None leaves them out.
    flow: what `expectation.py` remembers of the newest frame; None for nothing. opinion: the filter that learns it;
    None without a second opinion.
    """

    template: Any
    average: Average
    state: TargetState
    stamp_ns: int | None = None
    colours: Colours | None = None
    flow: fusion.FlowState | None = None
    opinion: Opinion | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """What one search for one target gave. second: the response of the target's filter, None where none looked."""

    measurement: Measurement
    second: Seen | None


class Session:
    """One network and how it is used; the targets are the caller's, and immutable.

    exact_padding: HCAT's unrounded float padding, for comparison with the published numbers on engines that take float
        patches; the default rounds it to the grey levels that an exported graph takes.
    calibration: what makes a probability of the network's maps; None leaves the score to judge by.
    features: of search patches, for a second opinion (`second_opinion.py`); None leaves the network alone.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        network: Network,
        exact_padding: bool = False,
        calibration: Calibration | None = None,
        features: FeatureNetwork | None = None,
    ) -> None:
        self._spec = spec
        self._network = network
        self._dtype = np.float32 if exact_padding else np.uint8
        self._calibration = calibration
        self._features = features
        self._clip = loop.clip_box if spec.crop == "black" else loop.clip_center

    @in_one_thread
    def start(self, image: Image, box: BoxLike, policy: Policy, stamp_ns: int | None = None) -> tuple[Target, Estimate]:
        """A new target; the box is used as given, not clipped.

        Raises UserError unless the image is H x W x 3 uint8 and the box finite, of positive size and at least partly
        inside.
        """
        size = height, width = frame_size(image)
        require_stamp(stamp_ns)
        box = require_trackable(box, width, height)
        begin = time.perf_counter()
        average = channel_average(image) if self._spec.crop == "average" else (0.0, 0.0, 0.0)
        crop = self._crop(image, box, average, self._spec.template_factor, self._spec.template_size)
        cropped = time.perf_counter()
        target = Target(self._network.template(crop.patch), average, loop.start(box, size), stamp_ns)
        target = replace(target, colours=colour.start(image, box))
        times = {"crop": 1e3 * (cropped - begin), "template": 1e3 * (time.perf_counter() - cropped)}
        if policy.init_size_correction > 0:
            (look,), spent = self._search(image, [(target, SearchWindow(box))])
            target = replace(target, state=loop.calibrated(target.state, look.measurement))
            times = {**times, **spent, "crop": times["crop"] + spent["crop"]}
        if policy.search_around == "expected":
            target = replace(target, flow=fusion.start(image, box))
        if self._features is not None:
            begin = time.perf_counter()
            target = replace(target, opinion=self._opinion(image, box, target.average, self._features))
            heap.give_back()  # some 10 MB that learning took
            times["opinion"] = 1e3 * (time.perf_counter() - begin)
        return target, Estimate(box, 1.0, State.TRACKING, times)

    @in_one_thread
    def advance(
        self, targets: Sequence[Target], image: Image, policy: Policy, stamp_ns: int | None = None
    ) -> list[tuple[Target, Estimate]]:
        """The targets after the next frame, in their order, each with its estimate.

        policy: its threshold must not be negative. The estimates' times "flow", "crop", "search", "opinion" and
        "decode" are those of all targets together. Raises UserError for a frame of another size than a target's.
        """
        for target in targets:
            require_size(image, target.state.frame_size)
        require_stamp(stamp_ns)
        begin = time.perf_counter()
        expected = expectation.expect([(target.state, target.flow) for target in targets], image)
        times = {"flow": 1e3 * (time.perf_counter() - begin)} if policy.search_around == "expected" else {}
        windows = [loop.search_window(before.state, policy) for before in expected]
        looks, search_times = self._search(image, list(zip(targets, windows, strict=True)))
        times = {**times, **search_times}
        advanced = []
        for target, before, look in zip(targets, expected, looks, strict=True):
            after, estimate, settle_times = self._settle(target, before, look, image, policy, stamp_ns)
            advanced.append((after, estimate))
            times = {stage: ms + settle_times.get(stage, 0.0) for stage, ms in times.items()}
        return [(target, replace(estimate, times=times)) for target, estimate in advanced]

    def _settle(
        self, target: Target, before: Expectation, look: _Look, image: Image, policy: Policy, stamp_ns: int | None
    ) -> tuple[Target, Estimate, dict[str, float]]:
        """One target after the look at its frame, its estimate, and the milliseconds that some stages took.

        before: the target as it was expected in this frame.
        """
        measurement, colours, seen = look.measurement, target.colours, None
        if measurement.box is not None and colours is not None:
            seen = colour.histogram(image, measurement.box)
            measurement = replace(measurement, likeness=colours.likeness(seen))
        dt = seconds_between(target.stamp_ns, stamp_ns)
        state, estimate = loop.step(before.state, measurement, dt, policy, self._clip, self._calibration)
        sure = estimate.accepted and loop.is_sure(estimate.score, policy)
        if seen is not None and colours is not None and sure:
            beside = None if measurement.rival is None else colour.histogram(image, measurement.rival)
            colours = colours.learnt(seen, beside)
        begin = time.perf_counter()
        expects = policy.search_around == "expected"
        flow = expectation.remember(before, image, state.box) if expects else None
        remembered, opinion = time.perf_counter(), target.opinion
        if opinion is not None:
            settled = sure and state.condition.passed >= second_opinion.PASSED
            opinion = second_opinion.settle(opinion, look.second, estimate.box, settled)
        times = {"flow": 1e3 * (remembered - begin), "opinion": 1e3 * (time.perf_counter() - remembered)}
        after = replace(target, state=state, stamp_ns=stamp_ns, colours=colours, flow=flow, opinion=opinion)
        return after, estimate, times

    def _search(
        self, image: Image, looks: Sequence[tuple[Target, SearchWindow]]
    ) -> tuple[list[_Look], dict[str, float]]:
        """What is found in each window, and the milliseconds of each stage."""
        factor, size = self._spec.search_factor, self._spec.search_size
        begin = time.perf_counter()
        crops = [self._crop(image, window.box, target.average, factor, size) for target, window in looks]
        cropped = time.perf_counter()
        asked = [(target.template, crop.patch) for (target, _), crop in zip(looks, crops, strict=True)]
        maps = [self._network.search(*asked[0])] if len(asked) == 1 else self._network.search_many(asked)
        searched = time.perf_counter()
        alone = [self._without_look(target, its_maps) for (target, _), its_maps in zip(looks, maps, strict=True)]
        due = [target.opinion if lone is None else None for (target, _), lone in zip(looks, alone, strict=True)]
        responses = self._second_opinions(due, crops, maps)
        judged = time.perf_counter()
        found = []
        for (target, window), crop, its_maps, response, lone in zip(looks, crops, maps, responses, alone, strict=True):
            decoded = self._decode(its_maps, response, target.state) if lone is None else lone
            box = crop.to_frame(decoded.cx, decoded.cy, decoded.w, decoded.h) if decoded.is_finite else None
            evidence, rival = read_maps(its_maps, decoded), None
            if evidence.second_at is not None and evidence.rival >= RIVAL:
                rival = crop.to_frame(*evidence.second_at, decoded.w, decoded.h)
            found.append(_Look(Measurement(window, box, decoded.score, evidence, rival), response))
        times = {
            "crop": 1e3 * (cropped - begin),
            "search": 1e3 * (searched - cropped),
            "decode": 1e3 * (time.perf_counter() - judged),
        }
        if self._features is not None:
            times["opinion"] = 1e3 * (judged - searched)
        return found, times

    def _without_look(self, target: Target, maps: Maps) -> Decoded | None:
        """The box that the maps show, its score with the filter's last response, where that still stands; else None."""
        opinion = target.opinion
        if opinion is None or opinion.held is None or target.state.condition.passed < second_opinion.PASSED:
            return None
        threshold = self._network.lost_threshold
        found = DECODERS[self._spec.decoding](maps)
        held = second_opinion.response_held(opinion, found, read_maps(maps, found).rival, threshold)
        return None if held is None else replace(found, score=second_opinion.held_score(found.score, held, threshold))

    def _decode(self, maps: Maps, second: Seen | None, state: TargetState) -> Decoded:
        """The box that the maps show, where a filter looked at the place that both choose."""
        decode = DECODERS[self._spec.decoding]
        if second is None:
            return decode(maps)
        threshold = self._network.lost_threshold
        there = decode(second_opinion.weighed(maps, second, (state.box.w, state.box.h), threshold))
        return second_opinion.judged(there, maps, second, threshold) if there.is_finite else there

    def _opinion(self, image: Image, box: Box, average: Average, features: FeatureNetwork) -> Opinion:
        """That of a new target, learnt from its first frame."""
        factor, size = self._spec.search_factor, self._spec.search_size
        return second_opinion.start(
            lambda at: self._crop(image, at, average, factor, size), lambda patch: features.of([patch])[0], box
        )

    def _second_opinions(
        self, opinions: Sequence[Opinion | None], crops: Sequence[Crop], maps: Sequence[Maps]
    ) -> list[Seen | None]:
        """Of each search, None where there is none. The features are the network's own where it gives them."""
        asked = [i for i, opinion in enumerate(opinions) if opinion is not None]
        if self._features is None or not asked:
            return [None] * len(crops)
        if all(FEATURES in maps[i] for i in asked):
            features = [maps[i][FEATURES] for i in asked]
        else:
            features = self._features.of([crops[i].patch for i in asked])
        seen: list[Seen | None] = [None] * len(crops)
        for i, found in zip(asked, features, strict=True):
            opinion = opinions[i]
            if opinion is not None and np.isfinite(found).all():
                seen[i] = second_opinion.look(opinion, found, crops[i])
        return seen

    def _crop(self, image: Image, box: Box, average: Average, factor: float, size: int) -> Crop:
        if self._spec.crop == "average":
            return crop_average(image, box, factor, size, average, self._dtype)
        return crop_black(image, box, factor, size)
