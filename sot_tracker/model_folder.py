"""Where weights are: model folders, .safetensors files, seeds.

A model folder holds `manifest.json`, `template.onnx`, `search.onnx` and `weights.safetensors`; the last is at once the
state dict of the torch engine and the external data of both graphs, so that no number is stored twice. Further variants
(other precisions) lie in folders of their own inside it. Nothing here needs torch or an engine.
"""

from __future__ import annotations

import contextlib
import hashlib
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
"""Used where nobody calibrated one: bare .safetensors files, and exports without `--lost-threshold`."""


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class Source:
    """Where weights come from: a model folder (then `manifest` is set), a .safetensors file, or a seed.

    variant: the one of the manifest's variants that is to run.
    random: the numbers come from a seed, also where they were exported into a folder already.
    """

    folder: Path | None = None
    manifest: Manifest | None = None
    file: Path | None = None
    random: bool = False
    variant: str = DEFAULT_VARIANT

    @property
    def is_seed(self) -> bool:
        """Random numbers that no file holds yet."""
        return self.random and self.folder is None

    @property
    def name(self) -> str:
        """For logs and messages: the folder, the file, or "random"."""
        return "random" if self.random else str(self.folder or self.file)

    @property
    def files(self) -> Variant:
        """What the variant consists of. Only for model folders."""
        assert self.manifest is not None
        return self.manifest.variants[self.variant]

    def describe(self, copy: Path) -> str:
        """Where the file lies in the folder of which `private_copy` made a copy."""
        return f"{self.folder}/{self.files.path(copy.name)}"

    @property
    def lost_threshold(self) -> float:
        """Stored with a folder; 0 for random weights, whose scores mean nothing."""
        if self.random:
            return 0.0
        return self.manifest.lost_threshold if self.manifest else DEFAULT_LOST_THRESHOLD


def find_weights(model: ModelSpec, weights: str) -> Source:
    """What the option `weights` means: "" the folder that ships, "random", a model folder or a .safetensors file.

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
    path = Path(os.path.expanduser(weights))  # noqa: PTH111  a name without a home is a name
    if os.path.isdir(path):  # noqa: PTH112  unlike pathlib's, these two take names that are too long
        return open_folder(path, model)
    if not os.path.exists(path):  # noqa: PTH110
        raise UserError(f"weights '{weights}' do not exist: give a model folder, a .safetensors file, or 'random'")
    if path.suffix == ".safetensors":
        return Source(file=path)
    raise UserError(
        f"weights '{weights}' are neither a model folder nor a .safetensors file: published checkpoints are read by"
        f" `sot-tracker import {path.name} --model {model.name} --out {model.name}.safetensors`"
    )


def is_folder(path: Path) -> bool:
    """Whether a model folder lies there, whole or not; an empty folder may become one."""
    return path.is_dir() and ((path / MANIFEST).is_file() or not any(path.iterdir()))


def open_folder(folder: Path, model: ModelSpec, variant: str = DEFAULT_VARIANT) -> Source:
    """A model folder whose variant of that name is complete and undamaged. Raises UserError otherwise."""
    manifest = read_manifest(folder, model)
    if variant not in manifest.variants:
        raise UserError(f"{folder} has no variant '{variant}': it has {', '.join(manifest.variants)}")
    source = Source(folder, manifest, random=manifest.exported_from["weights"] == "random", variant=variant)
    for path, expected in source.files.files.items():
        _read(folder / path, expected)
    return source


@contextlib.contextmanager
def private_copy(source: Source) -> Iterator[dict[str, Path]]:
    """The variant's files for an engine to load: name (`TEMPLATE`, `SEARCH`, `WEIGHTS`) -> path, side by side in a
    folder that is deleted when the block ends.

    ONNX Runtime and OpenVINO keep the weights mapped while they run. Of files that anybody may cut or overwrite the
    process would be killed by a signal (SIGBUS) then; a deleted file stays as it is for whoever has it mapped.

    Raises UserError for a file that is missing, differs from the manifest's sha256 or holds weights that are not
    finite, and if there is no room for the copy.
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
    """The file's content. Raises UserError if it cannot be read or its sha256 is another."""
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
    """The models that can be loaded without weights of the user's own."""
    return tuple(
        name
        for name, model in MODELS.items()
        if not model.opencv_weights and (model.network is None or shipped_folder(name) is not None)
    )


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
