"""Model folders of any content: a sound manifest and weights of finite numbers, or one line."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sot_tracker import catalog
from sot_tracker.manifest import MANIFEST, WEIGHTS, read_manifest
from sot_tracker.model_folder import open_folder, private_copy
from sot_tracker.weights_file import read_header, require_finite

from fuzzing import changed, damaged, refused_in_one_line

pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def model(toy_for_module: catalog.ModelSpec) -> catalog.ModelSpec:
    return toy_for_module


@pytest.fixture(scope="module")
def folder(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that each input changes."""
    copy = tmp_path_factory.mktemp("fuzz") / "toy"
    shutil.copytree(toy_folder, copy)
    return copy


def write(folder: Path, manifest: Any) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8", errors="surrogatepass")


@given(data=st.data())
def test_manifests(data: Any, model: catalog.ModelSpec, toy_folder: Path, folder: Path) -> None:
    write(folder, data.draw(changed(json.loads((toy_folder / MANIFEST).read_text()))))
    with refused_in_one_line():
        manifest = read_manifest(folder, model)
        assert manifest.model == model.name
        assert 0 <= manifest.lost_threshold <= 1
        assert "fp32" in manifest.variants
    with refused_in_one_line(), private_copy(open_folder(folder, model)) as files:
        assert all(path.is_file() for path in files.values())


@given(data=st.data())
def test_bytes_of_the_manifest(data: Any, model: catalog.ModelSpec, toy_folder: Path, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(data.draw(damaged((toy_folder / MANIFEST).read_bytes())))
    with refused_in_one_line():
        read_manifest(folder, model)


@given(data=st.data())
def test_header_of_the_weights(data: Any, model: catalog.ModelSpec, toy_folder: Path, folder: Path) -> None:
    """Damaged in the header, the manifest's sums made to fit."""
    whole = (toy_folder / WEIGHTS).read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    content = data.draw(damaged(whole[:start])) + whole[start:]
    (folder / WEIGHTS).write_bytes(content)
    manifest = json.loads((toy_folder / MANIFEST).read_text())
    manifest["variants"]["fp32"]["files"][WEIGHTS] = hashlib.sha256(content).hexdigest()
    write(folder, manifest)
    try:
        with refused_in_one_line(), private_copy(open_folder(folder, model)):
            for stretch in read_header(folder / WEIGHTS, content).tensors.values():
                assert 0 <= stretch.offset <= stretch.offset + stretch.length <= len(content)
    finally:
        (folder / WEIGHTS).write_bytes(whole)


@given(st.data())
def test_numbers_of_the_weights(data: Any) -> None:
    values = np.array(data.draw(st.lists(st.floats(width=32), min_size=1, max_size=8)), np.float32)
    head = json.dumps({"w": {"dtype": "F32", "shape": [len(values)], "data_offsets": [0, values.nbytes]}}).encode()
    content = len(head).to_bytes(8, "little") + head + values.tobytes()
    passed = False
    with refused_in_one_line():
        require_finite(Path("w"), content)
        passed = True
    assert passed is bool(np.isfinite(values).all())
