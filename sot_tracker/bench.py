"""Measures speed by stage, for every configuration in a process of its own, on the same clip."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.box import Box
from sot_tracker.catalog import MODELS, NetworkSpec, network_spec
from sot_tracker.config import Config
from sot_tracker.crop import channel_average, crop_average, crop_black
from sot_tracker.decode import DECODERS
from sot_tracker.errors import UserError
from sot_tracker.loading import load_trackers
from sot_tracker.synth import ClipConfig, builtin_pictures, procedural_pictures, render
from sot_tracker.tracker import Image, Tracker, TrackerInfo
from sot_tracker.tracking.many import MultiTracker
from sot_tracker.workers import end_with_parent

Row = dict[str, Any]
STAGES = ("flow", "crop", "template", "search", "opinion", "decode", "total")
WARM_UP = 5
"""Frames that are not measured, at the beginning."""

_TEMPLATES = 10


@dataclass(frozen=True)
class Clip:
    """frames: N x height x width x 3 BGR uint8.

    boxes: N x 4, the target's true boxes, or the last ones before absences.
    """

    frames: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float64]

    def save(self, path: Path) -> None:
        np.savez(path, frames=self.frames, boxes=self.boxes)

    @classmethod
    def read(cls, path: Path) -> Clip:
        with np.load(path) as stored:
            return cls(stored["frames"], stored["boxes"])


def make_clip(frames: int, width: int, height: int) -> Clip:
    """A generated clip, made of photographs if scikit-image is installed, otherwise of textures."""
    config = ClipConfig(frames=frames + WARM_UP, width=width, height=height, events=())
    try:
        shown = list(render(config, builtin_pictures()))
    except UserError:
        shown = list(render(config, procedural_pictures(seed=0)))
    boxes = [item.box.xywh if item.box else None for item in shown]
    last = next(box for box in boxes if box is not None)
    filled = [last := box or last for box in boxes]
    return Clip(np.stack([item.image for item in shown]), np.array(filled))


def measure_apart(clip: Path, options: dict[str, Any]) -> Row:
    """`measure` in a new process, so that threads and memory of one configuration do not affect the next.

    The process ends with a KeyboardInterrupt here. Raises UserError as loading the tracker does, and if it was killed.
    """
    others = multiprocessing.active_children()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent) as pool:
        try:
            row, mistake = pool.submit(_measure_or_explain, clip, options).result()
        except BrokenProcessPool:
            raise UserError("the process that measured it was killed, perhaps because memory was exhausted") from None
        except KeyboardInterrupt:  # leaving the block waits for the result: `docker stop` kills after ten seconds
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            raise
    if mistake:
        raise UserError(mistake)
    return row


def _measure_or_explain(clip: Path, options: dict[str, Any]) -> tuple[Row, str]:
    try:
        return measure(Clip.read(clip), options), ""
    except UserError as error:  # as text, since not every exception can be pickled
        return {}, str(error)


def measure(clip: Clip, options: dict[str, Any]) -> Row:
    """Measure one configuration on the clip. options: fields of `Config`.

    Networks with random weights search around the true box in every frame, since their own boxes are meaningless.
    "<stage>_ms" is the mean over frames without the slowest twentieth, "<stage>_p95" the 95th percentile, milliseconds;
    None for a stage that a tracker does not measure. It is a mean and not a median because some frames do more work
    than others. "memory_mb" is the growth of resident memory by loading and running (Linux; None elsewhere). With
    `max_targets` above 1, all times but "template_ms" are for all targets together.
    """
    config = Config.from_mapping(options)
    if config.threads:
        cv2.setNumThreads(config.threads)
    memory = _resident()
    trackers = load_trackers(config)
    targets = MultiTracker(trackers)
    times: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for i in range(len(trackers)):
        targets.start(str(i), clip.frames[0], _place(clip.boxes[0], i))
    for frame, box in zip(clip.frames[1:], clip.boxes[:-1], strict=True):
        for i, tracker in enumerate(trackers):
            if tracker.info.can_recenter and tracker.info.random:
                tracker.recenter(_place(box, i))
        start = time.perf_counter()
        estimate = targets.update(frame)["0"]
        times["total"].append(1e3 * (time.perf_counter() - start))
        for stage in estimate.times.keys() & times.keys():
            times[stage].append(estimate.times[stage])
    times = {stage: values[WARM_UP - 1 :] for stage, values in times.items()}
    times["template"] = _time_template(trackers[0], clip)
    grown = None if memory is None else round(((_resident() or memory) - memory) / 2**20, 1)
    counts = {"memory_mb": grown, "frames": len(times["total"]), "targets": len(trackers)}
    return {**_facts(targets.info), **_summary(times), **counts}


def _place(box: npt.NDArray[np.float64], target: int) -> Box:
    """The box of that target: the true box for the first, shifted ones for the others."""
    x, y, w, h = (float(value) for value in box)
    return Box(x + 7 * (target % 8), y + 5 * (target // 8), w, h)


def _time_template(tracker: Tracker, clip: Clip) -> list[float]:
    """Times of the template stage when starting on the clip's target; empty for a tracker without a template."""
    image, box = clip.frames[0], Box.from_xywh(clip.boxes[0])
    if "template" not in tracker.init(image, box).times:
        return []
    return [tracker.init(image, box).times["template"] for _ in range(_TEMPLATES)]


def _facts(info: TrackerInfo) -> Row:
    if info.parameters is None and info.engine != "opencv":
        info = dataclasses.replace(info, **_cost(info.name))
    kept = ("engine", "threads", "device", "random", "runtime", "parameters", "macs")
    return {"model": info.name, "precision": info.precision or None, **{name: getattr(info, name) for name in kept}}


def _cost(model: str) -> dict[str, Any]:
    """Parameters and multiply-accumulates of a network without a manifest.

    (Then torch is installed: it ran the network.)
    """
    from sot_tracker.nets import build, cost

    net = build(model).eval()
    return {"parameters": cost.parameters(net), "macs": cost.macs(net, network_spec(model))["search"]}


def _summary(times: dict[str, list[float]]) -> Row:
    row: Row = {}
    for stage, values in times.items():
        row[f"{stage}_p95"] = round(float(np.percentile(values, 95)), 3) if values else None
        row[f"{stage}_ms"] = round(_typical(values), 3) if values else None
    return row


def _typical(values: Sequence[float]) -> float:
    """The mean without the slowest twentieth, which other programs have disturbed."""
    ordered = np.sort(values)
    return float(ordered[: max(1, math.ceil(0.95 * len(ordered)))].mean())


def _resident() -> int | None:
    """Bytes of resident memory, None where the kernel does not report it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def _milliseconds(call: Callable[[], Any], runs: int) -> list[float]:
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        taken.append(1e3 * (time.perf_counter() - start))
    return taken


# ---- before and after the network

PLACES = {
    "inside": Box(600, 300, 90, 90),
    "at the border": Box(-30, 300, 90, 90),
    "larger than the frame": Box(-200, -200, 1700, 1100),
}
"""Boxes of a 1280 x 720 frame."""


def measure_pipeline(runs: int = 100) -> list[Row]:
    """Time of crop plus decode of one 720p frame, without network: "ms" (median) and "p95" per decoding and place."""
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    specs: dict[str, NetworkSpec] = {m.network.decoding: m.network for m in MODELS.values() if m.network}
    rows = []
    for decoding, network in specs.items():
        maps = _some_maps(rng, network.search_size // network.stride)[decoding]
        for place, box in PLACES.items():
            crop = _cropper(frame, network, box)
            taken = _milliseconds(lambda crop=crop, d=decoding, m=maps: (crop(), DECODERS[d](m)), runs)  # type: ignore[misc]
            rows.append({"decoding": decoding, "box": place} | _median(taken))
    return rows


def _cropper(frame: Image, network: NetworkSpec, box: Box) -> Callable[[], Any]:
    if network.crop == "average":
        average = channel_average(frame)
        return lambda: crop_average(frame, box, network.search_factor, network.search_size, average)
    return lambda: crop_black(frame, box, network.search_factor, network.search_size)


def _median(taken: Sequence[float]) -> Row:
    return {"ms": round(float(np.median(taken)), 3), "p95": round(float(np.percentile(taken, 95)), 3)}


def _some_maps(rng: np.random.Generator, g: int) -> dict[str, dict[str, npt.NDArray[np.float32]]]:
    center: dict[str, tuple[int, ...]] = {"score": (1, g, g), "size": (2, g, g), "offset": (2, g, g)}
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "center": center,
        "center_weak": center,
        "corner": {"tl": (g, g), "br": (g, g)},
        "token": {"logits": (g * g, 2), "boxes": (g * g, 4)},
    }
    return {d: {name: rng.random(s, np.float32) for name, s in maps.items()} for d, maps in shapes.items()}
