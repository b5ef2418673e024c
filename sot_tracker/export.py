"""Exports networks to model folders: weights.safetensors and two ONNX graphs that read it, compared with torch."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sot_tracker import model_folder
from sot_tracker.atomic import new_folder
from sot_tracker.catalog import ModelSpec, NetworkSpec, network_spec
from sot_tracker.config import Config
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.manifest import (
    DEFAULT_VARIANT,
    MANIFEST,
    SEARCH,
    TEMPLATE,
    WEIGHTS,
    Manifest,
    Shapes,
    Variant,
    network_fields,
    read_manifest,
)
from sot_tracker.model_folder import Source

try:
    import torch
    from safetensors.torch import save
    from torch import Tensor, nn

    from sot_tracker.engines import onnx as onnx_engine
    from sot_tracker.engines import torch as torch_engine
    from sot_tracker.nets import cost
    from sot_tracker.onnx_graphs import OPSET, save_graph
    from sot_tracker.storage import packed, unpacked
    from sot_tracker.weights_file import read_header
except ModuleNotFoundError as missing:
    raise MissingPackage(str(missing.name), "exporting", "pip install 'sot_tracker[export]'") from None

TOLERANCE = 1e-4
"""Largest allowed difference between graph and torch, relative to the map's largest value or to 1 if that is larger."""

_OWN_FILES = (MANIFEST, TEMPLATE, SEARCH, WEIGHTS)

Patches = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


def export(
    model: ModelSpec,
    source: Source,
    out: Path,
    storage: str = "fp16",
    lost_threshold: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Source:
    """Write `out` as a model folder. It appears when it is complete and checked; if this fails, `out` is unchanged.

    source: from `model_folder.find_weights`.
    storage: format of the stored weights, see `storage.packed`. The graphs are compared with torch with these weights.
    lost_threshold: 0..1, by default that of the source. A calibration of the source is kept, since a model folder that
        is exported again has the same weights.
    progress: called with the name of every step when it begins.
    Other files of an existing folder (card.md) are kept, and so are its other variants if the stored weights stay the
    same. If not, the variants are deleted, which one line of the log says.

    Raises UserError if `out` is something else than a model folder, if the weights do not fit, or if graph and torch
    differ by more than `TOLERANCE`.
    """
    spec = network_spec(model.name)
    _require_replaceable(out)
    model_folder.require_same_model(out, model)
    progress("reading the weights")
    net = torch_engine.load_module(model, source)
    with new_folder(out) as folder:
        _write_weights(net, model, source, storage, folder)
        cached, maps = _write_graphs(net, spec, folder, progress)
        progress("counting")
        files = {name: model_folder.sha256(folder / name) for name in (TEMPLATE, SEARCH, WEIGHTS)}
        manifest = Manifest(
            model=model.name,
            network=network_fields(model),
            cached=cached,
            maps=maps,
            lost_threshold=source.lost_threshold if lost_threshold is None else lost_threshold,
            storage=storage,
            parameters=cost.parameters(net),
            macs=cost.macs(net, spec),
            variants={DEFAULT_VARIANT: Variant(files)},
            exported_from=_origin(source),
            calibration=source.manifest.calibration if source.manifest is not None else None,
        )
        kept = _kept_variants(out, model, manifest)
        replace(manifest, variants={**manifest.variants, **kept}).write(folder)
        progress("comparing with torch")
        worst = check(model, folder)
        _keep_other_files(out, folder, kept)
    logging.getLogger(__name__).info("%s: graphs and torch differ by %.1e at most", out, worst)
    return model_folder.open_folder(out, model)


def _write_weights(net: nn.Module, model: ModelSpec, source: Source, storage: str, folder: Path) -> None:
    """Write the weights file, and load the rounded weights into `net`. From a model folder with the same storage, the
    file is copied.
    """
    if source.manifest is not None and source.manifest.storage == storage:
        assert source.folder is not None
        shutil.copyfile(source.folder / source.files.path(WEIGHTS), folder / WEIGHTS)
        return
    stored = packed(net.state_dict(), storage)
    net.load_state_dict(net.state_dict() | unpacked(folder, stored))
    metadata = {"format": "pt", "model": model.name, "storage": storage}
    (folder / WEIGHTS).write_bytes(save(stored, metadata))  # safetensors' save_file reports no full disk


def check(model: ModelSpec, folder: Path) -> float:
    """The largest difference between the folder's graphs in ONNX Runtime and its weights in torch, cached tensors
    included, on noise and on pictures. Raises UserError naming the first output that differs by more than `TOLERANCE`.
    """
    source = model_folder.open_folder(folder, model)
    config = Config(model=model.name, device="cpu")
    reference, graphs = torch_engine.load(model, source, config), onnx_engine.load(model, source, config)
    worst = 0.0
    for template, search in _test_patches(network_spec(model.name)):
        cached, graph_cached = reference.template(template), graphs.template(template)
        pairs = {name: (value.numpy(), graph_cached[name].numpy()) for name, value in _numbered(cached).items()}
        maps, graph_maps = reference.search(cached, search), graphs.search(graph_cached, search)
        pairs |= {name: (value, graph_maps[name]) for name, value in maps.items()}
        for name, (expected, found) in pairs.items():
            difference = float(np.abs(expected - found).max()) / max(1.0, float(np.abs(expected).max()))
            if not difference <= TOLERANCE:
                raise UserError(
                    f"the exported '{name}' differs from torch by {difference:.1e}: are the weights finite?"
                )
            worst = max(worst, difference)
    return worst


def _write_graphs(
    net: nn.Module, spec: NetworkSpec, folder: Path, progress: Callable[[str], None]
) -> tuple[Shapes, Shapes]:
    """Write both graphs. Returns the shapes of the cached tensors and of the maps."""
    template = torch_engine.FromTemplatePatch(net, spec).eval()
    search = torch_engine.FromSearchPatch(net, spec).eval()
    z, x = (torch.from_numpy(patch[None]) for patch in _noise(spec, seed=0))
    with torch.no_grad():
        cached = template(z)
        maps = search(cached, x)
    names = list(_numbered(cached))
    progress(f"tracing {TEMPLATE}")
    save_graph(template, (z,), (["patch"], names), folder / WEIGHTS, folder / TEMPLATE)
    progress(f"tracing {SEARCH}")
    outputs = [*names, "patch"], list(maps)
    save_graph(search, (cached, x), outputs, folder / WEIGHTS, folder / SEARCH, many_targets=True)
    return _shapes(_numbered(cached)), _shapes(maps)


def _numbered(cached: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {f"cached_{i}": value for i, value in enumerate(cached)}


def _shapes(tensors: dict[str, Tensor]) -> Shapes:
    return {name: list(value.shape) for name, value in tensors.items()}


def _origin(source: Source) -> dict[str, Any]:
    """The original weights file, also if it was exported to another model folder before, and the versions used."""
    origin: dict[str, Any] = {"weights": "random"}
    if source.manifest is not None:
        origin = dict(source.manifest.exported_from)
    elif source.file is not None:
        origin = {"weights": source.file.name, "sha256": model_folder.sha256(source.file)}
        known = read_header(source.file, source.file.read_bytes()).metadata
        origin |= {key: known[key] for key in sorted(known.keys() - {"format", "model", *origin})}
    origin |= {"torch": torch.__version__, "opset": OPSET}
    with contextlib.suppress(PackageNotFoundError):
        origin["sot_tracker"] = version("sot_tracker")
    return origin


def _noise(spec: NetworkSpec, seed: int) -> Patches:
    rng = np.random.default_rng(seed)
    template, search = (
        rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in (spec.template_size, spec.search_size)
    )
    return template, search


def _test_patches(spec: NetworkSpec) -> Iterator[Patches]:
    """Noise, then squares of scikit-image's photographs if it is installed, else of generated scenes."""
    from sot_tracker.synth.pictures import builtin_pictures, procedural_pictures

    yield _noise(spec, seed=1)
    try:
        pictures = builtin_pictures()
    except UserError:
        pictures = procedural_pictures(seed=0)
    for picture in pictures[-2:]:
        template, search = (
            np.ascontiguousarray(picture[:size, :size, 2::-1]) for size in (spec.template_size, spec.search_size)
        )
        yield template, search


def _require_replaceable(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: give a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise UserError(f"--out {out} holds other files and is not a model folder: give a new folder")


def _kept_variants(out: Path, model: ModelSpec, fresh: Manifest) -> dict[str, Variant]:
    """The other variants of the older folder, if they were made from the weights that the fresh folder stores; else
    none, and the log says which are deleted.
    """
    try:
        older = read_manifest(out, model)
    except UserError:  # a new or damaged folder, or one of an older version
        return {}
    plain, now = older.variants.pop(DEFAULT_VARIANT), fresh.variants[DEFAULT_VARIANT]
    if (plain.files[WEIGHTS], older.cached, older.maps) == (now.files[WEIGHTS], fresh.cached, fresh.maps):
        # bf16 has no files of its own: it runs the graphs of fp32
        return {
            name: replace(variant, files=now.files) if variant.files == plain.files else variant
            for name, variant in older.variants.items()
        }
    for name in older.variants:
        logging.getLogger(__name__).warning(
            "%s: its %s variant is deleted, it was made from other weights or graphs: add it again with --precision %s",
            out,
            name,
            name,
        )
    return {}


def _keep_other_files(out: Path, fresh: Path, variants: Container[str]) -> None:
    """Copy the files of the older folder that are not part of a model, such as card.md, and those of `variants`."""
    if not out.is_dir():
        return
    for kept in out.iterdir():
        is_variant = kept.is_dir() and (kept / TEMPLATE).is_file()
        if kept.name not in _OWN_FILES and (not is_variant or kept.name in variants):
            (shutil.copytree if kept.is_dir() else shutil.copy2)(kept, fresh / kept.name)
