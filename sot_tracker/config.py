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
        "Inference backend; auto takes what `sot-tracker tune` found fastest, else the first installed of onnx, "
        "openvino, torch that can read the weights.",
        choices=("auto", "onnx", "openvino", "torch"),
    )
    device: str = option(
        "auto",
        "Device of the network; auto takes a GPU if the engine finds one, and reports which device it took.",
        choices=("auto", "cpu", "cuda", "tensorrt"),
    )
    precision: str = option(
        "auto",
        "Number format of the network; bf16 and fp16 are faster where the hardware has them, and less exact; auto is "
        "fp32, or what `sot-tracker tune` found faster and as good.",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    min_agreement: float = option(
        0.97,
        "Least overlap with the boxes of fp32 that the manifest of an int8 or bf16 variant must show; lower takes "
        "rougher ones, 0 any.",
        low=0.0,
        high=1.0,
    )
    threads: int = option(
        0,
        "CPU threads of the network; more are faster up to the number of cores; 0 takes what `sot-tracker tune` found, "
        "else leaves the choice to the engine.",
        low=0,
        high=256,
    )
    weights: str = option(
        "", "Model folder or .safetensors file; empty takes the weights that ship; 'random' is for benchmarks only."
    )
    lost_threshold: float = option(
        -1.0,
        "Score below which the target counts as lost; higher reports losses sooner, but more of them by mistake; "
        "negative takes the value stored with the model.",
        low=-1.0,
        high=1.0,
        live=True,
    )
    reacquire_positions: int = option(
        24,
        "Number of positions around the last one that are searched in turn while the target is lost; more find it "
        "farther away, but take longer for one round; 0 searches only the last position.",
        low=0,
        high=1000,
    )
    init_size_correction: float = option(
        0.7,
        "How strongly box sizes are corrected towards the size of the initial box: 0 none (as published), 1 full.",
        low=0.0,
        high=1.0,
    )
    size_smoothing: float = option(
        0.3,
        "Share of a size change that the box follows per frame; higher is faster and less steady; 1 follows at once, "
        "as published.",
        low=0.05,
        high=1.0,
    )
    search_around: str = option(
        "expected",
        "Center of the search window; expected is where optical flow, the camera's motion and the target's velocity "
        "say that the target went, last is its last box, as published, and saves a millisecond.",
        choices=("expected", "last"),
    )
    second_opinion: str = option(
        "auto",
        "A filter that learns the target while it is followed has a say in where the target is, and in whether it is "
        "there at all; auto is on beside the models that it makes better (docs/models.md). It costs 1 ms per "
        "frame, and one run of lite beside other networks.",
        choices=("auto", "on", "off"),
    )
    max_coast: float = option(
        0.5,
        "Seconds for which a box is still published while the target is doubtful or hidden (UNCERTAIN); longer bridges "
        "longer occlusions, but with more wrong boxes; 0 publishes no such box.",
        low=0.0,
        high=60.0,
    )
    max_targets: int = option(
        1,
        "Most targets at a time; with 1 a new box replaces the target, with more every box with a new id adds one.",
        Scope.NODE,
        low=1,
        high=64,
    )
    propagate: str = option(
        "auto",
        "Optical flow between looks of the tracker; auto gives every frame a box at once and waits for the tracker "
        "only where it keeps pace with the frames, off waits for it in every frame.",
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
        "Target in the first frame after configure as [x, y, w, h] pixels; empty waits for the init_box topic.",
        Scope.NODE,
        items=BOX_ITEMS,
        fits=is_box,
        rule=BOX_RULE,
    )
    init_box_timeout: float = option(
        5.0,
        "Seconds that an init_box waits for a frame with its stamp before it is refused.",
        Scope.NODE,
        low=0.1,
        high=3600.0,
    )
    select: str = option(
        "off",
        "Which detection of the init_detections topic becomes the target while there is none; nearest is to the point "
        "in select_value. One target per setting: set it again for the next one.",
        Scope.NODE,
        choices=("off", "id", "class", "nearest", "best"),
        live=True,
    )
    select_value: str = option(
        "",
        "What select compares with: an id, a class, or a point as x,y in pixels; empty is the middle of the frame.",
        Scope.NODE,
        live=True,
    )
    autostart: bool = option(
        True, "Automatic start (configure and activate); false leaves it to a lifecycle manager.", Scope.NODE
    )
    frame_history: int = option(
        30, "Recent frames kept to start on a box that is older than the newest frame.", Scope.NODE, low=0, high=300
    )
    frame_history_mb: int = option(
        256, "Memory limit of these frames in MiB; the newest is always kept.", Scope.NODE, low=1, high=65536
    )
    range16: tuple[float, ...] = option(
        (),
        "Values of 16-bit pictures that become black and white as [low, high]; empty follows the stream.",
        Scope.NODE,
        items=RANGE_ITEMS,
        fits=is_range16,
        rule=RANGE_RULE,
    )
    record_folder: str = option(
        "",
        "Folder in which the flight recorder writes the last seconds (MCAP); empty records nothing.",
        Scope.NODE,
    )
    record_seconds: float = option(
        20.0, "How many seconds the flight recorder keeps.", Scope.NODE, low=1.0, high=3600.0
    )
    record_memory_mb: int = option(
        64, "Memory limit of the flight recorder in MiB; the oldest is dropped.", Scope.NODE, low=1, high=65536
    )
    record_disk_mb: int = option(
        1024,
        "Limit of all flight recordings in the folder in MiB; the oldest are removed.",
        Scope.NODE,
        low=1,
        high=10**7,
    )
    record_on_loss: bool = option(
        True, "Flight recording when a target is lost; false writes one only on `~/dump`.", Scope.NODE
    )
    debug_width: int = option(
        960,
        "Largest width of debug_image in pixels; wider frames are shrunk, larger takes more bandwidth.",
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
