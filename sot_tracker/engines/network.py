"""The interface of every inference backend: a `Network` with `template` and `search`, and the `Facts` about it.

A network is stateless. `template(patch)` returns everything that depends on the template patch alone, as an opaque
value for the same network; `search(cached, patch)` returns the maps. So one loaded network can be used for many
targets, and from several threads.
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
"""Inputs or outputs of a graph: name -> name of the NumPy type, and shape."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about a loaded network.

    engine: "onnx", "openvino" or "torch"; runtime: its name and version. device: the device in use, "cpu", "cuda" or
    "tensorrt". precision: "fp32", "bf16", "fp16" or "int8". threads: CPU threads, 0 if the engine chose.
    weights: the folder or file they came from. random: whether they are drawn from a seed, for benchmarks only.
    lost_threshold: the score stored with the weights, below which the target counts as lost.
    parameters: number of weights; macs: multiply-accumulates of one search; None without a manifest.
    calibration: computes a probability from the maps; None without one.
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
    """A loaded network; see the module's docstring.

    failures: the exceptions that the runtime raises if it cannot compute.
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
        """Everything that depends on the template patch alone, as an opaque value for this network's `search`."""

    @abstractmethod
    def search(self, cached: Any, patch: Patch) -> Maps:
        """The maps of one search patch."""

    def drop_template(self) -> None:  # noqa: B027  an engine that has one module for both frees nothing
        """Free the memory that only `template` needs, if the engine can. `template` must not be called afterwards."""

    def search_many(self, inputs: Sequence[tuple[Any, Patch]]) -> list[Maps]:
        """The maps of several searches, in their order. inputs: the cached template value and the patch of each.

        Here they run one after the other. Engines loaded with `Config.max_targets` above 1 run them faster: in parallel
        threads on a CPU, as one batch on a GPU.
        """
        return [self.search(cached, patch) for cached, patch in inputs]

    def warm_up(self, spec: NetworkSpec, targets: int = 1) -> None:
        """Run once, so that the first frame is as fast as the others, and check that the maps are those of `spec`.

        targets: largest number of targets that will be searched for together; if it is above 1, this is run once too.

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
    """Raise UserError unless inputs and outputs of a model folder's graph are those of the manifest and `spec`.

    graph: a path whose name is `TEMPLATE` or `SEARCH`. A first axis that is a string is dynamic: the number of targets.
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
    """Whether type and shape are equal, apart from a dynamic first axis."""
    if found is None or expected is None or not found[1] or not isinstance(found[1][0], str):
        return found == expected
    return (found[0], found[1][1:]) == (expected[0], expected[1][1:])


def _tensor(name: str, tensors: Tensors) -> str:
    if name not in tensors:
        return f"no {ascii(name)[:60]}"
    kind, shape = tensors[name]
    return f"{ascii(name)[:60]} {kind} {'x'.join(map(str, shape))}"
