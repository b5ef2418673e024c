"""The single source of the options of the tracker and its node: default, range and help text.

ROS parameters (`ros/parameters.py`), command-line flags (`commands/options.py`), the YAML files in `config/` and the
table in docs/options.md are all made from, or compared with, the fields of `Config`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sot_tracker.errors import UserError
from sot_tracker.options import (
    BOX_ITEMS,
    BOX_RULE,
    RANGE_ITEMS,
    RANGE_RULE,
    Option,
    Options,
    Scope,
    defaults_of,
    is_box,
    is_range16,
    option,
    options_of,
)

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

RENAMED = {
    "lost_windows": "reacquire_positions",
    "size_fit": "init_size_correction",
    "size_rate": "size_smoothing",
}
"""Old name -> present name of an option. Old names are accepted everywhere, with one warning each."""


@dataclass(frozen=True)
class Config(Options):
    """The options of the tracker and of its node."""

    model: str = option("lite", "Tracker to run; `sot-tracker models` lists the names.")
    engine: str = option(
        "auto",
        "Inference engine. auto: the one that `sot-tracker tune` found fastest, else the first installed of "
        "onnx, openvino and torch that can read the weights.",
        choices=("auto", "onnx", "openvino", "torch"),
    )
    device: str = option(
        "auto",
        "Device that runs the network. auto: a GPU if the engine finds one; the log says which device was taken.",
        choices=("auto", "cpu", "cuda", "tensorrt"),
    )
    precision: str = option(
        "auto",
        "Number format of the network; bf16 and fp16 are faster on hardware that supports them, but less "
        "exact. auto: fp32, or a faster one whose boxes agree with fp32 (as `sot-tracker tune` or the manifest says).",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    min_agreement: float = option(
        0.97,
        "For precision int8 and bf16: smallest mean overlap (IoU) of the boxes with those of fp32, as stored in the "
        "manifest of the model folder. Below it the model is not loaded. 0 accepts any.",
        low=0.0,
        high=1.0,
    )
    threads: int = option(
        0,
        "CPU threads of the network; more are faster up to the number of cores. 0: the number that "
        "`sot-tracker tune` found fastest, else the engine's own choice.",
        low=0,
        high=256,
    )
    weights: str = option(
        "",
        "Model folder or .safetensors file. Empty: the weights that come with this package. 'random': random weights, "
        "for measuring speed only.",
    )
    lost_threshold: float = option(
        -1.0,
        "Score below which the target counts as not found in a frame; after max_coast seconds of this it is LOST. A "
        "higher value reports losses sooner, but also more false ones. Negative: the value stored with the model.",
        low=-1.0,
        high=1.0,
        live=True,
    )
    reacquire_positions: int = option(
        24,
        "Number of positions around the last one that are searched in turn while the target is not found; more "
        "find it farther away, but one round takes longer. 0: only the last position.",
        low=0,
        high=1000,
    )
    init_size_correction: float = option(
        0.7,
        "A network's boxes are too large or too small by a constant factor, which is measured in the first frame. This "
        "is the share of it that is corrected. 0: nothing (as published), 1: all of it.",
        low=0.0,
        high=1.0,
    )
    size_smoothing: float = option(
        0.3,
        "Share of a change in size that the box takes over in each frame; higher is faster but less steady. 1: all of "
        "it at once (as published).",
        low=0.05,
        high=1.0,
    )
    search_around: str = option(
        "expected",
        "Centre of the search region. expected: where optical flow, the camera's motion and the target's "
        "velocity predict the target. last: the last box (as published), which saves a millisecond.",
        choices=("expected", "last"),
    )
    second_opinion: str = option(
        "auto",
        "Correlation filter that learns the target while it is tracked. The average of its response and the network's "
        "score chooses the place and decides whether the target is there. auto: on for the models that it improves "
        "(docs/models.md). It takes up to 1 ms per frame with lite, and 3 to 6 ms with other networks.",
        choices=("auto", "on", "off"),
    )
    max_search_rate: float = option(
        0.0,
        "Largest number of searches (runs of the tracker) per second and target, to leave computing time for other "
        "programs; optical flow moves the box in the other frames. 0: no limit. In files it is counted by the frames' "
        "stamps; frames without stamps count as 30 per second. Not possible with propagate:=off.",
        low=0.0,
        high=1000.0,
    )
    max_coast: float = option(
        0.5,
        "Seconds for which a box is still published after TRACKING has ended (UNCERTAIN). A target that is not found "
        "for longer is LOST. A higher value bridges longer occlusions, but publishes more wrong boxes. 0: none.",
        low=0.0,
        high=60.0,
    )
    max_targets: int = option(
        1,
        "Largest number of targets at a time. With 1 a new box replaces the target; with more, each box with "
        "a new id adds a target.",
        Scope.NODE,
        low=1,
        high=64,
    )
    propagate: str = option(
        "auto",
        "Optical flow between two runs of the tracker. auto: every frame gets a box at once; the node waits "
        "for the tracker only if it takes less than half of the frame interval. off: the node waits for it in "
        "every frame.",
        Scope.NODE,
        choices=("auto", "off"),
    )
    image_transport: str = option(
        "raw", "Topic to subscribe to: `image` (raw) or `image/compressed`.", Scope.NODE, choices=("raw", "compressed")
    )
    reliability: str = option(
        "auto",
        "QoS reliability of the image subscription; auto copies the publisher's.",
        Scope.NODE,
        choices=("auto", "reliable", "best_effort"),
    )
    init_box: tuple[float, ...] = option(
        (),
        "Box of the target in the first frame, [x, y, w, h] in pixels; x, y is its upper left corner. Empty: wait for "
        "the init_box topic.",
        Scope.NODE,
        items=BOX_ITEMS,
        fits=is_box,
        rule=BOX_RULE,
    )
    init_box_timeout: float = option(
        5.0,
        "Seconds that an init_box waits for the frame with its stamp; then it is refused.",
        Scope.NODE,
        low=0.1,
        high=3600.0,
    )
    select: str = option(
        "off",
        "Which detection of the init_detections topic starts a target while there is none. off: none. id, class, "
        "nearest: the one with the id, the best of the class or the nearest to the point in select_value. best: the "
        "one with the highest score. Only one target is started; set select again for the next one.",
        Scope.NODE,
        choices=("off", "id", "class", "nearest", "best"),
        live=True,
    )
    select_value: str = option(
        "",
        "The id, the class, or the point (x,y in pixels; empty: the middle of the frame) for select.",
        Scope.NODE,
        live=True,
    )
    autostart: bool = option(
        True, "Configure and activate the node when it starts; false leaves this to a lifecycle manager.", Scope.NODE
    )
    frame_history: int = option(
        30,
        "Number of recent frames that are kept, so that a box for an earlier frame can still start a target.",
        Scope.NODE,
        low=0,
        high=300,
    )
    frame_history_mb: int = option(
        256,
        "Memory limit of the frames of frame_history in MiB; the newest frame is always kept.",
        Scope.NODE,
        low=1,
        high=65536,
    )
    range16: tuple[float, ...] = option(
        (),
        "Values of 16-bit pixels that become black (0) and white (255): [low, high]. Empty: they adapt to the stream.",
        Scope.NODE,
        items=RANGE_ITEMS,
        fits=is_range16,
        rule=RANGE_RULE,
    )
    record_folder: str = option(
        "",
        "Folder in which the flight recorder writes MCAP files of the last seconds. Empty: nothing is recorded.",
        Scope.NODE,
    )
    record_seconds: float = option(20.0, "Length of a flight recording in seconds.", Scope.NODE, low=1.0, high=3600.0)
    record_memory_mb: int = option(
        64,
        "Memory limit of the flight recorder in MiB; the oldest messages are dropped.",
        Scope.NODE,
        low=1,
        high=65536,
    )
    record_disk_mb: int = option(
        1024,
        "Disk limit of all flight recordings in the folder in MiB; the oldest are removed.",
        Scope.NODE,
        low=1,
        high=10**7,
    )
    record_on_loss: bool = option(
        True,
        "Write a flight recording whenever a target is lost; false: only when the service `~/dump` is called.",
        Scope.NODE,
    )
    debug_width: int = option(
        960,
        "Largest width of debug_image in pixels; wider frames are scaled down. A larger width takes more bandwidth.",
        Scope.NODE,
        low=64,
        high=7680,
        live=True,
    )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Old names are accepted with a warning. Raises UserError for an option that does not exist."""
        return super().from_mapping(present_names(values))


def present_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping with present option names for old ones; each old name is warned of once per process.

    Raises UserError where an option is given under both names.
    """
    present = dict(values)
    for old in RENAMED.keys() & values.keys():
        if RENAMED[old] in values:
            raise UserError(f"{old} is the old name of {RENAMED[old]}: give only {RENAMED[old]}")
        warn_of_old_name(old)
        present[RENAMED[old]] = present.pop(old)
    return present


@functools.cache
def warn_of_old_name(old: str) -> None:
    log.warning("%s", renaming(old))


def renaming(old: str) -> str:
    """The warning about an old name."""
    return f"option {old} has a new name: use {RENAMED[old]}"


OPTIONS: dict[str, Option] = options_of(Config)
DEFAULTS: dict[str, Any] = defaults_of(Config)
