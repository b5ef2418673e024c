"""TensorRT engines for ONNX Runtime. They are built by `sot-tracker prepare`, never while images arrive.

Building takes minutes on a Jetson. The cache folder is named by model hash, precision and TensorRT version; `onnx.load`
with device=tensorrt only reads it. This module can be imported without a GPU.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import json
from pathlib import Path
from typing import Any

from sot_tracker import user_cache
from sot_tracker.catalog import ModelSpec
from sot_tracker.errors import UserError
from sot_tracker.model_folder import Source

STAMP = "prepared.json"
"""Written when both engines are built; a folder without it is an interrupted build."""

_LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.9", "libnvinfer.so.8", "libnvinfer.so")


def prepared_cache(model: ModelSpec, source: Source, precision: str) -> Path:
    """The cache folder of engines built earlier. Raises UserError telling how to build them."""
    folder = cache_folder(model, source, precision, tensorrt_version())
    if not (folder / STAMP).is_file():
        weights = f" --weights {source.folder}" if source.folder else ""
        raise UserError(
            f"no TensorRT engine of '{model.name}' in {precision} is built for this TensorRT: build it once with"
            f" `sot-tracker prepare --model {model.name} --device tensorrt --precision {precision}{weights}`"
        )
    return folder


def cache_folder(model: ModelSpec, source: Source, precision: str, version: str) -> Path:
    """The cache folder for these model files, this precision and this TensorRT version; it may not exist."""
    digest = hashlib.sha256(json.dumps(source.files.files, sort_keys=True).encode()).hexdigest()[:16]
    return cache_root() / f"{model.name}-{digest}-{precision}-trt{version}"


def cache_root() -> Path:
    return user_cache.place("tensorrt")


def provider_options(cache: Path, precision: str) -> dict[str, Any]:
    """Options of ONNX Runtime's TensorRT execution provider."""
    return {
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": True,
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": precision == "fp16",
    }


def tensorrt_version() -> str:
    """Version of the installed TensorRT library, for example "10.3.0". Raises UserError if none is installed."""
    library = _open_library()
    number = library.getInferLibVersion()  # 8602 is 8.6.2; from 10 on 100300 is 10.3.0
    major, rest = (number // 10000, number % 10000) if number >= 100000 else (number // 1000, number % 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def _open_library() -> Any:
    for name in (*_LIBRARIES, ctypes.util.find_library("nvinfer")):
        if name:
            try:
                return ctypes.CDLL(name)
            except OSError:
                continue
    raise UserError(
        "device=tensorrt, but no TensorRT library (libnvinfer) is installed: install it, or choose device=cuda"
    )
