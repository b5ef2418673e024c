"""The single source of every option: default, range and help text.

ROS parameters (`ros/parameters.py`), command-line flags (`cli.py`), the YAML files in `config/` and the table in the
README are all made from, or compared with, the fields of `Config`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from sot_tracker.errors import UserError

if TYPE_CHECKING:
    from typing_extensions import Self


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
        """Raises UserError for an option that does not exist."""
        known = options_of(cls)
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(f"unknown option '{unknown[0]}': known are {', '.join(known)}")
        return cls(**values)


@dataclass(frozen=True)
class Config(Options):
    """The options of the tracker and of its node."""

    model: str = option("fermt", "Tracker to run; `sot-tracker models` lists the names.")
    engine: str = option(
        "auto",
        "What runs the network; auto takes the first installed of onnx, openvino, torch that can read the weights.",
        choices=("auto", "onnx", "openvino", "torch"),
    )
    device: str = option(
        "auto",
        "Where the network runs; auto takes a GPU if the engine finds one and says which it took.",
        choices=("auto", "cpu", "cuda", "tensorrt"),
    )
    precision: str = option(
        "auto", "Arithmetic of the network; auto is fp32.", choices=("auto", "fp32", "bf16", "fp16")
    )
    threads: int = option(0, "CPU threads of the network; 0 leaves the choice to the engine.", low=0, high=256)
    weights: str = option(
        "", "Model folder or .safetensors file; empty takes the model that ships; 'random' is for benchmarks only."
    )
    lost_threshold: float = option(
        -1.0,
        "Scores below this mean the target is lost; negative takes the value stored with the model.",
        low=-1.0,
        high=1.0,
        live=True,
    )
    reacquire_positions: int = option(
        24,
        "Number of positions around the last one that are searched in turn while the target is lost; more find a "
        "target that returned farther away, but take longer for one turn; 0 searches only the last position.",
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
        "Share of a size change that the box follows per frame; more follows faster but less steadily, 1 at once (as "
        "published).",
        low=0.05,
        high=1.0,
    )
    image_transport: str = option(
        "raw", "Subscribe to `image` (raw) or `image/compressed`.", Scope.NODE, choices=("raw", "compressed")
    )
    reliability: str = option(
        "auto",
        "QoS of the image subscription; auto copies the publisher's.",
        Scope.NODE,
        choices=("auto", "reliable", "best_effort"),
    )
    init_box: tuple[float, ...] = option(
        (), "Target in the first frame as [x, y, w, h] pixels; empty waits for the init_box topic.", Scope.NODE
    )
    autostart: bool = option(
        True, "Configure and activate at start; false leaves it to a lifecycle manager.", Scope.NODE
    )
    frame_history: int = option(
        30, "Recent frames kept to start on a box that is older than the newest frame.", Scope.NODE, low=0, high=300
    )
    debug_width: int = option(
        960,
        "Largest width of debug_image in pixels; wider frames are shrunk.",
        Scope.NODE,
        low=64,
        high=7680,
        live=True,
    )


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
    facts, default = options_of(group)[name], defaults_of(group)[name]
    value = _coerce(name, value, default)
    if facts.choices is not None and value not in facts.choices:
        raise UserError(f"{name}='{value}' is not possible: choose one of {', '.join(facts.choices)}")
    if facts.low is not None and facts.high is not None and not facts.low <= value <= facts.high:
        raise UserError(f"{name}={value} is out of range: give {facts.low:g} to {facts.high:g}")
    if name == "init_box" and len(value) not in (0, 4):
        raise UserError(f"init_box={list(value)} has {len(value)} numbers: give [x, y, w, h] or nothing")
    return value


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", tuple: "a list of numbers"}


def _coerce(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    try:
        if kind is tuple:
            return tuple(float(v) for v in value)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if kind is str and isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # ROS reads source:=0 and weights:=2024 as numbers
    except (TypeError, ValueError):
        raise UserError(f"{name}={value!r} has the wrong type: give {_WORDS[tuple]}") from None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{name}={value!r} has the wrong type: give {_WORDS[kind]}, for example {default!r}")
    return value


def markdown_table(group: type[Options] = Config) -> str:
    """The options of a group as the table that the docs hold: name, default, what is allowed, who knows it, help."""
    rows = ["| option | default | allowed | known to | meaning |", "| --- | --- | --- | --- | --- |"]
    for name, facts in options_of(group).items():
        default = defaults_of(group)[name]
        shown = list(default) if isinstance(default, tuple) else default
        told = f"`{shown!r}`"
        known = "node, CLI, Python" if facts.scope is Scope.TRACKER else "node"
        live = " Can be changed while running." if facts.live else ""
        rows.append(f"| `{name}` | {told} | {_allowed(facts, default)} | {known} | {facts.help}{live} |")
    return "\n".join(rows)


def _allowed(facts: Option, default: Any) -> str:
    if facts.choices:
        return ", ".join(f"`{choice}`" for choice in facts.choices)
    if facts.low is not None and facts.high is not None:
        return f"{facts.low:g} to {facts.high:g}"
    return {bool: "`true`, `false`", tuple: "numbers", str: "text"}[type(default)]
