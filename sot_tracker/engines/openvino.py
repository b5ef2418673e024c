"""The OpenVINO engine, for x86 CPUs; it reads model folders. fp32, int8, or bf16 if the processor has it (AMX, AVX-512
BF16)."""

from __future__ import annotations

import io
import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from sot_tracker import cpus, user_cache
from sot_tracker.catalog import ModelSpec, NetworkSpec
from sot_tracker.config import Config
from sot_tracker.engines.network import Facts, Maps, Network, Patch, Tensors, require_graph
from sot_tracker.errors import UserError
from sot_tracker.manifest import SEARCH, TEMPLATE
from sot_tracker.model_folder import Source, private_copy

log = logging.getLogger(__name__)

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""Precision -> arithmetic of all operators that are not int8 in the graph; f32 on a processor without bf16."""


class _Request:
    """An infer request, with input and output buffers of its own."""

    def __init__(self, graph: Any) -> None:
        self._request = graph.create_infer_request()
        self._outputs = {output.get_any_name(): self._request.get_tensor(output) for output in graph.outputs}
        self._inputs: dict[str, Any] = {}

    def start(self, cached: dict[str, Any], patch: Patch) -> None:
        """Start the graph. The arrays are not copied, so they must not be changed until `wait`."""
        self._inputs = {**cached, "patch": openvino.Tensor(np.ascontiguousarray(patch[None]), shared_memory=True)}
        for name, value in self._inputs.items():
            self._request.set_tensor(name, value)
        self._request.start_async()

    def wait(self) -> Maps:
        """Wait for the graph. Returns copies of its outputs, batch axis first."""
        self._request.wait()
        return {name: tensor.data.copy() for name, tensor in self._outputs.items()}


class OpenVinoNetwork(Network):
    """A network in OpenVINO. Calls from several threads run one after the other, since they share a request.

    Several targets are searched for one after the other, with all threads each: parallel streams took twice as long
    with FERMT on two processors (OpenVINO 2026.4).
    """

    def __init__(self, template: Any, search: Any, facts: Facts) -> None:
        super().__init__(facts)
        self._template: _Request | None = _Request(template)
        self._search = _Request(search)
        self._lock = threading.Lock()

    def template(self, patch: Patch) -> dict[str, Any]:
        assert self._template is not None
        with self._lock:
            self._template.start({}, patch)
            return {name: openvino.Tensor(value, shared_memory=True) for name, value in self._template.wait().items()}

    def drop_template(self) -> None:
        self._template = None

    def search(self, cached: dict[str, Any], patch: Patch) -> Maps:
        with self._lock:
            self._search.start(cached, patch)
            return {name: value[0] for name, value in self._search.wait().items()}


def load(model: ModelSpec, source: Source, config: Config) -> OpenVinoNetwork:
    """Load both graphs. Raises UserError for a device but the CPU, an unsupported precision, or unreadable graphs."""
    if config.device not in ("auto", "cpu"):
        raise UserError(
            f"device={config.device} is not for the openvino engine: it runs on the CPU, or choose engine=onnx"
        )
    assert model.network is not None  # or it would have no weights
    core = openvino.Core()
    precision = _precision(core, config.precision)
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _hint(core, precision)}
    options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0  # otherwise weights stored in int8 are also computed in int8
    if config.threads:
        options["INFERENCE_NUM_THREADS"] = config.threads
    template, search = _restored(core, source, options) or _compiled(core, model.network, source, options)
    facts = Facts.of(
        source,
        engine="openvino",
        runtime=f"OpenVINO {openvino.__version__.split('-')[0]}",
        device="cpu",
        precision=precision,
        threads=search.get_property("INFERENCE_NUM_THREADS"),
    )
    return OpenVinoNetwork(template, search, facts)


def _compiled(core: Any, spec: NetworkSpec, source: Source, options: dict[str, Any]) -> tuple[Any, Any]:
    """Compile both graphs, and store them in the user's cache, since compiling takes most of the loading time."""
    try:
        with private_copy(source) as files:
            graphs = [core.read_model(files[name]) for name in (TEMPLATE, SEARCH)]
            for name, graph in zip((TEMPLATE, SEARCH), graphs, strict=True):
                require_graph(source, files[name], spec, _tensors(graph.inputs), _tensors(graph.outputs))
                _fix_sizes(graph, source)
            template, search = (core.compile_model(graph, "CPU", options) for graph in graphs)
        if not source.random:
            for place, graph in zip(_places(core, source, options), (template, search), strict=True):
                whole = io.BytesIO()
                graph.export_model(whole)
                user_cache.write_sealed(place, whole.getvalue())
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"OpenVINO cannot run {source.folder} ({reason}): update openvino to 2025.0 or newer, or export again"
        ) from None
    return template, search


def _restored(core: Any, source: Source, options: dict[str, Any]) -> tuple[Any, Any] | None:
    """The compiled graphs from the cache, for the same files, processor, options and version; None without them."""
    graphs = []
    for place in _places(core, source, options):
        data = user_cache.read_sealed(place)
        if data is None:
            return None
        try:
            graphs.append(core.import_model(io.BytesIO(data), "CPU", options))
        except RuntimeError as error:
            log.warning("%s cannot be used and is made again: %s", place, str(error).strip().splitlines()[-1])
            return None
    return graphs[0], graphs[1]


def _places(core: Any, source: Source, options: dict[str, Any]) -> list[Path]:
    """The cache files of the compiled template graph and search graph."""
    assert source.manifest is not None
    key = {
        "files": source.files.files,
        "options": options,
        "openvino": openvino.__version__,
        "processor": [cpus.processor(), core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")],
    }
    names = (f"{source.manifest.model}-{name.removesuffix('.onnx')}" for name in (TEMPLATE, SEARCH))
    return [user_cache.keyed_file("openvino", name, key, ".blob") for name in names]


def _fix_sizes(graph: Any, source: Source) -> None:
    """Set the shapes of a dynamic graph to those of one target; with fixed shapes it runs faster."""
    assert source.manifest is not None
    if graph.is_dynamic():
        rows = {name: shape[0] for name, shape in source.manifest.cached.items()}
        graph.reshape({name: [rows.get(name, 1), *shape[1:]] for name, (_, shape) in _tensors(graph.inputs).items()})


def _tensors(ports: list[Any]) -> Tensors:
    return {
        port.get_any_name(): (np.dtype(port.get_element_type().to_dtype()).name, _shape(port.get_partial_shape()))
        for port in ports
    }


def _shape(shape: Any) -> list[Any]:
    """The shape as a list, with a string for every dynamic axis."""
    if shape.rank.is_dynamic:
        return [str(shape)]
    return [axis.get_length() if axis.is_static else str(axis) for axis in shape]


def _hint(core: Any, precision: str) -> str:
    return _HINTS[precision] if _has_bf16(core) else "f32"


def _has_bf16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _precision(core: Any, wanted: str) -> str:
    precision = "fp32" if wanted == "auto" else wanted
    if precision not in _HINTS:
        raise UserError(f"precision={precision} is not for the openvino engine: choose fp32, bf16 or int8")
    if precision == "bf16" and not _has_bf16(core):
        raise UserError("precision=bf16, but this processor has no bf16 arithmetic: choose precision=fp32")
    return precision
