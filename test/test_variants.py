"""The variants int8 and bf16: calibrated, compared with fp32, and refused where it agrees too little."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sot_tracker import catalog, cli, tuning
from sot_tracker.box import Box
from sot_tracker.commands import export as command
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.loading import load_network
from sot_tracker.manifest import MANIFEST
from sot_tracker.model_folder import find_weights, sha256

onnx = pytest.importorskip("onnx")
for package in ("onnxruntime.quantization", "torch", "onnxscript"):
    pytest.importorskip(package)

from sot_tracker.export import export  # noqa: E402
from sot_tracker.synth import procedural_pictures  # noqa: E402
from sot_tracker.variants import MIN_PICTURES, add_bf16, add_int8  # noqa: E402


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
    ("options", "message"),
    [
        ({"min_agreement": 1.0}, r"overlap those of fp32 by only 0\.\d+, min_agreement is 1"),
        ({"engine": "torch", "min_agreement": 0.0}, "not for the torch engine"),
    ],
)
def test_it_is_refused(toy: catalog.ModelSpec, folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
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


@pytest.fixture(scope="module")
def bf16_folder(
    toy_for_module: catalog.ModelSpec, toy_folder: Path, pictures: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    out = tmp_path_factory.mktemp("bf16") / "toy"
    add_bf16(toy_for_module, find_weights(toy_for_module, str(toy_folder)), out, pictures)
    return out


def test_bf16_is_the_same_files_and_an_agreement(bf16_folder: Path, toy_folder: Path) -> None:
    variants = json.loads((bf16_folder / MANIFEST).read_text())["variants"]
    assert variants["bf16"]["files"] == variants["fp32"]["files"]
    assert set(variants["bf16"]["agreement"]) == {"pairs", "clip", "score"}
    assert 0.5 < variants["bf16"]["agreement"]["pairs"] < 1
    assert sorted(path.name for path in bf16_folder.iterdir()) == sorted(path.name for path in toy_folder.iterdir())


def with_overlap(folder: Path, copy: Path, overlap: float) -> Path:
    """A copy of that folder whose bf16 is said to agree by so much; made by hand, so that any processor can."""
    shutil.copytree(folder, copy)
    manifest = json.loads((copy / MANIFEST).read_text())
    same = {**manifest["variants"]["fp32"], "precision": "bf16", "agreement": {"pairs": overlap, "clip": 1.0}}
    manifest["variants"]["bf16"] = same
    (copy / MANIFEST).write_text(json.dumps(manifest))
    return copy


def test_bf16_that_agrees_too_little_is_refused(toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path) -> None:
    folder = with_overlap(toy_folder, tmp_path / "toy", 0.9)
    with pytest.raises(
        UserError, match=r"bf16 variant of .* overlap those of fp32 by only 0\.900, min_agreement is 0\.97"
    ):
        network(toy, folder, engine="torch", precision="bf16")
    assert network(toy, folder, engine="torch", precision="bf16", min_agreement=0.9).facts.precision == "bf16"


@pytest.mark.parametrize(
    ("features", "overlap", "asked", "taken"),
    [
        (["AVX2", "bf16"], 0.98, {}, ("openvino", "bf16")),
        (["AMX"], 0.98, {"engine": "openvino", "device": "cpu"}, ("openvino", "bf16")),
        (["AVX2"], 0.98, {}, ("auto", "auto")),
        (["bf16"], 0.96, {}, ("auto", "auto")),
        (["bf16"], 0.96, {"min_agreement": 0.95}, ("openvino", "bf16")),
        (["bf16"], 0.98, {"engine": "onnx"}, ("onnx", "auto")),
        (["bf16"], 0.98, {"precision": "fp32"}, ("auto", "fp32")),
        (["bf16"], 0.98, {"device": "cuda"}, ("auto", "auto")),
        (["bf16"], None, {}, ("auto", "auto")),
    ],
)
def test_without_measurements_a_proven_precision_is_guessed(
    toy: catalog.ModelSpec,
    toy_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    features: list[str],
    overlap: float | None,
    asked: dict[str, Any],
    taken: tuple[str, str],
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(tuning.cpus, "features", lambda: features)
    monkeypatch.setattr(tuning, "_versions", dict)
    folder = toy_folder if overlap is None else with_overlap(toy_folder, tmp_path / "toy", overlap)
    with caplog.at_level(logging.INFO):
        found = tuning.settled(Config(model="toy", **asked), find_weights(toy, str(folder)))
    assert (found.engine, found.precision) == taken
    reported = (
        f"toy: openvino in bf16, a guess: the processor has {features[-1]}, and the boxes overlap those of fp32 by"
    )
    assert (reported in caplog.text) == (taken == ("openvino", "bf16"))


def test_where_a_gpu_may_be_nothing_is_guessed(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(tuning.cpus, "features", lambda: ["bf16"])
    monkeypatch.setattr(tuning, "_versions", lambda: {"onnxruntime-gpu": "1.0"})
    source = find_weights(toy, str(with_overlap(toy_folder, tmp_path / "toy", 1.0)))
    assert tuning.settled(Config(model="toy"), source).precision == "auto"
    assert tuning.settled(Config(model="toy", device="cpu"), source).precision == "bf16"


def test_bf16_goes_over_to_graphs_that_were_exported_anew(toy: catalog.ModelSpec, folder: Path, tmp_path: Path) -> None:
    """Another version of the exporter writes other bytes for the same network."""
    out = with_overlap(folder, tmp_path / "toy", 0.98)
    graph = onnx.load(out / "search.onnx", load_external_data=False)
    graph.producer_version = "older"
    (out / "search.onnx").write_bytes(graph.SerializeToString())
    manifest = json.loads((out / MANIFEST).read_text())
    for name in ("fp32", "bf16"):
        manifest["variants"][name]["files"]["search.onnx"] = sha256(out / "search.onnx")
    (out / MANIFEST).write_text(json.dumps(manifest))
    export(toy, find_weights(toy, str(out)), out, "fp16", lost_threshold=0.4)
    variants = json.loads((out / MANIFEST).read_text())["variants"]
    assert variants["fp32"]["files"] != manifest["variants"]["fp32"]["files"]
    assert variants["bf16"]["files"] == variants["fp32"]["files"]
    assert network(toy, out, engine="torch", precision="bf16").facts.precision == "bf16"


@pytest.mark.parametrize("storage", ["fp16", "fp32"])
def test_exporting_again_over_variants_keeps_them_for_the_same_weights_only(
    toy: catalog.ModelSpec, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, storage: str
) -> None:
    out = with_overlap(folder, tmp_path / "toy", 0.98)
    with caplog.at_level(logging.WARNING, "sot_tracker"):
        export(toy, find_weights(toy, str(out)), out, storage, lost_threshold=0.4)
    told = [f"{out}: its {name} variant is deleted, it was made from other weights" for name in ("int8", "bf16")]
    if storage == "fp16":  # that of the folder: the stored weights stay the same
        assert not caplog.messages
        rough = network(toy, out, engine="onnx", precision="int8", min_agreement=0.0)
        assert rough.facts.precision == "int8"
        assert network(toy, out, engine="torch", precision="bf16").facts.precision == "bf16"
    else:
        assert [message.partition(" or graphs: add it")[0] for message in caplog.messages] == told
        assert not (out / "int8").exists()
        assert list(json.loads((out / MANIFEST).read_text())["variants"]) == ["fp32"]


@pytest.mark.parametrize("add", [add_int8, add_bf16])
@pytest.mark.parametrize(
    ("kind", "message"),
    [("few", "7 pictures .* too few"), ("seed", "is not a model folder"), ("other", "is not a model folder")],
)
def test_what_cannot_be_made(
    toy: catalog.ModelSpec, toy_folder: Path, pictures: list[Any], tmp_path: Path, kind: str, message: str, add: Any
) -> None:
    given = pictures[: MIN_PICTURES - 1] if kind == "few" else pictures
    (tmp_path / "notes.txt").write_text("mine")
    out = tmp_path if kind == "other" else tmp_path / "new"
    with pytest.raises(UserError, match=message):
        add(toy, find_weights(toy, "random" if kind == "seed" else str(toy_folder)), out, given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt"]


@pytest.mark.parametrize("add", [add_int8, add_bf16])
def test_the_folder_of_another_model_is_not_replaced(
    toy: catalog.ModelSpec, toy_folder: Path, pictures: list[Any], tmp_path: Path, add: Any
) -> None:
    (tmp_path / MANIFEST).write_text('{"model": "smat"}')
    with pytest.raises(UserError, match="holds the model 'smat', not 'toy'"):
        add(toy, find_weights(toy, str(toy_folder)), tmp_path, pictures)


@pytest.mark.parametrize("unused", [["--storage", "fp32"], ["--lost-threshold", "0.3"]])
def test_the_command_refuses_what_a_variant_does_not_change(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unused: list[str]
) -> None:
    words = ["--model", "toy", "--weights", str(toy_folder), "--precision", "bf16", "--data", "clips"]
    assert cli.main(["export", *words, "--out", str(tmp_path / "new"), *unused]) == 2
    assert f"{unused[0]} has no effect with --precision bf16" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "count"), [([], 96), (["--pictures", "9"], 9)])
def test_the_command_takes_so_many_pictures(
    toy: catalog.ModelSpec,
    toy_folder: Path,
    pictures: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    count: int,
) -> None:
    counts: list[int] = []
    monkeypatch.setattr(command, "_pictures", lambda _, wanted: counts.append(wanted) or pictures[: MIN_PICTURES - 1])
    words = ["--model", "toy", "--weights", str(toy_folder), "--precision", "int8", "--data", "clips"]
    assert cli.main(["export", *words, "--out", str(tmp_path / "new"), *given]) == 2
    assert counts == [count], capsys.readouterr().err
