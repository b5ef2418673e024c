"""Finds weights: model folders, .safetensors files, seeds.

A model folder contains `manifest.json`, `template.onnx`, `search.onnx` and `weights.safetensors`. The last one is both
the state dict of the torch engine and the external data of the two graphs, so that no weight is stored twice. Further
variants (other precisions) are in subfolders. Nothing here needs torch or an engine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sot_tracker.catalog import MODELS, ModelSpec
from sot_tracker.errors import UserError
from sot_tracker.manifest import (
    DEFAULT_VARIANT,
    MANIFEST,
    SEARCH,
    TEMPLATE,
    WEIGHTS,
    Manifest,
    Variant,
    export_hint,
    read_manifest,
)
from sot_tracker.weights_file import require_finite

DEFAULT_LOST_THRESHOLD = 0.2
"""Used for .safetensors files, and stored by exports without `--lost-threshold`."""


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """Where weights come from: a model folder (then `manifest` is set), a .safetensors file, or a seed.

    variant: name of the manifest's variant to use.
    random: whether the weights were drawn from a seed; also true for a folder that was exported from them.
    """

    folder: Path | None = None
    manifest: Manifest | None = None
    file: Path | None = None
    random: bool = False
    variant: str = DEFAULT_VARIANT

    @property
    def is_seed(self) -> bool:
        """Whether the weights are random and not in any file."""
        return self.random and self.folder is None

    @property
    def name(self) -> str:
        """For logs and messages: the folder, the file, or "random"."""
        return "random" if self.random else str(self.folder or self.file)

    @property
    def files(self) -> Variant:
        """The variant with its files. Only for model folders."""
        assert self.manifest is not None
        return self.manifest.variants[self.variant]

    def describe(self, copy: Path) -> str:
        """Path of the original of a file copied by `private_copy`, for messages."""
        return f"{self.folder}/{self.files.path(copy.name)}"

    @property
    def lost_threshold(self) -> float:
        """The model folder's threshold, else the default; 0 for random weights, whose scores mean nothing."""
        if self.random:
            return 0.0
        return self.manifest.lost_threshold if self.manifest else DEFAULT_LOST_THRESHOLD


def find_weights(model: ModelSpec, weights: str) -> Source:
    """Find the weights of the option `weights`: "" (those that ship), "random", a model folder or a .safetensors file.

    Raises UserError that says which file is expected and how to get one.
    """
    if weights == "random":
        return Source(random=True)
    if not weights:
        folder = shipped_folder(model.name)
        if folder is None:
            raise UserError(
                f"no weights for '{model.name}' ship here (models/{model.name}/{MANIFEST} is missing):"
                f" give weights=PATH, a model folder or a .safetensors file, or weights=random for a benchmark;"
                f" get one by `sot-tracker train --model {model.name}`, or from a published checkpoint by"
                f" `sot-tracker import`, and make it a folder by `{export_hint(model)}`"
            )
        return open_folder(folder, model)
    path = Path(os.path.expanduser(weights))  # noqa: PTH111  pathlib's raises if the user of "~user" does not exist
    if os.path.isdir(path):  # noqa: PTH112  unlike pathlib's, these two accept names that are too long
        return open_folder(path, model)
    if not os.path.exists(path):  # noqa: PTH110
        raise UserError(f"weights '{weights}' do not exist: give a model folder, a .safetensors file, or 'random'")
    if path.suffix == ".safetensors":
        return Source(file=path)
    if os.path.isfile(trained := os.path.join(os.path.dirname(path), "model.safetensors")):  # noqa: PTH113, PTH118, PTH120
        raise UserError(f"weights '{weights}' are for resuming a training: give its weights, {trained}")
    raise UserError(
        f"weights '{weights}' are neither a model folder nor a .safetensors file: published checkpoints are read by"
        f" `sot-tracker import {path.name} --model {model.name} --out {model.name}.safetensors`"
    )


def is_folder(path: Path) -> bool:
    """Whether the path is a model folder, complete or not, or an empty folder, which may become one."""
    return path.is_dir() and ((path / MANIFEST).is_file() or not any(path.iterdir()))


def require_same_model(out: Path, model: ModelSpec) -> None:
    """Raise UserError if `out` is the folder of another model, which would be lost if it was replaced."""
    try:
        content = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):  # no folder of a model, or a damaged one
        return
    held = content.get("model", model.name) if isinstance(content, dict) else model.name
    if held != model.name:
        raise UserError(f"--out {out} holds the model {ascii(held)[:60]}, not '{model.name}': give another folder")


def open_folder(folder: Path, model: ModelSpec, variant: str = DEFAULT_VARIANT) -> Source:
    """Open a model folder. Raises UserError unless the variant of that name is complete and undamaged."""
    manifest = read_manifest(folder, model)
    if variant not in manifest.variants:
        raise UserError(f"{folder} has no variant '{variant}': it has {', '.join(manifest.variants)}")
    source = Source(folder, manifest, random=manifest.exported_from["weights"] == "random", variant=variant)
    for path, expected in source.files.files.items():
        _read(folder / path, expected)
    return source


@contextlib.contextmanager
def private_copy(source: Source) -> Iterator[dict[str, Path]]:
    """Copy the variant's files for an engine to load: name (`TEMPLATE`, `SEARCH`, `WEIGHTS`) -> path. They are in one
    folder, which is deleted when the block ends.

    ONNX Runtime and OpenVINO keep the weights file mapped into memory. If somebody truncated or overwrote the original
    meanwhile, the process would be killed by a signal (SIGBUS). A deleted file stays unchanged as long as it is mapped.

    Raises UserError for a file that is missing, differs from the manifest's sha256 or contains weights that are not
    finite, and if the disk is full.
    """
    assert source.folder is not None
    with contextlib.ExitStack() as stack:
        try:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sot_tracker-")))
            for path, expected in source.files.files.items():
                data = _read(source.folder / path, expected)
                if Path(path).name == WEIGHTS:
                    require_finite(source.folder / path, data)
                (place / Path(path).name).write_bytes(data)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"cannot copy {source.folder} to a temporary folder ({reason}): set TMPDIR") from None
        yield {name: place / name for name in (TEMPLATE, SEARCH, WEIGHTS)}


def _read(path: Path, expected: str) -> bytes:
    """The file's content. Raises UserError if it cannot be read or has another sha256."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: copy the whole model folder, or export the model again") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise UserError(f"{path} is damaged, its sha256 is not the manifest's: copy or export the model again")
    return data


def loadable_models() -> tuple[str, ...]:
    """Names of the models that can be loaded without weights from the user."""
    return tuple(
        name
        for name, model in MODELS.items()
        if not model.opencv_weights and (model.network is None or shipped_folder(name) is not None)
    )


def shipped_folder(name: str) -> Path | None:
    """The first models/<name> in the wheel, the checkout or the ROS share folder; None if there is none."""
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
