"""Finding weights and refusing damaged ones, on folders of made-up files: no engine, no torch."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sot_tracker import catalog, model_folder
from sot_tracker.errors import UserError
from sot_tracker.manifest import MANIFEST, SEARCH, TEMPLATE, WEIGHTS, Manifest, Variant, expected_maps, network_fields
from sot_tracker.model_folder import find_weights, open_folder, private_copy
from sot_tracker.weights_file import read_header

FERMT = catalog.spec("fermt")
FIELDS = [field.name for field in dataclasses.fields(Manifest)]
REQUIRED = [field for field in FIELDS if field != "calibration"]
CALIBRATION = {"weights": {"score": 1.0}, "bias": 0.25, "curve": [[-1.0, 0.0], [1.0, 1.0]]}


def make_folder(folder: Path, model: catalog.ModelSpec = FERMT, origin: str = "fermt.safetensors") -> Path:
    folder.mkdir(parents=True)
    for name in (TEMPLATE, SEARCH, WEIGHTS):
        (folder / name).write_bytes(name.encode())
    Manifest(
        model=model.name,
        network=network_fields(model),
        cached={"cached_0": [1, 64, 192]},
        maps=expected_maps(model.network),
        lost_threshold=0.37,
        storage="fp16",
        parameters=123,
        macs={"template": 1, "search": 2, "uncached": 3},
        variants={"fp32": Variant({name: model_folder.sha256(folder / name) for name in (TEMPLATE, SEARCH, WEIGHTS)})},
        exported_from={"weights": origin},
    ).write(folder)
    return folder


def edit(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_folder_is_read_back(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "fermt")
    source = find_weights(FERMT, str(folder))
    assert source.folder == folder
    assert source.manifest is not None
    assert source.files.files.keys() == {TEMPLATE, SEARCH, WEIGHTS}
    assert source.manifest.network["search_size"] == 256
    assert source.lost_threshold == 0.37
    assert not source.random
    assert source.name == str(folder)


def test_folder_of_random_weights_says_so_wherever_it_goes(tmp_path: Path) -> None:
    source = find_weights(FERMT, str(make_folder(tmp_path / "any", origin="random")))
    assert source.random
    assert source.name == "random"
    assert source.lost_threshold == 0
    assert not source.is_seed


def test_a_calibration_is_read_and_written(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine")
    assert find_weights(FERMT, str(folder)).manifest.calibration is None  # type: ignore[union-attr]
    plain = (folder / MANIFEST).read_bytes()
    edit(folder, calibration=CALIBRATION)
    manifest = find_weights(FERMT, str(folder)).manifest
    assert manifest is not None
    assert manifest.calibration is not None
    assert manifest.calibration.as_json() == CALIBRATION
    manifest.write(folder)
    assert json.loads((folder / MANIFEST).read_text())["calibration"] == CALIBRATION
    dataclasses.replace(manifest, calibration=None).write(folder)
    assert (folder / MANIFEST).read_bytes() == plain, "without one it is as older versions wrote it"


def edit_variant(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / MANIFEST).read_text())
    edit(folder, variants={"fp32": values["variants"]["fp32"] | changes})


def without(folder: Path, field: str) -> None:
    values = json.loads((folder / MANIFEST).read_text())
    del values[field]
    (folder / MANIFEST).write_text(json.dumps(values))


DEEP = "[" * 200_000 + "]" * 200_000
FILES = dict.fromkeys((TEMPLATE, SEARCH, WEIGHTS), "0" * 64)
VARIANT = {"files": FILES, "precision": "bf16", "agreement": {}}


@pytest.mark.parametrize(
    ("damage", "reported"),
    [
        (lambda f: (f / MANIFEST).unlink(), "no manifest.json"),
        (lambda f: (f / MANIFEST).write_text("{"), "damaged"),
        (lambda f: (f / MANIFEST).write_text(""), "damaged"),
        (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe\x00"), "damaged"),
        (lambda f: (f / MANIFEST).write_text("[1, 2]"), "not a table"),
        (lambda f: (f / MANIFEST).write_text("null"), "not a table"),
        (lambda f: (f / MANIFEST).write_text(DEEP), "nested too deeply"),
        (lambda f: (f / MANIFEST).write_text('{"model": ' + DEEP + "}"), "nested too deeply"),
        (lambda f: (f / MANIFEST).write_text(" " * 2_000_000), "longer than 1 MiB"),
        (lambda f: (f / MANIFEST).write_text('{"format": 2, "format": 2}'), "twice"),
        (lambda f: (f / MANIFEST).write_text('{"format": ' + "9" * 5000 + "}"), "damaged"),
        *(
            (lambda f, value=value: edit(f, format=value), "format 1 to 2")
            for value in (99, 0, -1, True, None, "2", 2.0)
        ),
        *((lambda f, field=field: without(f, field), f"'{field}' is missing") for field in REQUIRED),
        *(
            (lambda f, field=field, value=value: edit(f, **{field: value}), "damaged|another fermt")
            for field in FIELDS
            for value in (None, True, -1, [], "", {"a": None})
        ),
        (lambda f: edit(f, colour="red"), "no field 'colour'"),
        (lambda f: edit(f, **{"a\nb": 1}), "damaged"),
        (lambda f: edit(f, model="a\nb"), "holds the model"),
        (lambda f: edit(f, model=["fermt"]), "'model'"),
        *(
            (lambda f, value=value: edit(f, lost_threshold=value), "'?lost_threshold|not a number")
            for value in ("high", 1.5, -0.1, float("nan"), float("inf"), "0.5", [0.5])
        ),
        *((lambda f, value=value: edit(f, storage=value), "'storage'") for value in ("int4", 16, ["fp16"])),
        *((lambda f, value=value: edit(f, parameters=value), "'parameters'") for value in (0, 1.5, "many", 1 << 60)),
        *(
            (lambda f, value=value: edit(f, macs=value), "'macs'")
            for value in ({}, {"search": 1}, {"template": 1, "search": -2, "uncached": 3}, [1, 2, 3])
        ),
        *(
            (lambda f, value=value: edit(f, cached=value), "'cached'")
            for value in ({}, {"cached_1": [1]}, {"cached_0": []}, {"cached_0": [0]}, {"cached_0": [1.0]}, {"x": [1]})
        ),
        (lambda f: edit(f, maps={"score": [1, 1, 16, 16]}), "'maps'"),
        (lambda f: edit(f, maps=expected_maps(catalog.network_spec("hcat"))), "'maps'"),
        *(
            (
                lambda f, shape=shape: edit(f, maps=expected_maps(catalog.network_spec("fermt")) | {"features": shape}),
                "'maps'",
            )
            for shape in ([1, 8, 16], [1, 8, 16, 8], [2, 8, 16, 16])
        ),
        (lambda f: edit(f, exported_from={"weights": 3}), "'exported_from'"),
        (lambda f: edit(f, exported_from={}), "'exported_from'"),
        (lambda f: edit(f, model="smat"), "--model smat"),
        (lambda f: edit(f, network={"decoding": "corner"}), "another fermt"),
        (lambda f: edit(f, network=network_fields(FERMT) | {"template_size": 128.0}), "another fermt"),
        (lambda f: edit(f, variants={}), "'variants'"),
        (lambda f: edit(f, variants={"fp32": None}), "not a table"),
        (lambda f: edit(f, variants={"bf16": VARIANT, "fp32": {}}), "is missing"),
        (
            lambda f: edit(f, variants={name: {**VARIANT, "files": {"x": "0" * 64}} for name in ("bf16", "fp32")}),
            "of variant .fp32.",
        ),
        (lambda f: edit(f, variants={"int8": {"files": FILES, "precision": "int8", "agreement": {}}}), "'variants'"),
        (lambda f: edit(f, variants={"fp32": {"files": FILES}}), "is missing"),
        (lambda f: edit_variant(f, colour="red"), "'colour' of variant 'fp32'"),
        (lambda f: edit_variant(f, precision="fp64"), "'precision'"),
        (lambda f: edit_variant(f, precision=["fp32"]), "'precision'"),
        (lambda f: edit_variant(f, agreement={"iou": 2}), "'agreement'"),
        (lambda f: edit_variant(f, agreement={"iou": True}), "'agreement'"),
        (lambda f: edit_variant(f, files=[TEMPLATE, SEARCH, WEIGHTS]), "'files'"),
        (lambda f: edit_variant(f, files={"../weights.safetensors": "0" * 64}), "'files'"),
        (lambda f: edit_variant(f, files={**FILES, "extra": "0" * 64}), "'files'"),
        (lambda f: edit_variant(f, files=dict.fromkeys(FILES, "0")), "'files'"),
        (lambda f: edit_variant(f, files=dict.fromkeys(FILES)), "'files'"),
        (lambda f: (f / SEARCH).unlink(), "search.onnx is missing"),
        (lambda f: ((f / SEARCH).unlink(), (f / SEARCH).mkdir()), "cannot read"),
        (lambda f: (f / WEIGHTS).write_bytes(b"weights"), "weights.safetensors is damaged"),
        (lambda f: (f / TEMPLATE).write_bytes(b""), "template.onnx is damaged"),
    ],
)
def test_damage_is_reported_in_one_line(tmp_path: Path, damage: Callable[[Path], object], reported: str) -> None:
    folder = make_folder(tmp_path / "fermt")
    damage(folder)
    with pytest.raises(UserError, match=reported) as caught:
        find_weights(FERMT, str(folder))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_folder_of_format_1_is_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "fermt")
    values = json.loads((folder / MANIFEST).read_text())
    variants = values.pop("variants")
    (folder / MANIFEST).write_text(json.dumps(values | {"format": 1, "files": variants["fp32"]["files"]}))
    source = open_folder(folder, FERMT)
    assert source.files == Variant(variants["fp32"]["files"])
    assert source.lost_threshold == 0.37
    without(folder, "files")
    with pytest.raises(UserError, match="'files'"):
        open_folder(folder, FERMT)


def test_variant_of_another_precision(tmp_path: Path) -> None:
    """Its files lie in a folder of its name; each variant is looked at only where it is asked for."""
    folder = make_folder(tmp_path / "fermt")
    (folder / "quick").mkdir()
    for name in (TEMPLATE, SEARCH, WEIGHTS):
        (folder / "quick" / name).write_bytes(b"quick")
    files = {f"quick/{name}": model_folder.sha256(folder / "quick" / name) for name in (TEMPLATE, SEARCH, WEIGHTS)}
    values = json.loads((folder / MANIFEST).read_text())
    values["variants"]["quick"] = {"files": files, "precision": "int8", "agreement": {"box_iou": 0.98}}
    (folder / MANIFEST).write_text(json.dumps(values))
    source = open_folder(folder, FERMT, "quick")
    assert (source.files.precision, source.files.agreement) == ("int8", {"box_iou": 0.98})
    assert source.files.path(SEARCH) == "quick/search.onnx"
    (folder / "quick" / SEARCH).unlink()
    open_folder(folder, FERMT)
    with pytest.raises(UserError, match=r"quick/search\.onnx is missing"):
        open_folder(folder, FERMT, "quick")
    with pytest.raises(UserError, match="no variant 'int4': it has fp32, quick"):
        open_folder(folder, FERMT, "int4")


def safetensors(values: bytes, dtype: str) -> bytes:
    header = json.dumps({"w": {"dtype": dtype, "shape": [2], "data_offsets": [0, len(values)]}}).encode()
    return len(header).to_bytes(8, "little") + header + values


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("F16", np.array([1, 65504], "<f2"), np.array([1, np.nan], "<f2")),
        ("F32", np.array([3e38, -1], "<f4"), np.array([1, -np.inf], "<f4")),
        ("F64", np.array([1e300, 0], "<f8"), np.array([np.inf, 0], "<f8")),
        ("BF16", np.array([0x3F80, 0x7F7F], "<u2"), np.array([0x3F80, 0x7FC0], "<u2")),
    ],
)
def test_weights_are_finite(tmp_path: Path, dtype: str, good: Any, bad: Any) -> None:
    folder = make_folder(tmp_path / "fermt")
    for numbers in (good, bad):
        (folder / WEIGHTS).write_bytes(safetensors(numbers.tobytes(), dtype))
        edit_variant(folder, files={name: model_folder.sha256(folder / name) for name in (TEMPLATE, SEARCH, WEIGHTS)})
        source = open_folder(folder, FERMT)
        if numbers is good:
            with private_copy(source) as files:
                assert files[WEIGHTS].read_bytes() == (folder / WEIGHTS).read_bytes()
            assert not files[WEIGHTS].exists()
        else:
            with pytest.raises(UserError, match="not finite, in 'w'"), private_copy(source):
                pass


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\xff" * 64,
        safetensors(b"1234", "F32"),
        safetensors(b"12345678", "F99"),
        (1 << 40).to_bytes(8, "little") + b"{}",
        (400_000).to_bytes(8, "little") + DEEP.encode(),
        (2).to_bytes(8, "little") + b"[]",
        (17).to_bytes(8, "little") + b'{"a\\nb": [1, 23]}',
    ],
)
def test_weights_that_are_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match="not a readable safetensors file") as caught:
        read_header(tmp_path / "w", content)
    assert "\n" not in str(caught.value)


def test_file_cut_between_check_and_load(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "fermt")
    source = open_folder(folder, FERMT)
    (folder / SEARCH).write_bytes(b"")
    with pytest.raises(UserError, match=r"search\.onnx is damaged"), private_copy(source):
        pass


def test_no_room_for_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_folder(make_folder(tmp_path / "fermt"), FERMT)
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null")
    with pytest.raises(UserError, match=r"cannot copy .* temporary folder \(Not a directory\)"), private_copy(source):
        pass


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.safetensors", "do not exist"),
        ("n" * 5000, "do not exist"),
        ("a\0b", "do not exist"),
        ("~nobody-here/x", "do not exist"),
        ("old.pth.tar", "sot-tracker import old.pth.tar --model fermt"),
    ],
)
def test_unusable_weights(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "old.pth.tar").write_bytes(b"")
    with pytest.raises(UserError, match=message):
        find_weights(FERMT, str(tmp_path / name))


def test_single_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"")
    source = find_weights(FERMT, str(path))
    assert (source.file, source.folder, source.random) == (path, None, False)
    assert source.lost_threshold == model_folder.DEFAULT_LOST_THRESHOLD


def test_random() -> None:
    source = find_weights(FERMT, "random")
    assert source.is_seed
    assert source.lost_threshold == 0


def test_nothing_ships(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ament_index_python.packages", None)
    monkeypatch.setattr(model_folder, "__file__", str(tmp_path / "sot_tracker" / "model_folder.py"))
    with pytest.raises(UserError) as caught:
        find_weights(FERMT, "")
    for part in ("models/fermt/manifest.json", "--weights", "train --model fermt", "import", "export", "random"):
        assert part in str(caught.value)


@pytest.mark.parametrize("place", ["site-packages/sot_tracker/models", "site-packages/models"])
def test_wheel_and_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    monkeypatch.setattr(model_folder, "__file__", str(tmp_path / "site-packages" / "sot_tracker" / "model_folder.py"))
    monkeypatch.setitem(sys.modules, "ament_index_python.packages", None)  # a built share folder holds what ships
    folder = make_folder(tmp_path / place / "fermt")
    assert find_weights(FERMT, "").folder == folder
    assert model_folder.shipped_folder("smat") is None


def test_ros_share_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packages: Any = types.ModuleType("ament_index_python.packages")
    packages.PackageNotFoundError = KeyError
    packages.get_package_share_directory = lambda name: str(tmp_path / "share" / name)
    monkeypatch.setitem(sys.modules, "ament_index_python", types.ModuleType("ament_index_python"))
    monkeypatch.setitem(sys.modules, "ament_index_python.packages", packages)
    monkeypatch.setattr(model_folder, "__file__", str(tmp_path / "lib" / "sot_tracker" / "model_folder.py"))
    folder = make_folder(tmp_path / "share" / "sot_tracker" / "models" / "fermt")
    assert find_weights(FERMT, "").folder == folder
