"""Weights in and out: published checkpoints, and our own safetensors files.

Everything is strict: what does not fit is listed, by name, and nothing is loaded or written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from sot_tracker.catalog import network_spec
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.model_folder import sha256
from sot_tracker.nets import build

try:
    import safetensors
    import safetensors.torch
    import torch
    from torch import Tensor, nn
except ModuleNotFoundError as error:
    raise MissingPackage(str(error.name), "reading weights", "pip install 'sot_tracker[torch]'") from None

from sot_tracker.torch_pickle import LazyTensor, find_weights, read_torch_file

_OLD_PREFIXES = {"backbone.tau.": "backbone.dau."}
"""Names that files in the wild use -> names of the manifests (fact sheet of FERMT, section 10)."""

_COUNTER = "num_batches_tracked"
_LISTED = 8


def load_official(path: Path, model: str) -> dict[str, Tensor]:
    """The state dict of a published checkpoint, float32 and complete, for the network of that name.

    The file is read without running anything in it (`torch_pickle`). Batch-norm counters may be absent. Raises
    UserError for an unknown model, a file that cannot be read, and any tensor that is missing, extra, misshapen, of
    another kind of number, or an index table other than ours.
    """
    network_spec(model)
    file = read_torch_file(path)
    stored = {_renamed(name): lazy for name, lazy in find_weights(file).items()}
    expected = build(model).state_dict()
    # Shapes first: a hostile file can claim a tensor of any size with few bytes.
    require_fit(path, model, stored, expected, optional=_counters(expected))
    return complete(path, model, {name: file.tensor(lazy) for name, lazy in stored.items()}, expected)


def import_checkpoint(path: Path, model: str, out: Path) -> None:
    """Turn a published checkpoint into our own file: safetensors, float32, with its origin in the metadata.

    `out` appears whole or not at all. Raises UserError as `load_official` does, or if `out` cannot be written.
    """
    state = load_official(path, model)
    save_state_dict(out, model, state, {"source": path.name, "source_sha256": sha256(path)})


def save_state_dict(path: Path, model: str, state: Mapping[str, Tensor], origin: Mapping[str, str]) -> None:
    """Write a state dict as safetensors, atomically. origin: what to remember of where it came from."""
    metadata = {"format": "pt", "model": model, **origin}
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()}, metadata)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o644)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def load_state_dict(path: Path, net: nn.Module, model: str) -> None:
    """Load one of our safetensors files into the network of that model; halves become float32 again.

    Integer tensors (counters, index tables) may be absent, since the network knows them. Raises UserError, changing
    nothing, if the file cannot be read or does not fit.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            claim = (file.metadata() or {}).get("model", "nothing")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
    except FileNotFoundError:
        raise UserError(f"weights file {path} does not exist") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path} is no readable safetensors file ({error}): copy or make it again") from None
    expected = net.state_dict()
    integers = {name for name, tensor in expected.items() if not tensor.is_floating_point()}
    target = f"{model} (the file says it is for {claim})"
    require_fit(path, target, state, expected, optional=integers)
    net.load_state_dict(complete(path, target, state, expected))


def require_fit(
    path: Path,
    target: str,
    stored: Mapping[str, Tensor | LazyTensor],
    expected: Mapping[str, Tensor],
    optional: Iterable[str] = (),
) -> None:
    """Raise UserError listing what is missing, extra or misshapen."""
    missing = sorted(set(expected) - set(stored) - set(optional))
    extra = sorted(set(stored) - set(expected))
    shared = sorted(set(expected) & set(stored))
    misshapen = [
        f"{name} {tuple(stored[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in shared
        if tuple(stored[name].shape) != tuple(expected[name].shape)
    ]
    found = {"missing": missing, "extra": extra, "misshapen": misshapen}
    _refuse(path, target, found)


def complete(
    path: Path, target: str, stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """All tensors of `expected` in its order, floats in float32, absent ones from `expected` itself.

    Raises UserError listing tensors of another kind of number, not finite ones, and index tables other than ours.
    """
    state, kinds, values, tables = {}, [], [], []
    for name, ours in expected.items():
        theirs = stored.get(name, ours)
        if theirs.is_floating_point() != ours.is_floating_point():
            kinds.append(f"{name} {theirs.dtype} instead of {ours.dtype}")
        elif ours.is_floating_point():
            theirs = theirs.to(torch.float32)
            if not torch.isfinite(theirs).all():
                values.append(name)
        elif not name.endswith(_COUNTER) and not torch.equal(theirs.to(ours.dtype), ours.cpu()):
            tables.append(name)
        state[name] = theirs.to(ours.dtype)
    found = {"of another kind": kinds, "not finite": values, "tables that differ from ours": tables}
    _refuse(path, target, found)
    return state


def _refuse(path: Path, target: str, found: Mapping[str, list[str]]) -> None:
    told = []
    for problem, names in found.items():
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            told.append(f"{len(names)} {problem}: {', '.join(names[:_LISTED])}{more}")
    if told:
        raise UserError(f"{path} does not fit {target}: {'; '.join(told)}")


def _renamed(name: str) -> str:
    for old, new in _OLD_PREFIXES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _counters(expected: Mapping[str, Tensor]) -> set[str]:
    return {name for name in expected if name.rpartition(".")[2] == _COUNTER}
