"""ONNX Runtime: reads model folders; CPU, CUDA and TensorRT in fp32, TensorRT also in fp16."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from sot_tracker import cpus
from sot_tracker.atomic import write_text
from sot_tracker.catalog import ModelSpec, NetworkSpec
from sot_tracker.config import Config
from sot_tracker.engines import tensorrt
from sot_tracker.engines.network import Facts, Maps, Network, Patch, Tensors, require_graph
from sot_tracker.errors import UserError
from sot_tracker.manifest import SEARCH, TEMPLATE, axis_name, export_hint
from sot_tracker.model_folder import Source, private_copy

log = logging.getLogger(__name__)

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_FAILURES = (
    failures.EngineError,
    failures.EPFail,
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.ModelLoaded,
    failures.NoModel,
    failures.NoSuchFile,
    failures.NotImplemented,
    failures.RuntimeException,
    RuntimeError,
)
_TYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
_ERRORS_ONLY = 3
_AS_REQUESTED = 1  # an arena grows by what is needed, not to the next power of two


class OnnxNetwork(Network):
    """A network in ONNX Runtime, with one session per graph. The values of `template` stay on the device.

    side_by_side: a second session of the search graph that uses one thread, and an executor whose threads run it for
        one target each. On a CPU this is faster than one target after the other with all threads, because twice as many
        threads are less than twice as fast. None if there is only one target.
    batch: whether the search graph accepts any number of targets.
    """

    failures = _FAILURES

    def __init__(
        self,
        template: Any,
        search: Any,
        facts: Facts,
        side_by_side: tuple[Any, Executor] | None = None,
        batch: bool = False,
    ) -> None:
        super().__init__(facts)
        self._template, self._search = template, search
        self._side_by_side, self._batch = side_by_side, batch
        self._home = "cpu" if facts.device == "cpu" else "cuda"
        self._run_options: Any = None  # ONNX Runtime's own
        self._names = {id(session): [output.name for output in session.get_outputs()] for session in self._sessions()}

    def warm_up(self, spec: NetworkSpec, targets: int = 1) -> None:
        """See `Network.warm_up`. On a CPU the working memory of these first runs is freed again.

        A session allocates memory piece by piece in its first run. From the second run on it allocates one block of the
        size that it measured, but would also keep the pieces.
        """
        if self.facts.device == "cpu":
            self._run_options = onnxruntime.RunOptions()
            self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        super().warm_up(spec, targets)
        self._run_options = None

    def template(self, patch: Patch) -> dict[str, Any]:
        return self._run(self._template, {}, patch[None])

    def drop_template(self) -> None:
        self._template = None

    def search(self, cached: dict[str, Any], patch: Patch) -> Maps:
        return self._search_one(self._search, cached, patch)

    def search_many(self, inputs: Sequence[tuple[dict[str, Any], Patch]]) -> list[Maps]:
        if len(inputs) > 1 and self._side_by_side is not None:
            session, threads = self._side_by_side
            return list(threads.map(lambda one: self._search_one(session, *one), inputs))
        if len(inputs) > 1 and self._batch:
            return self._search_batch(inputs)
        return super().search_many(inputs)

    def _search_batch(self, inputs: Sequence[tuple[dict[str, Any], Patch]]) -> list[Maps]:
        """Search for all targets in one call. Their cached tensors are concatenated in CPU memory."""
        first = inputs[0][0]
        cached = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.concatenate([one[name].numpy() for one, _ in inputs]))
            for name in first
        }
        found = self._run(self._search, cached, np.stack([patch for _, patch in inputs]))
        maps = {name: value.numpy() for name, value in found.items()}
        return [{name: value[i] for name, value in maps.items()} for i in range(len(inputs))]

    def _search_one(self, session: Any, cached: dict[str, Any], patch: Patch) -> Maps:
        return {name: value.numpy()[0] for name, value in self._run(session, cached, patch[None]).items()}

    def _run(self, session: Any, cached: dict[str, Any], patches: Patch) -> dict[str, Any]:
        binding = session.io_binding()
        binding.bind_cpu_input("patch", np.ascontiguousarray(patches))
        for name, value in cached.items():
            binding.bind_ortvalue_input(name, value)
        names = self._names[id(session)]
        for name in names:
            binding.bind_output(name, self._home)
        session.run_with_iobinding(binding, self._run_options)
        return dict(zip(names, binding.get_outputs(), strict=True))

    def _sessions(self) -> list[Any]:
        return [self._template, self._search, *([self._side_by_side[0]] if self._side_by_side else [])]


def load(model: ModelSpec, source: Source, config: Config) -> OnnxNetwork:
    """Load both graphs. Raises UserError for a missing device, an unsupported precision, or unreadable graphs."""
    spec = model.network
    assert spec is not None  # or it would have no weights
    device = choose_device(config.device, onnxruntime.get_available_providers())
    precision = _precision(config.precision, device)
    extra: dict[str, Any] = {}
    if device == "tensorrt":
        extra = tensorrt.provider_options(tensorrt.prepared_cache(model, source, precision), precision)
    workers = min(config.max_targets, config.threads or cpus.usable()) if device == "cpu" else 1
    batch = config.max_targets > 1 and device == "cuda"
    with private_copy(source) as files:

        def opened(name: str, threads: int, free: bool) -> Any:
            graph = files[name]
            session = open_session(graph, device, threads, extra, source.describe(graph), _sizes(source, free))
            tensors = _tensors(session.get_inputs()), _tensors(session.get_outputs())
            require_graph(source, graph, spec, *tensors)
            return session

        template, search = opened(TEMPLATE, config.threads, False), opened(SEARCH, config.threads, batch)
        narrow = opened(SEARCH, 1, False) if workers > 1 else None
    batch = batch and any(isinstance(value.shape[0], str) for value in search.get_inputs())
    device = _settled(config.device, device, search.get_providers())
    facts = Facts.of(
        source,
        engine="onnx",
        runtime=f"ONNX Runtime {onnxruntime.__version__}",
        device=device,
        precision=precision,
        threads=config.threads,
    )
    executor = ThreadPoolExecutor(workers, thread_name_prefix="search") if narrow else None
    return OnnxNetwork(template, search, facts, (narrow, executor) if executor else None, batch)


def _sizes(source: Source, free: bool) -> dict[str, int]:
    """Dynamic axis of a graph (`manifest.axis_name`) -> its size for one target; with fixed shapes it runs faster.

    Empty for `free`, which leaves the axes dynamic.
    """
    assert source.manifest is not None
    return {} if free else {axis_name(shape[0]): shape[0] for shape in [[1], *source.manifest.cached.values()]}


def build_tensorrt(model: ModelSpec, source: Source, config: Config) -> Iterator[Path]:
    """Build both TensorRT engines in the cache that `load` reads. Yields the path of each graph before building it.

    The stamp is written last, so that an interrupted build is not used. Raises UserError without a GPU, TensorRT or a
    model folder.
    """
    if source.folder is None:
        raise UserError(f"TensorRT engines are built from a model folder: run `{export_hint(model)}` first")
    device = choose_device("tensorrt", onnxruntime.get_available_providers())
    precision = _precision(config.precision, device)
    cache = tensorrt.cache_folder(model, source, precision, tensorrt.tensorrt_version())
    cache.mkdir(parents=True, exist_ok=True)
    for name in (TEMPLATE, SEARCH):
        graph = source.folder / source.files.path(name)
        yield graph
        options = tensorrt.provider_options(cache, precision)
        session = open_session(graph, device, config.threads, options, sizes=_sizes(source, free=False))
        _settled(device, device, session.get_providers())
    write_text(cache / tensorrt.STAMP, json.dumps({"model": model.name, "precision": precision}))


def open_session(
    path: Path,
    device: str,
    threads: int,
    provider_options: dict[str, Any],
    name: str = "",
    sizes: Mapping[str, int] | None = None,
) -> Any:
    """Load a graph on that device, with the CPU for operators that the device lacks.

    sizes: fixed sizes for dynamic axes, by name. name: of the graph in error messages, by default its path. Raises
    UserError for a graph that cannot be read.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    if device == "cpu":
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")  # the shared arena
    for axis, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(axis, size)
    providers: list[Any] = [(_PROVIDERS[device], provider_options)]
    if device == "tensorrt":
        providers.append(_PROVIDERS["cuda"])
    if device != "cpu":
        providers.append(_PROVIDERS["cpu"])
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except _FAILURES as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"ONNX Runtime cannot run {name or path} ({reason}): update onnxruntime, or export the model again"
        ) from None


@functools.cache
def _share_arena() -> None:
    """Create one arena of working memory for all sessions of this process that use the environment's allocators.

    Sessions hardly ever run at the same time, and each one would otherwise keep 10 to 20 MB of its own.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    with contextlib.suppress(RuntimeError):  # old versions allow only one, and the calling program may have created one
        onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(0, _AS_REQUESTED, -1, -1))


def _tensors(arguments: list[Any]) -> Tensors:
    return {one.name: (_TYPES.get(one.type, one.type), list(one.shape)) for one in arguments}


def choose_device(wanted: str, available: list[str]) -> str:
    """The device to try; "auto" is cuda if ONNX Runtime was built with it. TensorRT is only used if requested."""
    if wanted == "auto":
        return "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    if _PROVIDERS[wanted] not in available:
        raise UserError(
            f"device={wanted}, but this ONNX Runtime has no {_PROVIDERS[wanted]}: install onnxruntime-gpu"
            f" (on Jetson the wheel of your JetPack), or choose device=cpu"
        )
    return wanted


def _settled(wanted: str, tried: str, running: list[str]) -> str:
    """The device on which the session runs. Raises UserError if a requested device did not start."""
    if _PROVIDERS[tried] in running:
        return tried
    if wanted != "auto":
        raise UserError(
            f"device={wanted}, but ONNX Runtime could not start it (driver, CUDA or cuDNN missing or of another"
            f" version): install them, or choose device=cpu"
        )
    log.warning("ONNX Runtime has %s but could not start it; the network runs on the CPU", _PROVIDERS[tried])
    return "cpu"


def _precision(wanted: str, device: str) -> str:
    precision = "fp32" if wanted == "auto" else wanted
    if precision not in {"cpu": ("fp32", "int8"), "cuda": ("fp32",), "tensorrt": ("fp32", "fp16")}[device]:
        raise UserError(
            f"precision={precision} is not for ONNX Runtime on {device}: choose fp32, engine=openvino or engine=torch"
        )
    return precision
