"""Adds a variant in int8 (calibrated on pictures) or bf16 to a model folder, with a comparison with fp32."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sot_tracker import model_folder
from sot_tracker.agreement import Pair, agreement
from sot_tracker.atomic import new_folder
from sot_tracker.box import Box
from sot_tracker.catalog import ModelSpec, NetworkSpec, network_spec
from sot_tracker.config import Config
from sot_tracker.crop import channel_average, crop_average, crop_black
from sot_tracker.engines.network import Network
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.manifest import BF16, INT8, SEARCH, TEMPLATE, WEIGHTS, Manifest, Variant
from sot_tracker.model_folder import Source
from sot_tracker.synth import ClipConfig, builtin_pictures, procedural_pictures, render
from sot_tracker.tracker import Image

try:
    from sot_tracker.engines import onnx as onnx_engine
    from sot_tracker.int8_graphs import quantise, search_inputs
except ModuleNotFoundError as missing:
    raise MissingPackage(str(missing.name), "exporting in int8", "pip install 'sot_tracker[export]'") from None

MIN_PICTURES, HELD_BACK = 8, 4
"""Smallest number of pictures; every `HELD_BACK`-th picture is used for the comparison and not for the calibration."""
_CLIP = 40  # frames


def add_int8(
    model: ModelSpec,
    source: Source,
    out: Path,
    pictures: Sequence[tuple[Image, Box]],
    progress: Callable[[str], None] = lambda step: None,
) -> Source:
    """Write `out` as a copy of the model folder `source` with an int8 variant. If this fails, `out` is unchanged.

    pictures: BGR, each with a target's box; one in `HELD_BACK` is used for the comparison, the others for calibration.
    The comparison also uses a generated clip.

    Raises UserError if the weights or an existing `out` are not a model folder, and for too few pictures.
    """
    original, manifest = _require(model, source, out, pictures)
    spec = network_spec(model.name)
    pairs = list(_pairs(pictures))
    with new_folder(out) as folder:
        shutil.copytree(original, folder, dirs_exist_ok=True)
        place = folder / INT8
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name in (TEMPLATE, WEIGHTS):
            shutil.copyfile(folder / source.files.path(name), place / name)
        progress("calibrating")
        template = onnx_engine.open_session(place / TEMPLATE, "cpu", 1, {})
        patches = [_patches(spec, *pair) for i, pair in enumerate(pairs) if i % HELD_BACK]
        graph = folder / source.files.path(SEARCH)
        quantise(graph, manifest.cached, search_inputs(template, patches), place / SEARCH)
        files = {f"{INT8}/{name}": model_folder.sha256(place / name) for name in (TEMPLATE, SEARCH, WEIGHTS)}
        plain = {name: one for name, one in manifest.variants.items() if name != INT8}
        manifest = replace(manifest, variants={**plain, INT8: Variant(files, INT8)})
        progress("comparing with fp32")
        copy = replace(source, folder=folder, manifest=manifest)
        networks = [
            onnx_engine.load(model, replace(copy, variant=name), Config(model=model.name, device="cpu", precision=name))
            for name in ("fp32", INT8)
        ]
        measured = _agreement(spec, networks, pairs[::HELD_BACK])
        replace(manifest, variants={**plain, INT8: Variant(files, INT8, measured)}).write(folder)
    return model_folder.open_folder(out, model, INT8)


def add_bf16(
    model: ModelSpec,
    source: Source,
    out: Path,
    pictures: Sequence[tuple[Image, Box]],
    progress: Callable[[str], None] = lambda step: None,
) -> Source:
    """Write `out` as a copy of the model folder `source` with a bf16 variant in its manifest.

    The graphs are those of fp32, which OpenVINO runs in bf16. pictures: as for `add_int8`, all used for the comparison.

    Raises UserError as `add_int8`, and on a processor without bf16; MissingPackage without OpenVINO.
    """
    original, manifest = _require(model, source, out, pictures)
    from sot_tracker.engines import openvino as openvino_engine

    spec = network_spec(model.name)
    progress("comparing with fp32")
    networks = [
        openvino_engine.load(model, source, Config(model=model.name, device="cpu", precision=name))
        for name in ("fp32", BF16)
    ]
    measured = _agreement(spec, networks, list(_pairs(pictures)))
    variants = {**manifest.variants, BF16: Variant(source.files.files, BF16, measured)}
    with new_folder(out) as folder:
        shutil.copytree(original, folder, dirs_exist_ok=True)
        replace(manifest, variants=variants).write(folder)
    return model_folder.open_folder(out, model, BF16)


def _require(model: ModelSpec, source: Source, out: Path, pictures: Sequence[Any]) -> tuple[Path, Manifest]:
    """The folder and manifest of `source`. Raises UserError if no variant can be made, or not be written to `out`."""
    if source.folder is None or source.manifest is None:
        raise UserError(f"{source.name} is not a model folder: export it first, then give the folder as --weights")
    if len(pictures) < MIN_PICTURES:
        raise UserError(f"{len(pictures)} pictures with a target are too few: give at least {MIN_PICTURES}")
    if out.exists() and not model_folder.is_folder(out):
        raise UserError(f"--out {out} is not a model folder: give a new folder, or the one of --weights")
    model_folder.require_same_model(out, model)
    return source.folder, source.manifest


def _pairs(pictures: Sequence[tuple[Image, Box]]) -> Iterator[Pair]:
    """Each picture with a search window that is slightly shifted and scaled, as the target moves between two frames."""
    rng = np.random.default_rng(0)
    for image, box in pictures:
        shift, growth = rng.normal(0, 0.3, 2), np.exp(rng.normal(0, 0.15))
        cx, cy = box.center
        yield (
            image,
            box,
            Box.from_cxcywh(cx + shift[0] * box.w, cy + shift[1] * box.h, box.w * growth, box.h * growth),
        )


def _patches(spec: NetworkSpec, image: Image, box: Box, around: Box) -> tuple[Any, Any]:
    """Template and search patch."""
    ends = ((box, spec.template_factor, spec.template_size), (around, spec.search_factor, spec.search_size))
    if spec.crop == "average":
        average = channel_average(image)
        first, second = (crop_average(image, *end, average) for end in ends)
    else:
        first, second = (crop_black(image, *end) for end in ends)
    return first.patch, second.patch


def _agreement(spec: NetworkSpec, networks: Sequence[Network], pairs: Sequence[Pair]) -> dict[str, float]:
    """The agreement of the variant with fp32. networks: fp32, then the variant."""
    exact, other = networks
    inside = [pair for pair in pairs if pair[2].overlaps(pair[0].shape[1], pair[0].shape[0])]
    config = ClipConfig(frames=_CLIP, width=320, height=240, events=(), target_size=(0.2, 0.3))
    try:
        shown = list(render(config, builtin_pictures()))
    except UserError:  # without scikit-image
        shown = list(render(config, procedural_pictures(seed=0)))
    first = shown[0].box
    assert first is not None
    return agreement(spec, exact, other, inside, [item.image for item in shown], first)
