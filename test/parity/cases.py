"""What the parity tests share: which files there are, weights and pictures drawn from a seed, networks loaded once.

A parity folder holds `<family>/<variant>.seed<k>.npz` (network outputs), `<family>/...track...seed<k>.npz` (loops),
`<family>/*_cases.npz` and `<family>/derived_tables.npz` (not seeded). Manifests lie beside them or in test/data.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from sot_tracker.catalog import MODELS, network_spec
from sot_tracker.checkpoints import complete, require_fit
from sot_tracker.nets import build

DATA = Path(__file__).parent.parent / "data" / "parity"
UNPUBLISHED = {"smat_a", "smat_b", "smat_c", "smat_standard", "hit_pvt", "transt_h", "lite"}
"""Variants that the papers have in a table only, and our own network: nothing was published to compare with."""
NETWORKS = [name for name, spec in MODELS.items() if spec.network and name not in UNPUBLISHED]
FAMILIES = sorted({name.partition("_")[0] for name in NETWORKS})


def _load_seeded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("seeded", DATA / "seeded.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


seeded = _load_seeded()
"""The module that draws tensors and pictures from a seed, as it came with the fact sheets."""


@dataclass(frozen=True)
class Case:
    """One file of expected numbers for one model."""

    kind: str  # "output", "track" or "cases"
    model: str  # catalogue name; of "cases" the family
    path: Path
    seed: int = -1

    def __str__(self) -> str:
        return f"{self.model}-{self.path.stem}"

    @property
    def family(self) -> str:
        return self.model.partition("_")[0]

    @property
    def manifest(self) -> Path:
        beside = self.path.parent / f"{self.model}.manifest.json"
        return beside if beside.is_file() else DATA / self.family / beside.name

    @functools.cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.path) as file:
            return dict(file)


def find(folder: Path) -> list[Case]:
    """All files of a parity folder that a test can read, in a stable order."""
    return [case for path in sorted(folder.glob("*/*.npz")) for case in _cases_of(path)]


def unread(folder: Path) -> list[str]:
    """Files of a parity folder that no test would read: a typing error in a name must not pass for a check."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.npz")) if not list(_cases_of(path))]


def _cases_of(path: Path) -> Iterator[Case]:
    family, stem = path.parent.name, path.stem
    if family not in FAMILIES:
        return
    if not (match := re.fullmatch(r"(.+)\.seed(\d+)", stem)):
        if stem.endswith(("_cases", "_tables")):
            yield Case("cases", family, path)
        return
    name, seed = match[1], int(match[2])
    if name in NETWORKS:
        yield Case("output", name, path, seed)
    elif name == "track" and family == "hit":
        yield from (Case("track", model, path, seed) for model in NETWORKS if model.startswith("hit_"))
    elif name.startswith("track"):  # track.seed0, track_nodau.seed0
        yield from _known(Case("track", family + name.removeprefix("track"), path, seed))
    elif name.endswith(".track"):  # hcat_n1.track.seed0
        yield from _known(Case("track", name.removesuffix(".track"), path, seed))


def _known(case: Case) -> Iterator[Case]:
    if case.model in NETWORKS:
        yield case


@functools.lru_cache(maxsize=2)
def load_net(model: str, seed: int, manifest: Path) -> nn.Module:
    """The network in eval mode with the weights of that seed, loaded strictly. Shared: do not change it."""
    net = build(model).eval()
    expected = net.state_dict()
    listed = seeded.load_manifest(manifest)
    state = {name: torch.from_numpy(array) for name, array in seeded.seeded_state_dict(listed, seed).items()}
    # Index tables follow from the architecture and are not drawn; `test_tables.py` compares ours with the kit's.
    state |= {e["name"]: expected[e["name"]] for e in listed if e["kind"] == "derived" and e["name"] in expected}
    assert [e["name"] for e in listed if e["name"] not in state] == []
    require_fit(manifest, model, state, expected)
    net.load_state_dict(complete(manifest, model, state, expected))
    return net


def net_of(case: Case) -> nn.Module:
    return load_net(case.model, case.seed, case.manifest)


def normalise(model: str, patch: np.ndarray) -> Tensor:
    """S x S x 3 RGB uint8 -> 1 x 3 x S x S, as the fact sheets' sections on the input say."""
    mean, std = (np.float32(values) for values in network_spec(model).normalization)
    return torch.from_numpy(((patch.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)[None].copy())


def input_pair(case: Case) -> tuple[Tensor, Tensor]:
    """Template and search input of the stored network outputs."""
    z = seeded.seeded_image(128, 128, case.seed, "template")
    x = seeded.seeded_image(256, 256, case.seed, "search")
    return normalise(case.model, z), normalise(case.model, x)


@contextmanager
def recorded(net: nn.Module, names: set[str]) -> Iterator[dict[str, list[tuple[object, object]]]]:
    """Inputs and output of sub-modules while the block runs, one entry per call, in order of the calls."""
    record: dict[str, list[tuple[object, object]]] = {name: [] for name in names}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        return lambda module, inputs, output: record[name].append((inputs, output))

    hooks = [net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield record
    finally:
        for hook in hooks:
            hook.remove()
