"""What it takes to add a network: one file with a `FAMILY` and one row of the catalogue."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import sot_tracker
from sot_tracker import catalog, nets
from sot_tracker.catalog import MODELS
from sot_tracker.cli import main
from sot_tracker.errors import UserError
from sot_tracker.train.recipe import PRESETS, Recipe

import clips
import trees

NETWORKS = [name for name, spec in MODELS.items() if spec.network]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_row_has_its_variant_and_recipes(name: str) -> None:
    family = nets.family_of(name)
    assert {field.name for field in dataclasses.fields(family.variants[name])} >= {"template_size", "search_size"}
    assert isinstance(PRESETS["scratch"](name), Recipe)
    if family.paper is not None:
        assert PRESETS["paper"](name).steps > 1000


def test_a_row_without_its_variant_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    row = dataclasses.replace(MODELS["smat"], name="smat_xl")
    monkeypatch.setitem(catalog.MODELS, "smat_xl", row)
    with pytest.raises(LookupError, match="has no variant 'smat_xl'"):
        nets.build("smat_xl")


def test_no_file_outside_of_nets_and_catalogue_asks_which_network_it_has() -> None:
    """Not even by its class or by the beginning of its name."""
    names = "|".join(sorted({name.partition("_")[0] for name in NETWORKS}))
    asks = re.compile(rf"nets\.({names})\b|startswith\(\(?[\"']({names})|[=!]= [\"']({names})|in \(?[\"']({names})")
    package = Path(sot_tracker.__file__).parent
    files = [path for path in package.rglob("*.py") if path.parent.name != "nets"]
    assert len(files) > 50
    assert {str(path.relative_to(package)) for path in files if asks.search(path.read_text())} == set()


def test_a_network_without_published_recipe_says_so(toy: catalog.ModelSpec) -> None:
    with pytest.raises(UserError, match="no recipe was published for 'toy'"):
        PRESETS["paper"]("toy")


def test_a_sixth_network_trains_exports_and_tracks(toy: catalog.ModelSpec, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("onnxscript")
    assert isinstance(nets.build("toy", search_size=64), torch.nn.Module)
    data = trees.jsonl(tmp_path / "data", videos=2, frames=3)
    sizes = ["--template-size", "48", "--search-size", "96", "--steps", "2", "--batch", "2", "--workers", "0"]
    run = tmp_path / "run"
    assert main(["train", "--model", "toy", "--data", str(data), "--out", str(run), *sizes]) == 0
    losses = [float(row["total"]) for row in csv.DictReader((run / "curves.csv").open())]
    assert np.isfinite(losses).all()
    weights, folder = run / "model.safetensors", tmp_path / "toy"
    assert main(["export", "--model", "toy", "--weights", str(weights), "--out", str(folder)]) == 0
    sequence = clips.write_sequence(tmp_path / "clip", list(clips.boxes(4)))
    for engine in ("torch", "onnx"):
        results = tmp_path / f"{engine}.csv"
        given = ["--model", "toy", "--weights", str(folder), "--engine", engine]
        assert main(["track", str(sequence), *given, "--csv", str(results)]) == 0
        assert len(results.read_text().splitlines()) >= 4
