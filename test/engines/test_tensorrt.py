"""TensorRT's cache and the explicit build, on fakes; what needs a GPU is marked and skipped without one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from sot_tracker import catalog, cli
from sot_tracker.config import Config
from sot_tracker.engines import tensorrt
from sot_tracker.errors import UserError
from sot_tracker.loading import load_network
from sot_tracker.manifest import Variant
from sot_tracker.model_folder import Source, find_weights

onnxruntime = pytest.importorskip("onnxruntime")

GPU = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


class Library:
    def __init__(self, number: int) -> None:
        self.number = number

    def getInferLibVersion(self) -> int:  # noqa: N802  TensorRT's own name
        return self.number


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, dict[str, Any]]]:
    """A machine with TensorRT 10.3.0 whose sessions run on the CPU; the graphs opened, with the provider's options."""
    real = onnxruntime.InferenceSession
    opened: list[tuple[str, dict[str, Any]]] = []

    class Session:
        def __init__(self, path: str, options: Any, providers: list[Any]) -> None:
            opened.append((Path(path).name, providers[0][1]))
            self.inner = real(path, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return GPU

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU)
    monkeypatch.setattr(tensorrt, "_open_library", lambda: Library(100300))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return opened


@pytest.mark.parametrize(
    ("number", "version"), [(8602, "8.6.2"), (8001, "8.0.1"), (100300, "10.3.0"), (101301, "10.13.1")]
)
def test_version(monkeypatch: pytest.MonkeyPatch, number: int, version: str) -> None:
    monkeypatch.setattr(tensorrt, "_open_library", lambda: Library(number))
    assert tensorrt.tensorrt_version() == version


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "_LIBRARIES", ("libnosuchthing.so",))
    monkeypatch.setattr(tensorrt.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(UserError, match=r"libnvinfer.*device=cuda"):
        tensorrt.tensorrt_version()


def test_cache_is_named_by_model_precision_and_version(toy: catalog.ModelSpec, toy_folder: Path) -> None:
    source = find_weights(toy, str(toy_folder))
    assert source.manifest is not None
    changed = {"fp32": Variant(dict(source.files.files, **{"weights.safetensors": "0" * 64}))}
    other = Source(folder=toy_folder, manifest=dataclasses.replace(source.manifest, variants=changed))
    folders = {
        tensorrt.cache_folder(toy, source, "fp32", "10.3.0"),
        tensorrt.cache_folder(toy, source, "fp16", "10.3.0"),
        tensorrt.cache_folder(toy, source, "fp32", "8.6.2"),
        tensorrt.cache_folder(toy, other, "fp32", "10.3.0"),
    }
    assert len(folders) == 4
    assert tensorrt.cache_folder(toy, source, "fp32", "10.3.0") in folders


def test_never_built_while_loading(toy: catalog.ModelSpec, toy_folder: Path, built: list[Any]) -> None:
    with pytest.raises(UserError, match="sot-tracker prepare --model toy --device tensorrt --precision fp32 --weights"):
        load_network(toy, Config(model="toy", weights=str(toy_folder), engine="onnx", device="tensorrt"))
    assert not built


def test_prepare_then_load(
    toy: catalog.ModelSpec, toy_folder: Path, built: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "toy", "--device", "tensorrt", "--precision", "fp16", "--weights", str(toy_folder)]
    assert cli.main(["prepare", *options]) == 0
    out, err = capsys.readouterr()
    assert "on tensorrt in fp16" in out
    assert "building TensorRT engines" in err
    assert [name for name, _ in built] == ["template.onnx", "search.onnx"] * 2
    caches = {Path(settings["trt_engine_cache_path"]) for _, settings in built}
    assert len(caches) == 1, "loading reads where building wrote"
    assert built[0][1]["trt_fp16_enable"] is True
    assert json.loads((caches.pop() / tensorrt.STAMP).read_text()) == {"model": "toy", "precision": "fp16"}


def test_interrupted_build_is_no_build(
    toy: catalog.ModelSpec, toy_folder: Path, built: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sot_tracker.engines import onnx

    config = Config(model="toy", weights=str(toy_folder), engine="onnx", device="tensorrt")
    steps = onnx.build_tensorrt(toy, find_weights(toy, str(toy_folder)), config)
    assert next(steps).name == "template.onnx"
    steps.close()
    with pytest.raises(UserError, match="sot-tracker prepare"):
        load_network(toy, config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "openvino"], "--device tensorrt is not for --engine openvino"),
        (["--weights", "random"], "built from a model folder"),
        (["--precision", "bf16"], "--precision bf16 is not for"),
    ],
)
def test_what_cannot_be_prepared(
    toy: catalog.ModelSpec,
    toy_folder: Path,
    built: list[Any],
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    command = ["prepare", "--model", "toy", "--device", "tensorrt", "--weights", str(toy_folder), *options]
    assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "building" not in error, "no bar for work that never began"


def test_prepare_elsewhere_loads_once(
    toy: catalog.ModelSpec, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["prepare", "--model", "toy", "--device", "cpu", "--weights", str(toy_folder)]) == 0
    assert "on cpu in fp32" in capsys.readouterr().out


@pytest.mark.gpu
def test_real_build(toy: catalog.ModelSpec, toy_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if "TensorrtExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no TensorRT")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["prepare", "--model", "toy", "--device", "tensorrt", "--weights", str(toy_folder)]
    assert cli.main(command) == 0
    assert list(tmp_path.rglob("*.engine"))
