"""OpenVINO's compiled graphs in the user's cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sot_tracker import catalog
from sot_tracker.config import Config
from sot_tracker.engines.network import Maps
from sot_tracker.loading import load_network
from sot_tracker.manifest import MANIFEST, SEARCH
from sot_tracker.model_folder import sha256

pytest.importorskip("openvino")

from sot_tracker.engines import openvino as engine


@pytest.fixture
def trained(toy_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy's model folder, said to be of trained weights; the user's cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = Path(shutil.copytree(toy_folder, tmp_path / "toy"))
    edit(folder, lambda manifest: manifest["exported_from"].update(weights="toy.safetensors"))
    return folder


def edit(folder: Path, change) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def maps(toy: catalog.ModelSpec, folder: Path, threads: int = 1) -> Maps:
    loaded = load_network(toy, Config(model="toy", weights=str(folder), engine="openvino", threads=threads))
    rng = np.random.default_rng(5)
    z, x = (rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (48, 96))
    return loaded.search(loaded.template(z), x)


def kept(folder: Path) -> list[Path]:
    return sorted((folder.parent / "cache" / "sot_tracker" / "openvino").glob("*"))


def same(one: Maps, other: Maps) -> bool:
    return all((one[name] == other[name]).all() for name in one)


def test_the_second_start_compiles_nothing(toy, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = maps(toy, trained)
    assert [path.name.rpartition("-")[0] for path in kept(trained)] == ["toy-search", "toy-template"]
    monkeypatch.setattr(engine, "_compiled", lambda *_: pytest.fail("compiled again"))
    assert same(maps(toy, trained), first)


@pytest.mark.parametrize("damage", ["flipped", "not OpenVINO's", "one is missing"])
def test_what_is_damaged_is_made_again(
    toy, trained: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = maps(toy, trained)
    path = kept(trained)[0]
    if damage == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "not OpenVINO's":
        engine.user_cache.write_sealed(path, b"something else")
    else:
        path.unlink()
    assert same(maps(toy, trained), first)
    assert ("is made again" in caplog.text) == (damage != "one is missing")
    monkeypatch.setattr(engine, "_compiled", lambda *_: pytest.fail("compiled again"))
    assert same(maps(toy, trained), first)


@pytest.mark.parametrize("change", ["threads", "files", "version", "processor"])
def test_another_network_or_machine_compiles_its_own(toy, trained: Path, monkeypatch, change: str) -> None:
    maps(toy, trained)
    if change == "files":
        (trained / SEARCH).write_bytes((trained / SEARCH).read_bytes() + b"\x7a\x00")  # an empty field of its own
        edit(trained, lambda manifest: manifest["variants"]["fp32"]["files"].update({SEARCH: sha256(trained / SEARCH)}))
    elif change == "version":
        monkeypatch.setattr(engine.openvino, "__version__", "2030.0")
    elif change == "processor":
        monkeypatch.setattr(engine.cpus, "processor", lambda: "another")
    maps(toy, trained, threads=2 if change == "threads" else 1)
    assert len(kept(trained)) == 4


def test_random_weights_are_not_kept(toy, toy_folder: Path, trained: Path) -> None:
    maps(toy, toy_folder)
    assert kept(trained) == []


class Processor:
    """What OpenVINO says of a processor."""

    def __init__(self, *abilities: str) -> None:
        self._abilities = abilities

    def get_property(self, _device: str, _name: str) -> tuple[str, ...]:
        return self._abilities


@pytest.mark.parametrize(
    ("precision", "abilities", "hint"),
    [
        ("fp32", ("FP32", "BF16"), "f32"),
        ("bf16", ("FP32", "BF16"), "bf16"),
        ("int8", ("FP32", "BF16", "INT8"), "bf16"),
        ("int8", ("FP32", "INT8"), "f32"),
    ],
)
def test_what_the_rest_of_an_int8_graph_runs_in(precision: str, abilities: tuple[str, ...], hint: str) -> None:
    assert engine._hint(Processor(*abilities), precision) == hint
