"""The online loop of every network: crop around the last believed box, search, decode, map back, clip.

The rules are the published ones (fact sheets: FERMT section 6, HiT 7, SMAT and MVT 3, HCAT 7) with two additions: a box
whose score is below `lost_threshold` does not move the search window, and the target is then looked for around its last
place too (`reacquire.py`); and a box's size is the network's in the terms of the given box, without its jumps
(`box_size.py`). The default `Policy` gives the published loop.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sot_tracker.box import Box, BoxLike, require_trackable
from sot_tracker.crop import Average, Crop, channel_average, crop_average, crop_black
from sot_tracker.decode import DECODERS
from sot_tracker.errors import UserError
from sot_tracker.tracker import Estimate, Image, Policy, State, TrackerInfo
from sot_tracker.tracking import box_size, reacquire

if TYPE_CHECKING:
    from sot_tracker.catalog import NetworkSpec
    from sot_tracker.engines.network import Network

SMALLEST_SIDE = 10.0  # pixels: the published clips' margin, and the shortest side a box can have after the first frame
SURE = 1 / 3  # of the way from the threshold to 1 is the score of a sure box


@dataclass(frozen=True, slots=True)
class _Target:
    """What is remembered of a target between frames.

    box: last believed. sure: the last with a high score (`SURE`). bias: of the network's sizes of this target. lost:
        frames since `box`. suspect: where it may have returned, to be confirmed.
    """

    cached: Any
    box: Box
    frame_size: tuple[int, int]
    average: Average
    sure: Box
    bias: box_size.Bias = (0.0, 0.0)
    lost: int = 0
    suspect: Box | None = None

    def after(self, window: Box, box: Box, score: float, threshold: float) -> _Target:
        """What is remembered after a frame in which a search around `window` found `box`; lost is 0 if it is believed.

        A target looked for longer than a moment has the size of the last sure box: boxes grow or shrink before a loss.
        """
        if score < threshold or window not in (self.box, self.suspect):
            lost, last = self.lost + 1, self.box
            if lost == reacquire.PATIENCE:
                last = Box.from_cxcywh(*last.center, self.sure.w, self.sure.h)
            return replace(self, box=last, lost=lost, suspect=box if score >= threshold else None)
        sure = box if score >= threshold + SURE * (1 - threshold) else self.sure
        return replace(self, box=box, sure=sure, lost=0, suspect=None)


PUBLISHED = Policy()


class NetworkTracker:
    """One target followed by a network; a `Tracker`.

    name, spec: the catalogue row (`catalog.py`); network: an engine with its weights, which may be shared.
    policy: of the online loop; may be replaced at any time.
    exact_padding: HCAT's unrounded float padding, for comparison with the published numbers on engines that take float
        patches; the default rounds it to the grey levels that an exported graph takes.
    """

    def __init__(
        self,
        name: str,
        spec: NetworkSpec,
        network: Network,
        policy: Policy = PUBLISHED,
        exact_padding: bool = False,
    ) -> None:
        self.name = name
        self.spec = spec
        self.network = network
        self.policy = policy
        self._dtype = np.float32 if exact_padding else np.uint8
        self._target: _Target | None = None

    @property
    def info(self) -> TrackerInfo:
        facts = self.network.facts
        return TrackerInfo(
            name=self.name,
            engine=facts.engine,
            runtime=facts.runtime,
            device=facts.device,
            description=facts.description,
            precision=facts.precision,
            threads=facts.threads,
            weights=facts.weights,
            random=facts.random,
            lost_threshold=facts.lost_threshold,
            parameters=facts.parameters,
            macs=facts.macs,
            can_recenter=True,
        )

    @property
    def lost_threshold(self) -> float:
        """The threshold in force: the policy's, or the one stored with the weights where that is negative."""
        threshold = self.policy.lost_threshold
        return threshold if threshold >= 0 else self.network.lost_threshold

    def init(self, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Start on a target; the box is used as given, not clipped. Raises UserError and keeps the old target, if any,
        unless the image is H x W x 3 uint8 and the box finite, of positive size and at least partly inside."""
        height, width = _frame_size(image)
        box = require_trackable(box, width, height)
        start = time.perf_counter()
        average = channel_average(image) if self.spec.crop == "average" else (0.0, 0.0, 0.0)
        crop = self._crop(image, box, average, self.spec.template_factor, self.spec.template_size)
        cropped = time.perf_counter()
        target = _Target(self.network.template(crop.patch), box, (height, width), average, sure=box)
        times = {"crop": 1e3 * (cropped - start), "template": 1e3 * (time.perf_counter() - cropped)}
        if self.policy.init_size_correction > 0:
            seen, _, spent = self._look(image, box, target)
            target = replace(target, bias=box_size.bias(seen, box) if seen else target.bias)
            times = {**times, **spent, "crop": times["crop"] + spent["crop"]}
        self._target = target
        return Estimate(box, 1.0, State.TRACKING, times)

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        """Follow the target into the next frame; stage times "crop", "search" and "decode" in milliseconds.

        Raises UserError before `init`, or for a frame of another size.
        """
        target = self._require_target()
        if _frame_size(image) != target.frame_size:
            (h, w), (old_h, old_w) = image.shape[:2], target.frame_size
            raise UserError(f"frame is {w}x{h} but the target was given in {old_w}x{old_h}: give the box again")
        window = self._window(target)
        seen, score, times = self._look(image, window, target)
        box = self._clip(self._sized(seen, target), target.frame_size) if seen else target.box
        self._target = target.after(window, box, score if seen else -1.0, self.lost_threshold)
        return Estimate(box, score, State.LOST if self._target.lost else State.TRACKING, times)

    def _look(self, image: Image, window: Box, target: _Target) -> tuple[Box | None, float, dict[str, float]]:
        """What the network says of the crop around `window`: box in the frame and score, and what it took.

        No box where its maps are not finite.
        """
        start = time.perf_counter()
        crop = self._crop(image, window, target.average, self.spec.search_factor, self.spec.search_size)
        cropped = time.perf_counter()
        maps = self.network.search(target.cached, crop.patch)
        searched = time.perf_counter()
        found = DECODERS[self.spec.decoding](maps)
        box = crop.to_frame(found.cx, found.cy, found.w, found.h) if found.is_finite else None
        times = {
            "crop": 1e3 * (cropped - start),
            "search": 1e3 * (searched - cropped),
            "decode": 1e3 * (time.perf_counter() - searched),
        }
        return box, found.score, times

    @property
    def box(self) -> Box:
        """The last believed box, around which the next frame is searched. Raises UserError before `init`."""
        return self._require_target().box

    def recenter(self, box: BoxLike) -> None:
        """Search around another box from the next frame on, with the same template (say, on a detector's hint).

        Raises UserError, changing nothing, before `init` or if the box cannot be tracked in frames of this size.
        """
        target = self._require_target()
        height, width = target.frame_size
        box = require_trackable(box, width, height)
        self._target = replace(target, box=box, sure=box, lost=0, suspect=None)

    def _window(self, target: _Target) -> Box:
        """The box around which to search in the next frame."""
        if target.suspect is not None:
            return target.suspect
        if self.lost_threshold <= 0:
            return target.box
        elsewhere = reacquire.window(target.lost, target.box, target.frame_size, self.policy.reacquire_positions)
        return elsewhere or target.box

    def _require_target(self) -> _Target:
        if self._target is None:
            raise UserError(f"{self.name} has no target yet: call init(image, box) first")
        return self._target

    def _crop(self, image: Image, box: Box, average: Average, factor: float, size: int) -> Crop:
        if self.spec.crop == "average":
            return crop_average(image, box, factor, size, average, self._dtype)
        return crop_black(image, box, factor, size)

    def _sized(self, box: Box, target: _Target) -> Box:
        """The box at the size to report; the network's own pace after a loss."""
        if self.policy.init_size_correction > 0:
            box = box_size.fitted(box, target.bias, self.policy.init_size_correction)
        if self.policy.size_smoothing < 1 and not target.lost:
            box = box_size.steadied(box, target.box, self.policy.size_smoothing)
        return box

    def _clip(self, box: Box, frame_size: tuple[int, int]) -> Box:
        height, width = frame_size
        if self.spec.crop == "black":
            return box.clipped(width, height, SMALLEST_SIDE)
        # HCAT: only the centre is held inside, the box may stick out; the upper bound first, then the minimum.
        cx, cy = min(max(box.center[0], 0.0), width), min(max(box.center[1], 0.0), height)
        return Box.from_cxcywh(cx, cy, max(SMALLEST_SIDE, min(box.w, width)), max(SMALLEST_SIDE, min(box.h, height)))


def _frame_size(image: Image) -> tuple[int, int]:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise UserError(f"frame is {image.dtype} of shape {image.shape}: give height x width x 3, uint8, BGR")
    return image.shape[0], image.shape[1]
