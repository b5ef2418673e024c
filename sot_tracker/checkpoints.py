"""Reads published checkpoints, and reads and writes this project's safetensors files.

All checks are strict: if any tensor does not fit, it is listed by name, and nothing is loaded or written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from sot_tracker.atomic import write_bytes
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

from sot_tracker.storage import unpacked
from sot_tracker.torch_pickle import LazyTensor, TorchFile, find_weights, read_torch_file, skipped
from sot_tracker.weights_file import read_header

_OLD_PREFIXES = {"backbone.tau.": "backbone.dau."}
"""Prefixes of names in some published files -> prefixes here (fact sheet of FERMT, section 10)."""

_COUNTER = "num_batches_tracked"
_LISTED = 8


def load_official(path: Path, model: str) -> dict[str, Tensor]:
    """The state dict of a published checkpoint, float32 and complete, for the network of that name.

    No code from the file is run (`torch_pickle`). Batch-norm counters may be missing. Raises UserError for an unknown
    model, an unreadable file, and any tensor that is missing, extra, of another shape or kind of number, or an index
    table with other values than the network's.
    """
    network_spec(model)
    return _complete_state(read_torch_file(path), model)


def _complete_state(file: TorchFile, model: str) -> dict[str, Tensor]:
    network_spec(model)
    path = file.path
    stored = {_renamed(name): lazy for name, lazy in find_weights(file).items()}
    expected = build(model).state_dict()
    # Shapes are checked first, since a hostile file can declare a tensor of any size with few bytes.
    require_fit(path, model, stored, expected, optional=_counters(expected))
    return complete(path, model, {name: file.tensor(lazy) for name, lazy in stored.items()}, expected)


def import_checkpoint(path: Path, model: str, out: Path) -> list[str]:
    """Convert a published checkpoint to a safetensors file in float32, with its origin in the metadata.

    `out` appears when it is complete. Returns the names of everything else in the checkpoint. Raises UserError as
    `load_official`, or if `out` cannot be written.
    """
    file = read_torch_file(path)
    state = _complete_state(file, model)
    save_state_dict(out, model, state, {"source": path.name, "source_sha256": sha256(path)})
    return skipped(file)


def save_state_dict(path: Path, model: str, state: Mapping[str, Tensor], origin: Mapping[str, str]) -> None:
    """Write a state dict as a safetensors file, all or nothing. origin: where it came from (recipe, data, source),
    shown in errors if the file is loaded as another model. Raises UserError if it cannot be written.
    """
    metadata = {"format": "pt", "model": model, **origin}
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.items()}, metadata)
    write_bytes(path, data)


def load_state_dict(path: Path, net: nn.Module, model: str) -> None:
    """Load a safetensors file of this project into the network of that model; fp16 and int8 are converted to float32.

    Integer tensors (counters, index tables) may be missing, since the network computes them. Raises UserError, changing
    nothing, if the file cannot be read or does not fit.
    """
    origin, state = read_safetensors(path)
    claimed = origin.get("model", model)
    if claimed != model:
        raise UserError(f"{path} holds {_described(origin)}, not weights of {model}: give --model {_short(claimed)}")
    expected = net.state_dict()
    integers = {name for name, tensor in expected.items() if not tensor.is_floating_point()}
    try:
        require_fit(path, model, state, expected, optional=integers)
    except UserError as error:
        raise UserError(f"{error}{_other_size(origin, model, path)}") from None
    net.load_state_dict(complete(path, model, state, expected))


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata of a safetensors file, and its tensors, int8 multiplied by its scales. Raises UserError."""
    try:
        data = path.read_bytes()  # not mapped, since truncating a mapped file would kill the process
    except FileNotFoundError:
        raise UserError(f"weights file {path} does not exist") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    origin = read_header(path, data).metadata
    try:
        return origin, unpacked(path, safetensors.torch.load(data))
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}): copy or make it again") from None


def _other_size(origin: Mapping[str, str], model: str, path: Path) -> str:
    """Advice for weights that were trained with other patch sizes than the network uses; else ""."""
    try:
        recipe = json.loads(origin["recipe"])
        trained = int(recipe["template_size"]), int(recipe["search_size"])
    except (ValueError, LookupError, TypeError):  # not from a training of this project
        return ""
    spec = network_spec(model)
    published = spec.template_size, spec.search_size
    if trained == published:
        return ""
    return (
        f". It was trained on patches of {trained[0]} and {trained[1]} pixels, and {model} runs on {published[0]} and "
        f"{published[1]}: continue the training at the full size with `sot-tracker train --init {path}`"
    )


def _described(origin: Mapping[str, str]) -> str:
    """The origin in a file's metadata as text, such as "weights of smat (data got10k, steps 9000)"."""
    shown = sorted(origin.keys() - {"format", "model", "recipe", "source_sha256"})
    known = ", ".join(f"{key} {_short(origin[key])}" for key in shown)
    return f"weights of {_short(origin['model'])}{f' ({known})' if known else ''}"


def _short(text: str) -> str:
    """The text in at most 60 characters, with line breaks escaped."""
    return ascii(text)[1:-1][:60]


def require_fit(
    path: Path,
    target: str,
    stored: Mapping[str, Tensor | LazyTensor],
    expected: Mapping[str, Tensor],
    optional: Iterable[str] = (),
) -> None:
    """Raise UserError listing missing, extra and misshapen tensors. If few fit, it says that the file is not a
    checkpoint of `target`.
    """
    missing = sorted(set(expected) - set(stored) - set(optional))
    extra = sorted(set(stored) - set(expected))
    shared = sorted(set(expected) & set(stored))
    misshapen = [
        f"{name} {tuple(stored[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in shared
        if tuple(stored[name].shape) != tuple(expected[name].shape)
    ]
    found = {"missing": missing, "extra": extra, "misshapen": misshapen}
    if len(shared) < len(missing):
        count = f"{len(shared)} of the {len(shared) + len(missing)} tensors of {target} are in it"
        _refuse(path, f"is not a checkpoint of {target} ({count})", found)
    _refuse(path, f"does not fit {target}", found)


def complete(
    path: Path, target: str, stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """All tensors of `expected` in its order, floats in float32; missing ones are taken from `expected`.

    Raises UserError listing tensors of another kind of number, tensors that are not finite, and index tables that
    differ from those of `expected`.
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
    _refuse(path, f"does not fit {target}", found)
    return state


def _refuse(path: Path, claim: str, found: Mapping[str, list[str]]) -> None:
    problems = []
    for problem, names in found.items():
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            problems.append(f"{len(names)} {problem}: {', '.join(names[:_LISTED])}{more}")
    if problems:
        raise UserError(f"{path} {claim}: {'; '.join(problems)}")


def _renamed(name: str) -> str:
    for old, new in _OLD_PREFIXES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _counters(expected: Mapping[str, Tensor]) -> set[str]:
    return {name for name in expected if name.rpartition(".")[2] == _COUNTER}
