"""Running a network on frames: crop, search, decode and step, in that order, for any number of targets.

`Session` keeps no target: from targets and a frame it computes the new targets and their estimates.
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
from sot_tracker.tracking.second_opinion import FilterResponse, Opinion
from sot_tracker.tracking.state import Measurement, SearchWindow, TargetState

if TYPE_CHECKING:
    from sot_tracker.catalog import NetworkSpec
    from sot_tracker.engines.network import Network

RIVAL = 0.25
"""If the second peak of a map is at least this share of the highest, it is a look-alike, whose colours are learnt."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target that is tracked.

    template: the network's cached template output, opaque here. average: mean colour of the first frame, for HCAT's
    padding. stamp_ns: capture time of the newest frame, None where unknown. colours: the target's histograms, used for
    the probability; None leaves them out. flow: what `expectation.py` needs of the newest frame; None if it is off.
    opinion: the target's own filter; None without a second opinion.
    """

    template: Any
    average: Average
    state: TargetState
    stamp_ns: int | None = None
    colours: Colours | None = None
    flow: fusion.FlowState | None = None
    opinion: Opinion | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """The result of one search for one target. response: of the target's filter, None where it did not run."""

    measurement: Measurement
    response: FilterResponse | None


class Session:
    """One network with everything that a search needs besides the targets, which the caller keeps (they are immutable).

    exact_padding: HCAT's unrounded float padding, for comparison with the published numbers on engines that take float
        patches; the default rounds it to the grey levels that an exported graph takes.
    calibration: computes a probability from the network's maps; without it the states are decided by the score.
    features: computes features of search patches for a second opinion (`second_opinion.py`); None: no second opinion.
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
            (found,), spent = self._search(image, [(target, SearchWindow(box))])
            target = replace(target, state=loop.calibrated(target.state, found.measurement))
            times = {**times, **spent, "crop": times["crop"] + spent["crop"]}
        if policy.search_around == "expected":
            target = replace(target, flow=fusion.start(image, box))
        if self._features is not None:
            begin = time.perf_counter()
            target = replace(target, opinion=self._opinion(image, box, target.average, self._features))
            heap.give_back()  # some 10 MB that training the filter took
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
        results, search_times = self._search(image, list(zip(targets, windows, strict=True)), stamp_ns)
        times = {**times, **search_times}
        advanced = []
        for target, before, found in zip(targets, expected, results, strict=True):
            after, estimate, settle_times = self._settle(target, before, found, image, policy, stamp_ns)
            advanced.append((after, estimate))
            times = {stage: ms + settle_times.get(stage, 0.0) for stage, ms in times.items()}
        return [(target, replace(estimate, times=times)) for target, estimate in advanced]

    def _settle(
        self, target: Target, before: Expectation, found: _Found, image: Image, policy: Policy, stamp_ns: int | None
    ) -> tuple[Target, Estimate, dict[str, float]]:
        """The target after this frame, its estimate, and the milliseconds of the stages "flow" and "opinion".

        target: as it was after the last frame. before: where it was expected in this one.
        """
        measurement, colours, seen = found.measurement, target.colours, None
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
            opinion = second_opinion.settle(opinion, found.response, estimate.box, settled, stamp_ns)
        times = {"flow": 1e3 * (remembered - begin), "opinion": 1e3 * (time.perf_counter() - remembered)}
        after = replace(target, state=state, stamp_ns=stamp_ns, colours=colours, flow=flow, opinion=opinion)
        return after, estimate, times

    def _search(
        self, image: Image, searches: Sequence[tuple[Target, SearchWindow]], stamp_ns: int | None = None
    ) -> tuple[list[_Found], dict[str, float]]:
        """The result of each search, and the milliseconds of each stage."""
        factor, size = self._spec.search_factor, self._spec.search_size
        begin = time.perf_counter()
        crops = [self._crop(image, window.box, target.average, factor, size) for target, window in searches]
        cropped = time.perf_counter()
        inputs = [(target.template, crop.patch) for (target, _), crop in zip(searches, crops, strict=True)]
        maps = [self._network.search(*inputs[0])] if len(inputs) == 1 else self._network.search_many(inputs)
        searched = time.perf_counter()
        skips = [
            self._decode_with_cached(target, its_maps, stamp_ns)
            for (target, _), its_maps in zip(searches, maps, strict=True)
        ]
        opinions = [target.opinion if skip is None else None for (target, _), skip in zip(searches, skips, strict=True)]
        responses = self._filter_responses(opinions, crops, maps)
        filtered = time.perf_counter()
        results = []
        for (target, window), crop, its_maps, response, skip in zip(
            searches, crops, maps, responses, skips, strict=True
        ):
            decoded = self._decode(its_maps, response, target.state) if skip is None else skip
            results.append(_Found(_measurement(window, crop, its_maps, decoded), response))
        times = {
            "crop": 1e3 * (cropped - begin),
            "search": 1e3 * (searched - cropped),
            "decode": 1e3 * (time.perf_counter() - filtered),
        }
        if self._features is not None:
            times["opinion"] = 1e3 * (filtered - searched)
        return results, times

    def _decode_with_cached(self, target: Target, maps: Maps, stamp_ns: int | None) -> Decoded | None:
        """The network's box with the target's cached filter response in its score; None where the filter must run."""
        opinion = target.opinion
        if opinion is None or opinion.cached is None or target.state.condition.passed < second_opinion.PASSED:
            return None
        threshold = self._network.lost_threshold
        found = DECODERS[self._spec.decoding](maps)
        rival = read_maps(maps, found).rival
        response = second_opinion.cached_response(opinion, found, rival, threshold, stamp_ns)
        if response is None:
            return None
        return replace(found, score=second_opinion.score_with_cached_response(found.score, response, threshold))

    def _decode(self, maps: Maps, response: FilterResponse | None, state: TargetState) -> Decoded:
        """The box of these maps, combined with the filter's response if there is one."""
        decode = DECODERS[self._spec.decoding]
        if response is None:
            return decode(maps)
        threshold = self._network.lost_threshold
        found = decode(second_opinion.combined_maps(maps, response, (state.box.w, state.box.h), threshold))
        return second_opinion.with_combined_score(found, maps, response, threshold) if found.is_finite else found

    def _opinion(self, image: Image, box: Box, average: Average, features: FeatureNetwork) -> Opinion:
        """A filter for a new target, trained on its first frame."""
        factor, size = self._spec.search_factor, self._spec.search_size
        return second_opinion.start(
            lambda at: self._crop(image, at, average, factor, size), lambda patch: features.of([patch])[0], box
        )

    def _filter_responses(
        self, opinions: Sequence[Opinion | None], crops: Sequence[Crop], maps: Sequence[Maps]
    ) -> list[FilterResponse | None]:
        """The response of each search's filter; None without a filter or for features that are not finite.

        The features are those in the maps of the search, or else computed by the feature network.
        """
        wanted = [i for i, opinion in enumerate(opinions) if opinion is not None]
        if self._features is None or not wanted:
            return [None] * len(crops)
        if all(FEATURES in maps[i] for i in wanted):
            features = [maps[i][FEATURES] for i in wanted]
        else:
            features = self._features.of([crops[i].patch for i in wanted])
        responses: list[FilterResponse | None] = [None] * len(crops)
        for i, its_features in zip(wanted, features, strict=True):
            opinion = opinions[i]
            if opinion is not None and np.isfinite(its_features).all():
                responses[i] = second_opinion.run_filter(opinion, its_features, crops[i])
        return responses

    def _crop(self, image: Image, box: Box, average: Average, factor: float, size: int) -> Crop:
        if self._spec.crop == "average":
            return crop_average(image, box, factor, size, average, self._dtype)
        return crop_black(image, box, factor, size)


def _measurement(window: SearchWindow, crop: Crop, maps: Maps, decoded: Decoded) -> Measurement:
    """What the maps of one search show, in frame pixels."""
    box = crop.to_frame(decoded.cx, decoded.cy, decoded.w, decoded.h) if decoded.is_finite else None
    evidence, rival = read_maps(maps, decoded), None
    if evidence.second_at is not None and evidence.rival >= RIVAL:
        rival = crop.to_frame(*evidence.second_at, decoded.w, decoded.h)
    return Measurement(window, box, decoded.score, evidence, rival)
