"""OpenCV's own trackers: the baselines of every table, without weights, and small networks with the user's."""

from __future__ import annotations

import math
import time
from typing import Any

import cv2
import numpy as np

from sot_tracker.box import Box, BoxLike, require_trackable
from sot_tracker.errors import UserError
from sot_tracker.opencv_peers import PEERS, create, find_files, require_fit
from sot_tracker.tracker import HELD, Estimate, Image, Policy, State, TrackerInfo, require_stamp, seconds_between
from sot_tracker.tracking import states

PLAIN = {"csrt": "TrackerCSRT", "kcf": "TrackerKCF", "mil": "TrackerMIL"}
"""Those without weights."""
CLASSES = {**PLAIN, **{name: peer.cls for name, peer in PEERS.items()}}
_MIN_SIDE = 6  # pixels per side; MIL draws features for ever in a box of 4 x 4
_CONVERSIONS = {1: cv2.COLOR_GRAY2BGR, 4: cv2.COLOR_BGRA2BGR}


class OpenCVTracker:
    """One of `CLASSES`. UNCERTAIN, then LOST, where OpenCV reports failure or the score is below `lost_threshold`.

    OpenCV's trackers work on whole pixels inside the image: the init box is cut to the image, rounded, and
    made at least six pixels wide and high. CSRT, KCF and MIL say only yes or no, so that the score is 1 or 0; where
    they fail the last found box is the guess, and its source "held". Networks have a score; OpenCV moves the search
    window of NanoTrack and DaSiamRPN to their best guess whatever it is.
    MIL draws its features from one sequence of random numbers per process: which boxes it gives depends on how many
    targets it was given before.

    Frames: H x W x 3 BGR; grey (H x W or H x W x 1) and BGRA ones are converted.

    threads: CPU threads of OpenCV, which holds them per process, not per tracker; 0 leaves them as they are.
    weights: folder of the ONNX files of a network (`opencv_peers.PEERS`); "" for the others.
    lost_threshold: of a network's score, 0..1; negative takes its own (`Peer.lost_threshold`). VitTrack takes a change
        of it with the next target. max_coast: seconds. They are the parts of `policy` that apply.
    """

    def __init__(
        self, name: str, threads: int = 0, weights: str = "", lost_threshold: float = -1.0, max_coast: float = 0.5
    ) -> None:
        """Raises UserError for an unknown name, an OpenCV without that tracker, missing or wrong weights."""
        if name not in CLASSES:
            raise UserError(f"'{name}' is not an OpenCV tracker: known are {', '.join(CLASSES)}")
        if not hasattr(cv2, CLASSES[name]):
            raise UserError(
                f"this OpenCV ({cv2.__version__}) has no {CLASSES[name]}: "
                "install it with `pip install --force-reinstall opencv-contrib-python`"
            )
        if weights and name in PLAIN:
            raise UserError(f"model '{name}' has no network, so no weights: leave out '{weights}'")
        self.name = name
        self._weights = weights
        self.policy = Policy(lost_threshold=lost_threshold, max_coast=max_coast)
        self._files = find_files(name, weights) if name in PEERS else {}
        self._tracker: Any = None
        self._size = (0, 0)
        self._last = Box(0, 0, 0, 0)
        self._condition = states.FIRST
        self._stamp: int | None = None  # of the last frame
        if threads > 0:
            cv2.setNumThreads(threads)
        if self._files:
            require_fit(name, self._files)

    def __repr__(self) -> str:
        at = f"at {self._last}" if self._tracker else "without a target"
        return f"<{self.name} {at}: {self.info.description}>"

    @property
    def info(self) -> TrackerInfo:
        runtime, peer = f"OpenCV {cv2.__version__}", PEERS.get(self.name)
        return TrackerInfo(
            name=self.name,
            engine="opencv",
            runtime=runtime,
            device="cpu",
            description=f"{runtime} on cpu" + (f", weights {self._weights}" if peer else ""),
            threads=cv2.getNumThreads(),
            weights=self._weights,
            lost_threshold=peer.lost_threshold if peer else 0.0,
        )

    def init(self, image: Image, box: BoxLike, stamp_ns: int | None = None) -> Estimate:
        """Start on a target. Raises UserError, changing nothing, if the frame is none or the box cannot be tracked."""
        start = time.perf_counter()
        image = _bgr(image)
        height, width = image.shape[:2]
        require_stamp(stamp_ns)
        box = require_trackable(box, width, height)
        tracker, rect = self._create(), whole_pixels(box, width, height)
        try:
            tracker.init(image, rect)
            if self.name == "kcf":
                # KCF ignores the picture of `init`. It learns from the picture of its first update, at the box given to
                # `init`, whatever is there. So the same picture is passed twice.
                tracker.update(image)
        except cv2.error as error:
            problem = f"{self.name} cannot start on box {rect} in a {width}x{height} frame"
            raise UserError(f"{problem} ({_first_line(error)}): give another box or take another model") from None
        self._tracker, self._size, self._last = tracker, (width, height), Box.from_xywh(rect)
        self._condition, self._stamp = states.FIRST, stamp_ns
        return Estimate(box, 1.0, State.TRACKING, {"track": (time.perf_counter() - start) * 1e3})

    def recenter(self, box: BoxLike) -> None:
        """Raises UserError: OpenCV's trackers have no search window that could be moved."""
        raise UserError(f"{self.name} cannot be moved to another box: start it anew with init(image, box)")

    def move(self, box: BoxLike) -> None:
        """Raises UserError, as `recenter`."""
        self.recenter(box)

    def update(self, image: Image, stamp_ns: int | None = None) -> Estimate:
        """Follow the target into the next frame. Raises UserError before `init`, or for a frame of another size."""
        image = _bgr(image)
        height, width = image.shape[:2]
        if self._tracker is None:
            raise UserError(f"{self.name} has no target yet: call init(image, box) first")
        if (width, height) != self._size:
            raise UserError(
                f"frame is {width}x{height}, but the target was given in a {self._size[0]}x{self._size[1]} frame: "
                "give frames of one size, or start anew"
            )
        require_stamp(stamp_ns)
        start = time.perf_counter()
        try:
            found, rect = self._tracker.update(image)
        except cv2.error:  # CSRT and MIL raise instead of returning False when their search area leaves the image
            found, rect = False, None
        times = {"track": (time.perf_counter() - start) * 1e3}
        if found:
            self._last = Box.from_xywh(rect)
        return self._estimate(found, self._score(found), stamp_ns, times)

    def _estimate(self, found: bool, score: float, stamp_ns: int | None, times: dict[str, float]) -> Estimate:
        """The estimate with the last found box."""
        accepted = found and score >= self._threshold
        width, height = self._size
        seen = states.Observation(accepted, score, at_edge=states.touches_edge(self._last, (height, width)))
        dt, self._stamp = seconds_between(self._stamp, stamp_ns), stamp_ns
        limits = states.Limits.of_score(self._threshold if self.name in PEERS else 0.5)
        self._condition = states.judge(self._condition, seen, limits, dt, self.policy.max_coast)
        return Estimate(
            self._last,
            score,
            self._condition.state,
            times,
            source="tracker" if found else HELD,
            reason=self._condition.reason,
            accepted=accepted,
            coasted_out=self._condition.coasted_out(self.policy.max_coast),
        )

    def _create(self) -> Any:
        if self.name in PEERS:
            return create(self.name, self._files, self._threshold)
        return getattr(cv2, CLASSES[self.name]).create()

    @property
    def _threshold(self) -> float:
        if self.name not in PEERS:
            return 0.0
        threshold = self.policy.lost_threshold
        return threshold if threshold >= 0 else PEERS[self.name].lost_threshold

    def _score(self, found: bool) -> float:
        if self.name not in PEERS:
            return float(found)
        score = float(self._tracker.getTrackingScore())
        return min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0


def whole_pixels(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The box as OpenCV's integer rectangle, inside the width x height image, sides of at least six pixels there."""
    x1, y1, x2, y2 = box.clipped(width, height).xyxy
    w, h = min(max(round(x2 - x1), _MIN_SIDE), width), min(max(round(y2 - y1), _MIN_SIDE), height)
    return min(max(round(x1), 0), width - w), min(max(round(y1), 0), height - h), w, h


def _bgr(image: Image) -> Image:
    """H x W x 3 uint8 BGR that OpenCV can read: the image itself where it is, else a copy (grey, BGRA, odd strides).

    Raises UserError for anything else than 8-bit pictures.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        given = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"frame is {given}: give height x width x 3, uint8, BGR (grey and BGRA are converted)")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 3:
        return _readable(image)
    if channels not in _CONVERSIONS:
        raise UserError(f"frame has {channels} channels: give 3 (BGR), 1 (grey) or 4 (BGRA)")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), _CONVERSIONS[channels]), np.uint8)


def _readable(image: Image) -> Image:
    rows, columns, channels = image.strides
    in_place = channels == 1 and columns == image.shape[2] and rows >= columns * image.shape[1]
    return image if in_place else np.ascontiguousarray(image)


def _first_line(error: cv2.error) -> str:
    return str(getattr(error, "err", "") or error).strip().splitlines()[0]
