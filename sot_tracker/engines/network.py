"""What every inference backend offers: a `Network` with `template` and `search`, and the `Facts` about it.

A network is stateless. `template(patch)` gives what depends on the target alone, an opaque value that only the same
network understands; `search(cached, patch)` gives the maps. One loaded network therefore serves many targets and may
be called from several threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sot_tracker.model_folder import Source

ENGINES = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
"""Engine -> the package it needs, in the order in which `auto` tries them."""

Patch = npt.NDArray[np.uint8]
"""S x S x 3, RGB, contiguous; S is the spec's template_size or search_size."""

Maps = dict[str, npt.NDArray[np.float32]]
"""Named maps of one patch without batch axis, as listed per decoding in docs/architecture.md."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a loaded network.

    engine: "onnx", "openvino" or "torch", with its version in `runtime`. device: "cpu", "cuda" or "tensorrt", the one
    really taken. precision: "fp32", "bf16" or "fp16". threads: CPU threads, 0 where the engine chose.
    weights: where they came from. random: drawn from a seed, for benchmarks only.
    lost_threshold: the score stored with the weights, below which the target counts as lost.
    parameters, macs: of the network, macs for one search step; None where no manifest says.
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

    @classmethod
    def of(cls, source: Source, engine: str, runtime: str, device: str, precision: str, threads: int) -> Facts:
        known = source.manifest
        return cls(
            engine=engine,
            runtime=runtime,
            device=device,
            precision=precision,
            threads=threads,
            weights=source.told,
            lost_threshold=source.lost_threshold,
            random=source.random,
            parameters=known.parameters if known else None,
            macs=known.macs["search"] if known else None,
        )

    @property
    def description(self) -> str:
        threads = f", {self.threads} threads" if self.threads else ""
        weights = "RANDOM WEIGHTS, boxes mean nothing" if self.random else f"weights {self.weights}"
        return f"{self.runtime} on {self.device} in {self.precision}{threads}, {weights}"


class Network(ABC):
    """A network ready to run; see the module's docstring."""

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
