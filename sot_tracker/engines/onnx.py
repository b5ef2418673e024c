"""ONNX Runtime: reads model folders; CPU, CUDA and TensorRT in fp32, TensorRT also in fp16."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from sot_tracker.catalog import ModelSpec
from sot_tracker.config import Config
from sot_tracker.engines import tensorrt
from sot_tracker.engines.network import Facts, Maps, Network, Patch
from sot_tracker.errors import UserError
from sot_tracker.model_folder import SEARCH, TEMPLATE, Source, export_hint

log = logging.getLogger(__name__)

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_CANNOT_READ = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NotImplemented,
    failures.RuntimeException,
)
_ERRORS_ONLY = 3


class OnnxNetwork(Network):
    """Both graphs as sessions; what `template` gives stays on the device."""

    def __init__(self, template: Any, search: Any, facts: Facts) -> None:
        super().__init__(facts)
        self._template, self._search = template, search
        self._home = "cpu" if facts.device == "cpu" else "cuda"

    def template(self, patch: Patch) -> dict[str, Any]:
        return self._run(self._template, {}, patch)

    def search(self, cached: dict[str, Any], patch: Patch) -> Maps:
        return {name: value.numpy()[0] for name, value in self._run(self._search, cached, patch).items()}

    def _run(self, session: Any, cached: dict[str, Any], patch: Patch) -> dict[str, Any]:
        binding = session.io_binding()
        binding.bind_cpu_input("patch", np.ascontiguousarray(patch[None]))
        for name, value in cached.items():
            binding.bind_ortvalue_input(name, value)
        names = [output.name for output in session.get_outputs()]
        for name in names:
            binding.bind_output(name, self._home)
        session.run_with_iobinding(binding)
        return dict(zip(names, binding.get_outputs(), strict=True))


def load(model: ModelSpec, source: Source, config: Config) -> OnnxNetwork:
    """Raises UserError for a device that is not there, a precision it cannot do, or graphs it cannot read."""
    assert source.folder is not None  # `load_network` hands over folders only
    device = choose_device(config.device, onnxruntime.get_available_providers())
    precision = _precision(config.precision, device)
    extra: dict[str, Any] = {}
    if device == "tensorrt":
        extra = tensorrt.provider_options(tensorrt.prepared_cache(model, source, precision), precision)
    template, search = (
        open_session(source.folder / name, device, config.threads, extra) for name in (TEMPLATE, SEARCH)
    )
    device = _settled(config.device, device, search.get_providers())
    facts = Facts.of(
        source,
        engine="onnx",
        runtime=f"ONNX Runtime {onnxruntime.__version__}",
        device=device,
        precision=precision,
        threads=config.threads,
    )
    return OnnxNetwork(template, search, facts)


def build_tensorrt(model: ModelSpec, source: Source, config: Config) -> Iterator[Path]:
    """Build both TensorRT engines into the cache that `load` reads; gives each graph before its minutes of work.

    An interrupted build is no build: the stamp comes last. Raises UserError without a GPU, TensorRT or a model folder.
    """
    if source.folder is None:
        raise UserError(f"TensorRT engines are built from a model folder: run `{export_hint(model)}` first")
    device = choose_device("tensorrt", onnxruntime.get_available_providers())
    precision = _precision(config.precision, device)
    cache = tensorrt.cache_folder(model, source, precision, tensorrt.tensorrt_version())
    cache.mkdir(parents=True, exist_ok=True)
    for name in (TEMPLATE, SEARCH):
        yield source.folder / name
        session = open_session(
            source.folder / name, device, config.threads, tensorrt.provider_options(cache, precision)
        )
        _settled(device, device, session.get_providers())
    (cache / tensorrt.STAMP).write_text(json.dumps({"model": model.name, "precision": precision}), encoding="utf-8")


def open_session(path: Path, device: str, threads: int, provider_options: dict[str, Any]) -> Any:
    """One graph on that device, with the CPU behind it. Raises UserError for a graph that cannot be read."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    providers: list[Any] = [(_PROVIDERS[device], provider_options)]
    if device == "tensorrt":
        providers.append(_PROVIDERS["cuda"])
    if device != "cpu":
        providers.append(_PROVIDERS["cpu"])
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except _CANNOT_READ as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"ONNX Runtime cannot run {path} ({reason}): update onnxruntime, or export the model again"
        ) from None


def choose_device(wanted: str, available: list[str]) -> str:
    """The device to try; auto is cuda where ONNX Runtime was built with it. TensorRT is never taken unasked."""
    if wanted == "auto":
        return "cuda" if _PROVIDERS["cuda"] in available else "cpu"
    if _PROVIDERS[wanted] not in available:
        raise UserError(
            f"device={wanted}, but this ONNX Runtime has no {_PROVIDERS[wanted]}: install onnxruntime-gpu"
            f" (on Jetson the wheel of your JetPack), or choose device=cpu"
        )
    return wanted


def _settled(wanted: str, tried: str, running: list[str]) -> str:
    """Where the session really runs. Raises UserError if the device was asked for and did not start."""
    if _PROVIDERS[tried] in running:
        return tried
    if wanted != "auto":
        raise UserError(
            f"device={wanted}, but ONNX Runtime could not start it (driver, CUDA or cuDNN missing or of another"
            f" version): mend that, or choose device=cpu"
        )
    log.warning("ONNX Runtime has %s but could not start it; the network runs on the CPU", _PROVIDERS[tried])
    return "cpu"


def _precision(wanted: str, device: str) -> str:
    precision = "fp32" if wanted == "auto" else wanted
    if precision == "bf16" or (precision == "fp16" and device != "tensorrt"):
        raise UserError(
            f"precision={precision} is not for ONNX Runtime on {device}: choose fp32, engine=openvino or engine=torch"
        )
    return precision
