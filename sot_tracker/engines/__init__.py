"""Running a network: arrays in, arrays out. `load_network` is the one way in; engines know nothing of boxes or images.

A network is stateless. `template(patch)` gives what depends on the target alone, an opaque value that only the same
network understands; `search(cached, patch)` gives the maps. One loaded network therefore serves many targets and may
be called from several threads.
"""

from __future__ import annotations

import logging
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sot_tracker.config import Config
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.model_folder import Source, export_hint, find_weights
from sot_tracker.zoo import ModelSpec

log = logging.getLogger(__name__)

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


def load_network(model: ModelSpec, config: Config) -> Network:
    """The network of that model, run once so that the first frame is as fast as the others.

    Raises UserError for missing or damaged weights and for what the machine cannot do; MissingPackage where the engine
    is not installed.
    """
    source = find_weights(model, config.weights)
    name = choose_engine(model, source, config)
    if source.is_seed and name != "torch":
        with tempfile.TemporaryDirectory(prefix="sot_tracker-") as place:
            network = _load(name, model, _exported(model, source, Path(place)), config)
    else:
        network = _load(name, model, source, config)
    if network.facts.random:
        log.warning("%s runs with RANDOM WEIGHTS: its boxes mean nothing, this is for benchmarks only", model.name)
    log.info("%s: %s", model.name, network.description)
    return network


def choose_engine(model: ModelSpec, source: Source, config: Config) -> str:
    """The engine asked for, or the first installed one that can read the weights and do what is asked.

    Raises UserError if the weights are not for that engine, MissingPackage if it is not installed.
    """
    wanted = list(ENGINES) if config.engine == "auto" else [config.engine]
    readers = [name for name in wanted if name == "torch" or source.folder or source.is_seed]
    if not readers:
        raise UserError(
            f"engine={config.engine} reads model folders, not {source.told}: run `{export_hint(model)}` first"
        )
    if config.engine == "auto":
        readers = [name for name in readers if _suits(name, source, config)] or readers[:1]
    for name in readers:
        if find_spec(ENGINES[name]) is not None:
            return name
    if config.engine == "auto" and config.device == "cuda":
        raise MissingPackage("onnxruntime-gpu", f"running {model.name} with device=cuda", "pip install onnxruntime-gpu")
    raise MissingPackage(ENGINES[readers[0]], f"running {model.name}", f"pip install 'sot_tracker[{readers[0]}]'")


def _suits(name: str, source: Source, config: Config) -> bool:
    """Whether `auto` should try this engine for the precision and device asked for, and for bare random weights."""
    if name == "torch":
        return config.device != "tensorrt"
    if source.is_seed and config.device != "tensorrt":
        return False
    if name == "openvino":
        return config.device in ("auto", "cpu") and config.precision != "fp16"
    if config.precision == "bf16" or (config.precision == "fp16" and config.device != "tensorrt"):
        return False
    if config.device == "cuda" and find_spec(ENGINES[name]) is not None:
        return "CUDAExecutionProvider" in import_module(ENGINES[name]).get_available_providers()
    return True


def _load(name: str, model: ModelSpec, source: Source, config: Config) -> Network:
    network: Network = import_module(f"sot_tracker.engines.{name}").load(model, source, config)
    assert model.network is not None  # or it would have no weights
    template, search = (
        np.zeros((size, size, 3), np.uint8) for size in (model.network.template_size, model.network.search_size)
    )
    network.search(network.template(template), search)
    return network


def _exported(model: ModelSpec, source: Source, place: Path) -> Source:
    from sot_tracker.export import export

    return export(model, source, place / model.name, storage="fp32")
