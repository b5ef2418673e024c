"""OpenVINO on x86 CPUs: reads model folders; fp32, or bf16 where the processor has it (AMX, AVX-512 BF16)."""

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
"""What the arithmetic of the rest is in; which operators are int8 stands in the graph. Without bf16 it is f32."""


class _Request:
    """One set of a compiled graph's buffers."""

    def __init__(self, graph: Any) -> None:
        self._request = graph.create_infer_request()
        self._outputs = {output.get_any_name(): self._request.get_tensor(output) for output in graph.outputs}
        self._inputs: dict[str, Any] = {}

    def start(self, cached: dict[str, Any], patch: Patch) -> None:
        """The arrays are read where they lie, until `wait`."""
        self._inputs = {**cached, "patch": openvino.Tensor(np.ascontiguousarray(patch[None]), shared_memory=True)}
        for name, value in self._inputs.items():
            self._request.set_tensor(name, value)
        self._request.start_async()

    def wait(self) -> Maps:
        """Copies of what the graph gives, batch axis first."""
        self._request.wait()
        return {name: tensor.data.copy() for name, tensor in self._outputs.items()}


class OpenVinoNetwork(Network):
    """Both graphs, compiled. A request has one set of buffers, so that calls take turns.

    Many targets are searched one after the other, with all threads each: streams side by side took twice as long with
    FERMT on two processors (OpenVINO 2026.4).
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
    """Raises UserError for another device than the CPU, a precision it cannot do, or graphs it cannot read."""
    if config.device not in ("auto", "cpu"):
        raise UserError(
            f"device={config.device} is not for the openvino engine: it runs on the CPU, or choose engine=onnx"
        )
    assert model.network is not None  # or it would have no weights
    core = openvino.Core()
    precision = _precision(core, config.precision)
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _hint(core, precision)}
    options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = 0  # int8 storage must not make the arithmetic int8
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
    """Both graphs of the model folder; kept in the user's cache, since compiling takes most of the time of a start."""
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
    """The graphs as an earlier start compiled them, for the same files, processor, options and OpenVINO."""
    graphs = []
    for place in _places(core, source, options):
        data = user_cache.read_sealed(place)
        if data is None:
            return None
        try:
            graphs.append(core.import_model(io.BytesIO(data), "CPU", options))
        except RuntimeError as error:
            log.warning("%s cannot be used and will be made again: %s", place, str(error).strip().splitlines()[-1])
            return None
    return graphs[0], graphs[1]


def _places(core: Any, source: Source, options: dict[str, Any]) -> list[Path]:
    """Where the template graph and the search graph are kept."""
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
    """Give a graph that takes any number of targets the exact shapes of one: they cost nothing."""
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
    """A text for every axis without a size."""
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
