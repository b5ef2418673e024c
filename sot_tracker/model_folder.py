"""Where weights are, and what a model folder says of itself.

A model folder holds `manifest.json`, `template.onnx`, `search.onnx` and `weights.safetensors`; the last is at once the
state dict of the torch engine and the external data of both graphs, so that no number is stored twice. Nothing here
needs torch or an engine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sot_tracker.catalog import ModelSpec
from sot_tracker.errors import UserError

MANIFEST, TEMPLATE, SEARCH, WEIGHTS = "manifest.json", "template.onnx", "search.onnx", "weights.safetensors"
FORMAT = 1
DEFAULT_LOST_THRESHOLD = 0.2
"""Used where nobody calibrated one: bare .safetensors files, and exports without `--lost-threshold`."""


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds.

    network: the fields of `catalog.NetworkSpec` (sizes, factors, normalisation, decoding).
    cached: name -> shape of what template.onnx gives and search.onnx takes besides the patch.
    maps: name -> shape, batch axis included.
    lost_threshold: score below which the target counts as lost, 0..1.
    storage: "fp16" (matrices rounded to half, vectors kept) or "fp32".
    parameters: count. macs: "template", "search" and "uncached" (both as published) -> multiply-accumulates.
    files: name -> sha256.
    exported_from: "weights", the name of the weights file ("random" for a seed), its sha256, versions used.
    """

    model: str
    network: dict[str, Any]
    cached: dict[str, list[int]]
    maps: dict[str, list[int]]
    lost_threshold: float
    storage: str
    parameters: int
    macs: dict[str, int]
    files: dict[str, str]
    exported_from: dict[str, Any]
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        text = json.dumps(dataclasses.asdict(self), indent=2)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path, model: ModelSpec) -> Manifest:
    """The manifest of that model's folder. Raises UserError if it is damaged, of another model or another format."""
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise UserError(f"{path} is not a manifest of format {FORMAT}: export the model again with this version")
        manifest = Manifest(**values)
        _require_sound(manifest)
    except FileNotFoundError:
        raise UserError(
            f"{folder} is no model folder, it has no {MANIFEST}: make one with `{export_hint(model)}`"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): export the model again") from None
    if manifest.model != model.name:
        raise UserError(
            f"{folder} holds the model '{manifest.model}', not '{model.name}': give --model {manifest.model}"
        )
    if manifest.network != network_fields(model):
        raise UserError(f"{path} describes another {model.name} than this version: export the model again")
    return manifest


def _require_sound(manifest: Manifest) -> None:
    """Raise TypeError or ValueError unless the fields hold what the code relies on."""
    if not isinstance(manifest.files, dict) or set(manifest.files) != {TEMPLATE, SEARCH, WEIGHTS}:
        raise ValueError("'files' does not list the three files with their sha256")
    if not 0 <= manifest.lost_threshold <= 1:
        raise ValueError(f"lost_threshold {manifest.lost_threshold} is not in 0..1")
    if not isinstance(manifest.exported_from, dict) or not isinstance(manifest.macs, dict):
        raise TypeError("'exported_from' or 'macs' is not a table")
    if not isinstance(manifest.parameters, int) or not isinstance(manifest.macs.get("search"), int):
        raise TypeError("'parameters' or 'macs' is not a count")


def network_fields(model: ModelSpec) -> dict[str, Any]:
    """The model's `NetworkSpec` as JSON gives it back."""
    if model.network is None:
        raise UserError(f"model '{model.name}' has no network and needs no weights")
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(model.network)))
    return fields


def verify(folder: Path, manifest: Manifest) -> None:
    """Raise UserError naming the first file that is missing or differs from the manifest's sha256."""
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing: copy the whole model folder, or export the model again")
        if sha256(path) != expected:
            raise UserError(f"{path} is damaged, its sha256 is not the manifest's: copy or export the model again")


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """Where weights come from: a model folder (then `manifest` is set), a .safetensors file, or a seed.

    random: the numbers come from a seed, also where they were exported into a folder already.
    """

    folder: Path | None = None
    manifest: Manifest | None = None
    file: Path | None = None
    random: bool = False

    @property
    def is_seed(self) -> bool:
        """Random numbers that no file holds yet."""
        return self.random and self.folder is None

    @property
    def told(self) -> str:
        return "random" if self.random else str(self.folder or self.file)

    @property
    def lost_threshold(self) -> float:
        """Stored with a folder; 0 for random weights, whose scores mean nothing."""
        if self.random:
            return 0.0
        return self.manifest.lost_threshold if self.manifest else DEFAULT_LOST_THRESHOLD


def find_weights(model: ModelSpec, weights: str) -> Source:
    """What the option `weights` means: "" the folder that ships, "random", a model folder or a .safetensors file.

    Raises UserError telling which file is expected and how to get one.
    """
    if weights == "random":
        return Source(random=True)
    if not weights:
        folder = shipped_folder(model.name)
        if folder is None:
            raise UserError(
                f"no weights for '{model.name}' ship here (models/{model.name}/{MANIFEST} is missing):"
                f" give --weights with a model folder or a .safetensors file, or --weights random for a benchmark;"
                f" get one by `sot-tracker train --model {model.name}`, or from a published checkpoint by"
                f" `sot-tracker import`, and make it a folder by `{export_hint(model)}`"
            )
        return open_folder(folder, model)
    path = Path(weights).expanduser()
    if path.is_dir():
        return open_folder(path, model)
    if not path.exists():
        raise UserError(f"weights '{weights}' do not exist: give a model folder, a .safetensors file, or 'random'")
    if path.suffix == ".safetensors":
        return Source(file=path)
    raise UserError(
        f"weights '{weights}' are neither a model folder nor a .safetensors file: published checkpoints are read by"
        f" `sot-tracker import {path.name} --model {model.name} --out {model.name}.safetensors`"
    )


def open_folder(folder: Path, model: ModelSpec) -> Source:
    """A model folder, complete and undamaged. Raises UserError otherwise."""
    manifest = read_manifest(folder, model)
    verify(folder, manifest)
    return Source(folder=folder, manifest=manifest, random=manifest.exported_from.get("weights") == "random")


def export_hint(model: ModelSpec) -> str:
    return f"sot-tracker export --model {model.name} --weights FILE.safetensors --out DIR"


def shipped_folder(name: str) -> Path | None:
    """models/<name> of the wheel, of the checkout or of the ROS share folder, whichever is first; None without one."""
    for models in _shipped_places():
        if (models / name / MANIFEST).is_file():
            return models / name
    return None


def _shipped_places() -> list[Path]:
    package = Path(__file__).resolve().parent
    places = [package / "models", package.parent / "models"]
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
    except ImportError:
        return places
    with contextlib.suppress(PackageNotFoundError):
        places.append(Path(get_package_share_directory("sot_tracker")) / "models")
    return places
