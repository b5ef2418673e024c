"""Finding weights and refusing damaged ones, on folders of made-up files: no engine, no torch."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sot_tracker import catalog, model_folder
from sot_tracker.errors import UserError
from sot_tracker.model_folder import MANIFEST, SEARCH, TEMPLATE, WEIGHTS, Manifest, find_weights

FERMT = catalog.spec("fermt")


def make_folder(folder: Path, model: catalog.ModelSpec = FERMT, origin: str = "fermt.safetensors") -> Path:
    folder.mkdir(parents=True)
    for name in (TEMPLATE, SEARCH, WEIGHTS):
        (folder / name).write_bytes(name.encode())
    Manifest(
        model=model.name,
        network=model_folder.network_fields(model),
        cached={"cached_0": [1, 64, 192]},
        maps={"score": [1, 1, 16, 16]},
        lost_threshold=0.37,
        storage="fp16",
        parameters=123,
        macs={"template": 1, "search": 2},
        files={name: model_folder.sha256(folder / name) for name in (TEMPLATE, SEARCH, WEIGHTS)},
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
    assert source.manifest.files.keys() == {TEMPLATE, SEARCH, WEIGHTS}
    assert source.manifest.network["search_size"] == 256
    assert source.lost_threshold == 0.37
    assert not source.random
    assert source.told == str(folder)


def test_folder_of_random_weights_says_so_wherever_it_goes(tmp_path: Path) -> None:
    source = find_weights(FERMT, str(make_folder(tmp_path / "any", origin="random")))
    assert source.random
    assert source.told == "random"
    assert source.lost_threshold == 0
    assert not source.is_seed


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda f: (f / MANIFEST).unlink(), "no manifest.json"),
        (lambda f: (f / MANIFEST).write_text("{"), "damaged"),
        (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe\x00"), "damaged"),
        (lambda f: (f / MANIFEST).write_text("[1, 2]"), "format"),
        (lambda f: edit(f, format=99), "format 1"),
        (lambda f: edit(f, colour="red"), "colour"),
        (lambda f: edit(f, lost_threshold="high"), "damaged"),
        (lambda f: edit(f, files=["a"]), "damaged"),
        (lambda f: edit(f, files=[TEMPLATE, SEARCH, WEIGHTS]), "damaged"),
        (lambda f: edit(f, files={"../weights.safetensors": "0"}), "damaged"),
        (lambda f: edit(f, lost_threshold=1.5), "damaged"),
        (lambda f: edit(f, macs=None), "damaged"),
        (lambda f: edit(f, macs={}), "damaged"),
        (lambda f: edit(f, parameters="many"), "damaged"),
        (lambda f: edit(f, exported_from=None), "damaged"),
        (lambda f: edit(f, model="smat"), "--model smat"),
        (lambda f: edit(f, network={"decoding": "corner"}), "another fermt"),
        (lambda f: (f / SEARCH).unlink(), "search.onnx is missing"),
        (lambda f: (f / WEIGHTS).write_bytes(b"weights"), "weights.safetensors is damaged"),
        (lambda f: (f / TEMPLATE).write_bytes(b""), "template.onnx is damaged"),
    ],
)
def test_damage_is_told_in_one_line(tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    folder = make_folder(tmp_path / "fermt")
    damage(folder)
    with pytest.raises(UserError, match=told) as caught:
        find_weights(FERMT, str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [("nowhere.safetensors", "do not exist"), ("old.pth.tar", "sot-tracker import old.pth.tar --model fermt")],
)
def test_unusable_weights(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "old.pth.tar").write_bytes(b"")
    with pytest.raises(UserError, match=told):
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
