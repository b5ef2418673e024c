"""The single source of every option: default, range and help text.

ROS parameters (`ros/parameters.py`), command-line flags (`commands/options.py`), the YAML files in `config/` and the
table in docs/options.md are all made from, or compared with, the fields of `Config`.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from sot_tracker.box import Box
from sot_tracker.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

RENAMED = {
    "lost_windows": "reacquire_positions",
    "size_fit": "init_size_correction",
    "size_rate": "size_smoothing",
}
"""Old name -> present name of an option. Old names are accepted everywhere, with one warning each."""


class Scope(Enum):
    """Who understands an option."""

    TRACKER = "tracker"  # `load()`, every command line and the node
    NODE = "node"  # the node alone


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of one option besides its type and default."""

    help: str
    scope: Scope
    choices: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    live: bool = False  # may be changed while the node runs
    items: tuple[str, ...] = ()  # of a list of numbers, which may also be empty
    fits: Callable[[tuple[float, ...]], bool] | None = None  # whether these numbers make sense together
    rule: str = ""  # what `fits` asks for


def option(default: Any, text: str, scope: Scope = Scope.TRACKER, **facts: Any) -> Any:
    return dataclasses.field(default=default, metadata={"option": Option(text, scope, **facts)})


@dataclass(frozen=True)
class Options:
    """Base of option groups: fields made by `option`, checked when the object is made.

    Raises UserError naming the option, its value and what is allowed.
    """

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, check(item.name, getattr(self, item.name), type(self)))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Old names are accepted with a warning. Raises UserError for an option that does not exist."""
        known, values = options_of(cls), present_names(values)
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(f"unknown option '{unknown[0]}': known are {', '.join(known)}")
        return cls(**values)


BOX_ITEMS, BOX_RULE = ("x", "y", "w", "h"), "four finite numbers with positive width and height"
RANGE_ITEMS, RANGE_RULE = ("low", "high"), "two numbers from 0 to 65535, the smaller first"


def is_box(values: tuple[float, ...]) -> bool:
    return Box.from_xywh(values).is_valid


def is_range16(values: tuple[float, ...]) -> bool:
    return 0 <= values[0] < values[1] <= 65535


@dataclass(frozen=True)
class Config(Options):
    """The options of the tracker and of its node."""

    model: str = option("lite", "Tracker to run; `sot-tracker models` lists the names.")
    engine: str = option(
        "auto",
        "Inference engine. auto: the one that `sot-tracker tune` found fastest, else the first installed of "
        "onnx, openvino, torch that can read the weights.",
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
        "exact. auto: fp32, or a faster one that `sot-tracker tune` found to be as accurate.",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    min_agreement: float = option(
        0.97,
        "Smallest mean overlap (IoU) with the boxes of fp32 that an int8 or bf16 variant may have, according "
        "to its manifest; a variant below it is refused, 0 accepts any.",
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
        "", "Model folder or .safetensors file. Empty: the weights that ship; 'random' is for benchmarks only."
    )
    lost_threshold: float = option(
        -1.0,
        "Score below which the target counts as lost; a higher value reports losses sooner, but also more "
        "false ones. Negative: the value stored with the model.",
        low=-1.0,
        high=1.0,
        live=True,
    )
    reacquire_positions: int = option(
        24,
        "Number of positions around the last one that are searched in turn while the target is lost; more "
        "find it farther away, but one round takes longer. 0: only the last position.",
        low=0,
        high=1000,
    )
    init_size_correction: float = option(
        0.7,
        "How strongly box sizes are corrected towards the size of the initial box: 0 not at all (as "
        "published), 1 fully.",
        low=0.0,
        high=1.0,
    )
    size_smoothing: float = option(
        0.3,
        "Share of a size change that the box takes over per frame; higher is faster but less steady, 1 "
        "follows at once (as published).",
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
        "Correlation filter that learns the target while it is tracked; its response and the network's score "
        "together choose the place and decide whether the target is there. auto: on for the models that it "
        "improves (docs/models.md). It costs 1 ms per frame, and with other networks than lite also one run "
        "of lite.",
        choices=("auto", "on", "off"),
    )
    max_coast: float = option(
        0.5,
        "Seconds for which a box is still published while the target is doubtful or hidden (UNCERTAIN); "
        "longer bridges longer occlusions, but publishes more wrong boxes. 0: no such box is published.",
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
        "for the tracker only if the tracker keeps up with the frame rate. off: the node waits for it in "
        "every frame.",
        Scope.NODE,
        choices=("auto", "off"),
    )
    image_transport: str = option(
        "raw", "Image topic: `image` (raw) or `image/compressed`.", Scope.NODE, choices=("raw", "compressed")
    )
    reliability: str = option(
        "auto",
        "QoS reliability of the image subscription; auto copies the publisher's.",
        Scope.NODE,
        choices=("auto", "reliable", "best_effort"),
    )
    init_box: tuple[float, ...] = option(
        (),
        "Target in the first frame after configure, as [x, y, w, h] in pixels. Empty: wait for the init_box topic.",
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
        "Which detection of the init_detections topic becomes the target while there is none; nearest is to "
        "the point in select_value. It starts one target; set it again for the next one.",
        Scope.NODE,
        choices=("off", "id", "class", "nearest", "best"),
        live=True,
    )
    select_value: str = option(
        "",
        "What select compares with: an id, a class, or a point as x,y in pixels (empty: the middle of the frame).",
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
        256, "Memory limit of these frames in MiB; the newest is always kept.", Scope.NODE, low=1, high=65536
    )
    range16: tuple[float, ...] = option(
        (),
        "Pixel values of 16-bit images that become black and white, as [low, high]. Empty: they adapt to the stream.",
        Scope.NODE,
        items=RANGE_ITEMS,
        fits=is_range16,
        rule=RANGE_RULE,
    )
    record_folder: str = option(
        "",
        "Folder in which the flight recorder writes the last seconds (MCAP). Empty: nothing is recorded.",
        Scope.NODE,
    )
    record_seconds: float = option(
        20.0, "How many seconds the flight recorder keeps.", Scope.NODE, low=1.0, high=3600.0
    )
    record_memory_mb: int = option(
        64,
        "Memory limit of the flight recorder in MiB; the oldest messages are dropped.",
        Scope.NODE,
        low=1,
        high=65536,
    )
    record_disk_mb: int = option(
        1024,
        "Limit of all flight recordings in the folder in MiB; the oldest files are removed.",
        Scope.NODE,
        low=1,
        high=10**7,
    )
    record_on_loss: bool = option(
        True,
        "Write a flight recording when a target is lost; false writes one only when `~/dump` is called.",
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


def options_of(group: type[Options]) -> dict[str, Option]:
    """Name -> facts of every option of that group."""
    return {item.name: item.metadata["option"] for item in dataclasses.fields(group)}


def defaults_of(group: type[Options]) -> dict[str, Any]:
    """Name -> default of every option of that group."""
    return {item.name: item.default for item in dataclasses.fields(group)}


OPTIONS: dict[str, Option] = options_of(Config)
DEFAULTS: dict[str, Any] = defaults_of(Config)


def check(name: str, value: Any, group: type[Options] = Config) -> Any:
    """The value in the option's own type. Raises UserError if type, range or choice do not fit."""
    item = group.__dataclass_fields__[name]
    facts, default = item.metadata["option"], item.default
    value = _coerce(name, value, default)
    if facts.choices is not None and value not in facts.choices:
        raise UserError(f"{name}='{value}' is not possible: choose one of {', '.join(facts.choices)}")
    if facts.low is not None and facts.high is not None and not facts.low <= value <= facts.high:
        raise UserError(f"{name}={value} is out of range: give {facts.low:g} to {facts.high:g}")
    if facts.items and len(value) not in (0, len(facts.items)):
        wanted = ", ".join(facts.items)
        raise UserError(f"{name}={list(value)} has {len(value)} numbers: give [{wanted}] or nothing")
    if facts.fits is not None and value and not facts.fits(value):
        raise UserError(f"{name}={list(value)} cannot be used: give {facts.rule}")
    return value


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", tuple: "a list of numbers"}


def _coerce(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    try:
        if kind is tuple:
            if isinstance(value, str) or any(isinstance(v, (str, bool)) for v in value):
                raise TypeError
            return tuple(float(v) for v in value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # ROS reads source:=0 and weights:=2024 as numbers
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{name}={value!r} has the wrong type: give {_WORDS[kind]}") from None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{name}={value!r} has the wrong type: give {_WORDS[kind]}, for example {default!r}")
    return value


def markdown_table(group: type[Options] = Config) -> str:
    """The options of a group as the table that the docs hold: name, default, what is allowed, help.

    Where only some of them are known to the command line and to Python, a column says which.
    """
    options = options_of(group)
    mixed = len({facts.scope for facts in options.values()}) > 1
    rows = _row("option", "default", "allowed", "known to" if mixed else None, "meaning")
    rows += _row("---", "---", "---", "---" if mixed else None, "---")
    for name, facts in options.items():
        default = defaults_of(group)[name]
        shown = list(default) if isinstance(default, tuple) else default
        known = "node, CLI, Python" if facts.scope is Scope.TRACKER else "node"
        live = " Can be changed while running." if facts.live else ""
        allowed = _allowed(facts, default)
        rows += _row(f"`{name}`", f"`{shown!r}`", allowed, known if mixed else None, f"{facts.help}{live}")
    return "\n".join(rows)


def _row(*cells: str | None) -> list[str]:
    return [f"| {' | '.join(cell for cell in cells if cell is not None)} |"]


def _allowed(facts: Option, default: Any) -> str:
    if facts.choices:
        return ", ".join(f"`{choice}`" for choice in facts.choices)
    if facts.low is not None and facts.high is not None:
        return f"{facts.low:g} to {facts.high:g}"
    return {bool: "`true`, `false`", tuple: "numbers", str: "text"}[type(default)]
