"""The int8 variant: calibrated, compared with fp32, and refused where it agrees too little."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sot_tracker import catalog
from sot_tracker.box import Box
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.loading import load_network
from sot_tracker.manifest import MANIFEST
from sot_tracker.model_folder import find_weights

onnx = pytest.importorskip("onnx")
for package in ("onnxruntime.quantization", "torch", "onnxscript"):
    pytest.importorskip(package)

from sot_tracker.synth import procedural_pictures  # noqa: E402
from sot_tracker.variants import FEWEST, add_int8  # noqa: E402


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    shown = procedural_pictures(seed=3)
    return [
        (np.ascontiguousarray(shown[i % len(shown)][i : i + 160, :200, :3]), Box(60, 50, 40, 40)) for i in range(12)
    ]


@pytest.fixture(scope="module")
def folder(
    toy_for_module: catalog.ModelSpec, toy_folder: Path, pictures: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("int8") / "toy"
    add_int8(toy_for_module, find_weights(toy_for_module, str(toy_folder)), out, pictures)
    return out


def network(toy: catalog.ModelSpec, folder: Path, **options: Any) -> Any:
    return load_network(toy, Config(model="toy", weights=str(folder), **options))


def test_the_graph_is_int8_and_the_manifest_says_how_it_agrees(folder: Path, toy_folder: Path) -> None:
    variants = json.loads((folder / MANIFEST).read_text())["variants"]
    assert variants["int8"]["precision"] == "int8"
    assert set(variants["int8"]["agreement"]) == {"pairs", "clip", "score"}
    assert all(0 < value <= 1 for value in variants["int8"]["agreement"].values())
    assert variants["fp32"] == json.loads((toy_folder / MANIFEST).read_text())["variants"]["fp32"]
    graph = onnx.load(folder / "int8" / "search.onnx").graph
    stored = {value.data_type for value in graph.initializer if len(value.dims) > 1}
    assert onnx.TensorProto.INT8 in stored
    assert "QuantizeLinear" in {node.op_type for node in graph.node}


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_engines_run_it_and_its_maps_are_a_little_different(toy: catalog.ModelSpec, folder: Path, engine: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[engine])
    exact, rough = (network(toy, folder, engine=engine, precision=p, min_agreement=0.0) for p in ("fp32", "int8"))
    assert rough.facts.precision == "int8"
    rng = np.random.default_rng(0)
    z, x = (rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (48, 96))
    maps = [one.search(one.template(z), x)["size"] for one in (exact, rough)]
    assert 1e-5 < np.abs(maps[0] - maps[1]).max() < 0.2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"min_agreement": 1.0}, r"agrees with fp32 by 0\.\d+ only, min_agreement is 1"),
        ({"engine": "torch", "min_agreement": 0.0}, "not for the torch engine"),
    ],
)
def test_it_is_refused(toy: catalog.ModelSpec, folder: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        network(toy, folder, precision="int8", **options)


def test_a_folder_without_it_says_how_to_make_it(toy: catalog.ModelSpec, toy_folder: Path) -> None:
    with pytest.raises(UserError, match=r"no int8 variant: make one with `sot-tracker export .*--precision int8"):
        network(toy, toy_folder, precision="int8")


def test_a_damaged_variant_is_refused(toy: catalog.ModelSpec, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "toy"
    shutil.copytree(folder, copy)
    graph = copy / "int8" / "search.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"int8/search\.onnx is damaged"):
        network(toy, copy, engine="onnx", precision="int8", min_agreement=0.0)
    assert network(toy, copy, engine="onnx").facts.precision == "fp32"


@pytest.mark.parametrize(
    ("kind", "told"),
    [("few", "7 pictures .* too few"), ("seed", "is no model folder"), ("other", "is no model folder")],
)
def test_what_cannot_be_made(
    toy: catalog.ModelSpec, toy_folder: Path, pictures: list[Any], tmp_path: Path, kind: str, told: str
) -> None:
    given = pictures[: FEWEST - 1] if kind == "few" else pictures
    (tmp_path / "notes.txt").write_text("mine")
    out = tmp_path if kind == "other" else tmp_path / "new"
    with pytest.raises(UserError, match=told):
        add_int8(toy, find_weights(toy, "random" if kind == "seed" else str(toy_folder)), out, given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]
