"""What every inference backend offers: a `Network` with `template` and `search`, and the `Facts` about it.

A network is stateless. `template(patch)` gives what depends on the target alone, an opaque value that only the same
network understands; `search(cached, patch)` gives the maps. One loaded network therefore serves many targets and may
be called from several threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sot_tracker.calibration import Calibration
from sot_tracker.catalog import NetworkSpec
from sot_tracker.errors import UserError
from sot_tracker.manifest import TEMPLATE, are_maps
from sot_tracker.model_folder import Source

ENGINES = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
"""Engine -> the package it needs, in the order in which `auto` tries them."""

Patch = npt.NDArray[np.uint8]
"""S x S x 3, RGB, contiguous; S is the spec's template_size or search_size."""

Maps = dict[str, npt.NDArray[np.float32]]
"""Named maps of one patch without batch axis, as listed per decoding in docs/architecture.md."""

Tensors = dict[str, tuple[str, list[Any]]]
"""What a graph takes or gives: name -> NumPy's name of the type, and the shape."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a loaded network.

    engine: "onnx", "openvino" or "torch", with its version in `runtime`. device: "cpu", "cuda" or "tensorrt", the one
    really taken. precision: "fp32", "bf16" or "fp16". threads: CPU threads, 0 where the engine chose.
    weights: where they came from. random: drawn from a seed, for benchmarks only.
    lost_threshold: the score stored with the weights, below which the target counts as lost.
    parameters, macs: of the network, macs for one search step; None where no manifest says.
    calibration: what makes a probability of its maps; None where there is none.
    """

    engine: str
    runtime: str
    device: str
    precision: str
    threads: int
    weights: str
    lost_threshold: float
    random: bool = False
    parameters: int | None = None
    macs: int | None = None
    calibration: Calibration | None = None

    @classmethod
    def of(cls, source: Source, engine: str, runtime: str, device: str, precision: str, threads: int) -> Facts:
        known = source.manifest
        return cls(
            engine=engine,
            runtime=runtime,
            device=device,
            precision=precision,
            threads=threads,
            weights=source.name,
            lost_threshold=source.lost_threshold,
            random=source.random,
            parameters=known.parameters if known else None,
            macs=known.macs["search"] if known else None,
            calibration=known.calibration if known else None,
        )

    @property
    def description(self) -> str:
        threads = f", {self.threads} threads" if self.threads else ""
        weights = "RANDOM WEIGHTS, boxes mean nothing" if self.random else f"weights {self.weights}"
        return f"{self.runtime} on {self.device} in {self.precision}{threads}, {weights}"


class Network(ABC):
    """A network ready to run; see the module's docstring.

    failures: what the runtime raises when it cannot compute.
    """

    failures: ClassVar[tuple[type[Exception], ...]] = (RuntimeError,)

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @property
    def lost_threshold(self) -> float:
        """The calibrated threshold stored with the weights, 0..1."""
        return self.facts.lost_threshold

    @property
    def description(self) -> str:
        """One line for logs and diagnostics: engine, device, precision, threads, where the weights are from."""
        return self.facts.description

    @abstractmethod
    def template(self, patch: Patch) -> Any:
        """All that depends on the template alone; the value is only for this network's `search`."""

    @abstractmethod
    def search(self, cached: Any, patch: Patch) -> Maps:
        """The maps of one search patch."""

    def drop_template(self) -> None:  # noqa: B027  an engine that has one module for both frees nothing
        """Free what only `template` needs, where that can be freed. `template` must not be called any more."""

    def search_many(self, looks: Sequence[tuple[Any, Patch]]) -> list[Maps]:
        """The maps of many patches, each with its own target's cached value, in their order; here one after the other.

        An engine does better where it was loaded for `Config.max_targets` above 1: side by side on the processors of a
        CPU, as one batch on a GPU.
        """
        return [self.search(cached, patch) for cached, patch in looks]

    def warm_up(self, spec: NetworkSpec, targets: int = 1) -> None:
        """Run once, so that the first frame is as fast as the others, and see that the maps are those of `spec`.

        targets: most that will be searched together; with more than one, that is run once too.

        Raises UserError if the runtime fails, and for maps of other names or shapes or with numbers that are not
        finite.
        """
        sizes = (spec.template_size, spec.search_size)
        template, search = (np.full((size, size, 3), 127, np.uint8) for size in sizes)
        try:
            cached = self.template(template)
            maps = self.search(cached, search)
            if targets > 1:
                self.search_many([(cached, search)] * targets)
        except self.failures as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise UserError(f"{self.facts.runtime} cannot run {self.facts.weights} ({reason}): export again") from None
        found = {name: [1, *value.shape] for name, value in maps.items()}
        if not are_maps(found, spec):
            raise UserError(f"{self.facts.weights} gives other maps than the model's ({found}): export the model again")
        if not all(np.isfinite(value).all() for value in maps.values()):
            half = self.facts.precision == "fp16"
            cure = "choose precision=bf16 or fp32" if half else "copy or export the model again"
            raise UserError(f"{self.facts.weights} gives numbers that are not finite: {cure}")


def require_graph(source: Source, graph: Path, spec: NetworkSpec, inputs: Tensors, outputs: Tensors) -> None:
    """Raise UserError unless the graph of that model folder takes and gives what the manifest and `spec` say.

    graph: named as in the folder, `TEMPLATE` or `SEARCH`. A first axis that is a text is free: a number of targets.
    """
    assert source.manifest is not None
    is_template = graph.name == TEMPLATE
    size = spec.template_size if is_template else spec.search_size
    patch: Tensors = {"patch": ("uint8", [1, size, size, 3])}
    cached: Tensors = {name: ("float32", shape) for name, shape in source.manifest.cached.items()}
    maps: Tensors = {name: ("float32", shape) for name, shape in source.manifest.maps.items()}
    for role, found, expected in (
        ("takes", inputs, patch if is_template else patch | cached),
        ("gives", outputs, cached if is_template else maps),
    ):
        for name in sorted(found.keys() | expected.keys()):
            if not _fits(found.get(name), expected.get(name)):
                raise UserError(
                    f"{source.describe(graph)} {role} {_tensor(name, found)} where the model"
                    f" has {_tensor(name, expected)}: copy or export the model again"
                )


def _fits(found: tuple[str, list[Any]] | None, expected: tuple[str, list[Any]] | None) -> bool:
    """Whether the tensors are alike, or would be for one target."""
    if found is None or expected is None or not found[1] or not isinstance(found[1][0], str):
        return found == expected
    return (found[0], found[1][1:]) == (expected[0], expected[1][1:])


def _tensor(name: str, tensors: Tensors) -> str:
    if name not in tensors:
        return f"no {ascii(name)[:60]}"
    kind, shape = tensors[name]
    return f"{ascii(name)[:60]} {kind} {'x'.join(map(str, shape))}"
