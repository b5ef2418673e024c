"""Export of the toy network: what lies in the folder, that it is whole or not there, that differences are found."""

from __future__ import annotations

import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sot_tracker import catalog, cli
from sot_tracker.calibration import Calibration
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.manifest import MANIFEST, SEARCH, TEMPLATE, WEIGHTS
from sot_tracker.model_folder import find_weights, open_folder

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
safetensors = pytest.importorskip("safetensors.torch")

from sot_tracker import export as exporting  # noqa: E402
from sot_tracker.export import export  # noqa: E402


@pytest.fixture(params=[TEMPLATE, SEARCH])
def graph(request: pytest.FixtureRequest, toy_folder: Path) -> onnx.ModelProto:
    return onnx.load(toy_folder / request.param, load_external_data=False)


def test_folder_and_manifest(toy: catalog.ModelSpec, toy_folder: Path) -> None:
    assert {path.name for path in toy_folder.iterdir()} == {MANIFEST, TEMPLATE, SEARCH, WEIGHTS}
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in toy_folder.iterdir()), "readable by all"
    manifest = open_folder(toy_folder, toy).manifest
    assert manifest is not None
    assert manifest.network["search_size"] == 96
    assert manifest.cached == {"cached_0": [1, 4, 9, 8], "cached_1": [1, 4, 9, 8]}
    assert manifest.maps == {"score": [1, 1, 6, 6], "size": [1, 2, 6, 6], "offset": [1, 2, 6, 6]}
    assert (manifest.lost_threshold, manifest.storage) == (0.25, "fp16")
    assert manifest.parameters == 32 * 3 * 256 + 64 + 64 + 96 * 33 + 4 * 17 + 5 * 33
    assert manifest.macs["template"] == 9 * 32 * 768 + 9 * 32 * 96
    assert manifest.exported_from["weights"] == "random"


@pytest.mark.parametrize("name", [TEMPLATE, SEARCH])
def test_graphs_are_valid(toy_folder: Path, name: str) -> None:
    onnx.checker.check_model(str(toy_folder / name), full_check=True)


def test_every_parameter_is_a_stretch_of_the_weights_file(toy_folder: Path, graph: onnx.ModelProto) -> None:
    stored = safetensors.load_file(toy_folder / WEIGHTS)
    raw = (toy_folder / WEIGHTS).read_bytes()
    shared = [item for item in graph.graph.initializer if item.external_data]
    assert {item.name for item in shared} <= stored.keys()
    assert {"stem.weight", "norm.running_var", "layer_norm.bias", "qkv.weight"} <= {item.name for item in shared}
    for item in shared:
        place = {entry.key: entry.value for entry in item.external_data}
        assert place["location"] == WEIGHTS
        begin = int(place["offset"])
        ours = np.frombuffer(
            raw[begin : begin + int(place["length"])], onnx.helper.tensor_dtype_to_np_dtype(item.data_type)
        )
        np.testing.assert_array_equal(ours.reshape(item.dims), stored[item.name].numpy(), item.name)


def test_graphs_are_plain_and_small(toy_folder: Path, graph: onnx.ModelProto) -> None:
    assert graph.opset_import[0].version >= 17
    assert [node.op_type for node in graph.graph.node].count("LayerNormalization") == 1
    patch = next(item for item in graph.graph.input if item.name == "patch").type.tensor_type
    assert patch.elem_type == onnx.TensorProto.UINT8
    shapes = [item.type.tensor_type.shape.dim for item in (*graph.graph.input, *graph.graph.output)]
    first = {shape[0].dim_param or shape[0].dim_value for shape in shapes}
    assert first == ({"batch"} if len(graph.graph.input) > 1 else {1}), "the search graph takes any number of targets"
    assert all(dim.dim_value > 0 for shape in shapes for dim in shape[1:]), "all other axes are fixed"
    inside = {item.name: item for item in graph.graph.initializer if not item.external_data}
    assert not any("weight" in name for name in inside)
    large = [item for item in inside.values() if np.prod(item.dims) > 1000]
    assert [item.data_type for item in large] == [onnx.TensorProto.INT16] * len(large)
    assert len(large) == (1 if len(graph.graph.input) > 1 else 0), "the table of the search graph, once"


@pytest.mark.parametrize("existing", [False, True])
def test_nothing_is_left_half_written(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    out = tmp_path / "toy"
    before = {}
    if existing:
        out.mkdir()
        before = {path.name: path.read_bytes() for path in toy_folder.iterdir()} | {"card.md": b"x"}
        for name, content in before.items():
            (out / name).write_bytes(content)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "save_graph", fail)
    with pytest.raises(KeyboardInterrupt):
        export(toy, find_weights(toy, "random"), out)
    assert {path.name: path.read_bytes() for path in out.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == (["toy"] if existing else [])


def test_a_difference_from_torch_is_found(
    toy: catalog.ModelSpec, toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exporting.check(toy, toy_folder) < 1e-5
    read = exporting.torch_engine.load_state_dict

    def spoilt(path: Path, net: torch.nn.Module, model: str) -> None:
        read(path, net, model)
        with torch.no_grad():
            net.head.bias[0] += 0.01  # type: ignore[union-attr, operator, index]

    monkeypatch.setattr(exporting.torch_engine, "load_state_dict", spoilt)
    with pytest.raises(UserError, match="exported 'score' differs"):
        exporting.check(toy, toy_folder)


@pytest.mark.parametrize(("kind", "message"), [("file", "is a file"), ("folder", "not a model folder")])
def test_out_that_holds_something_else(toy: catalog.ModelSpec, tmp_path: Path, kind: str, message: str) -> None:
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
        (out / "thesis.tex").write_text("precious")
    else:
        out.write_text("precious")
    with pytest.raises(UserError, match=message):
        export(toy, find_weights(toy, "random"), out)


def test_the_folder_of_another_model_is_not_replaced(toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "smat"
    shutil.copytree(toy_folder, out)
    (out / MANIFEST).write_text((out / MANIFEST).read_text().replace('"model": "toy"', '"model": "smat"'))
    with pytest.raises(UserError, match="smat holds the model 'smat', not 'toy': give another folder"):
        export(toy, find_weights(toy, "random"), out)
    (out / MANIFEST).write_text("{")  # a damaged one may be
    assert export(toy, find_weights(toy, "random"), out).manifest is not None


def test_sigterm_leaves_nothing(toy: catalog.ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminated(*_: Any) -> float:
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        handler(signal.SIGTERM, None)
        return 0.0

    monkeypatch.setattr(exporting, "check", terminated)
    assert cli.main(["export", "--model", toy.name, "--weights", "random", "--out", str(tmp_path / "out")]) == 143
    assert not list(tmp_path.iterdir())


def test_checkpoint_of_a_training_points_to_its_weights(toy: catalog.ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(UserError, match="sot-tracker import checkpoint"):
        find_weights(toy, str(tmp_path / "checkpoint.pt"))
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UserError, match=r"are for resuming a training: give its weights, .*model\.safetensors"):
        find_weights(toy, str(tmp_path / "checkpoint.pt"))


def test_out_that_cannot_be_made(toy: catalog.ModelSpec) -> None:
    with pytest.raises(UserError, match="cannot write /dev/null/x"):
        export(toy, find_weights(toy, "random"), Path("/dev/null/x"))


def test_without_onnxscript(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    for name in ("export", "onnx_graphs"):
        monkeypatch.delitem(sys.modules, f"sot_tracker.{name}")
    with pytest.raises(MissingPackage, match=r"onnxscript.*pip install 'sot_tracker\[export\]'"):
        import sot_tracker.export  # noqa: F401


def test_command_replaces_a_folder_by_fp32(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = exporting.torch_engine.load_module(toy, find_weights(toy, "random"))
    weights = tmp_path / "given.safetensors"
    safetensors.save_file(net.state_dict(), weights, {"model": "toy", "data": "clips"})
    out = tmp_path / "models" / "toy"
    shutil.copytree(toy_folder, out)
    (out / "card.md").write_text("kept")
    assert cli.main(["export", "--model", "csrt", "--weights", "random", "--out", str(out)]) == 2
    assert "model 'csrt' has no network" in capsys.readouterr().err
    command = ["export", "--model", "toy", "--weights", str(weights), "--out", str(out), "--storage", "fp32"]
    assert cli.main([*command, "--lost-threshold", "2"]) == 2
    assert "--lost-threshold 2" in capsys.readouterr().err
    for unused in (["--data", "clips"], ["--pictures", "8"]):
        assert cli.main([*command, *unused]) == 2
        assert f"{unused[0]} has no effect with --precision fp32" in capsys.readouterr().err
    assert cli.main([*command, "--lost-threshold", "0.4"]) == 0
    told = capsys.readouterr()
    assert "0.03 M parameters" in told.out
    assert "%|" not in told.err, "a progress bar is for terminals"
    manifest = open_folder(out, toy).manifest
    assert manifest is not None
    assert (manifest.lost_threshold, manifest.storage) == (0.4, "fp32")
    assert manifest.exported_from["weights"] == "given.safetensors"
    assert len(manifest.exported_from["sha256"]) == 64
    stored = safetensors.load_file(out / WEIGHTS)
    assert stored.keys() == {name for name, tensor in net.state_dict().items() if tensor.is_floating_point()}
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in stored.items())
    assert (out / "card.md").read_text() == "kept"
    assert manifest.exported_from["data"] == "clips"
    assert [path.name for path in out.parent.iterdir()] == ["toy"], "nothing left beside it"


def test_another_storage_of_a_folder_keeps_its_origin_and_drops_older_variants(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "toy"
    shutil.copytree(toy_folder, out)
    (out / "int8").mkdir()
    shutil.copy(out / TEMPLATE, out / "int8" / TEMPLATE)
    (out / "notes").mkdir()
    before, after = open_folder(out, toy).manifest, export(toy, open_folder(out, toy), out, storage="int8").manifest
    assert before is not None
    assert after is not None
    assert after.exported_from == before.exported_from
    assert after.storage == "int8"
    assert {path.name for path in out.iterdir()} == {MANIFEST, TEMPLATE, SEARCH, WEIGHTS, "notes"}


def test_exported_again_a_folder_keeps_its_calibration(
    toy: catalog.ModelSpec, toy_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "toy"
    shutil.copytree(toy_folder, folder)
    manifest = open_folder(folder, toy).manifest
    assert manifest is not None
    made = Calibration({"score": 1.0}, 0.0, ((-1.0, 0.1), (1.0, 0.9)))
    replace(manifest, calibration=made).write(folder)
    again = export(toy, open_folder(folder, toy), tmp_path / "again").manifest
    assert again is not None
    assert again.calibration == made
