"""The contents of a model folder's `manifest.json`, and code that reads it strictly."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sot_tracker.atomic import write_text
from sot_tracker.calibration import Calibration
from sot_tracker.calibration import parse as parse_calibration
from sot_tracker.catalog import ModelSpec, NetworkSpec
from sot_tracker.errors import UserError

MANIFEST, TEMPLATE, SEARCH, WEIGHTS = "manifest.json", "template.onnx", "search.onnx", "weights.safetensors"
FORMAT = 2
DEFAULT_VARIANT = "fp32"
BF16, INT8 = "bf16", "int8"
"""The variants, and their precisions, that `sot-tracker export --precision` adds."""
FEATURES = "features"
"""Name of an additional map of some networks: the backbone's features of the search patch, (B, C, g, g)."""
PRECISIONS = ("fp32", "bf16", "fp16", "int8")
STORAGES = ("int8", "fp16", "fp32")

Shapes = dict[str, list[int]]

_MAX_FILE = 1 << 20
_MAX_COUNT = 1 << 53


@dataclass(frozen=True)
class Variant:
    """One variant of the model: its files and the precision in which to run them.

    files: path in the folder -> sha256 of template.onnx, search.onnx and weights.safetensors. The files of the variant
        "fp32" are in the model folder itself, those of others in a folder with the variant's name. A variant may also
        have the files of "fp32", to be run in another precision (bf16).
    precision: of the arithmetic, one of `PRECISIONS`.
    agreement: with the fp32 variant, name of a measure -> value; empty for fp32 itself.
    """

    files: dict[str, str]
    precision: str = DEFAULT_VARIANT
    agreement: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def overlap(self) -> float:
        """Overlap of the boxes with those of fp32: the smaller one of both measures, 0 if one is missing."""
        return min(self.agreement.get("pairs", 0.0), self.agreement.get("clip", 0.0))

    def path(self, name: str) -> str:
        """The path in the model folder of the file of that name (`TEMPLATE`, `SEARCH` or `WEIGHTS`)."""
        return next(path for path in self.files if PurePosixPath(path).name == name)


@dataclass(frozen=True)
class Manifest:
    """The contents of `manifest.json`.

    network: the fields of `catalog.NetworkSpec` (sizes, factors, normalisation, decoding).
    cached: name -> shape of the outputs of template.onnx, which are inputs of search.onnx.
    maps: name -> shape of the outputs of search.onnx, batch axis included.
    lost_threshold: score below which the target counts as lost, 0..1.
    storage: number format of weights.safetensors, one of `STORAGES` (see `storage.packed`).
    parameters: count. macs: "template", "search" and "uncached" (both as published) -> multiply-accumulates.
    variants: name -> `Variant`; "fp32" is always there.
    exported_from: "weights", the name of the weights file ("random" for a seed), its sha256, versions used.
    calibration: computes a probability from the maps (`sot-tracker calibrate`); None without one.
    """

    model: str
    network: dict[str, Any]
    cached: Shapes
    maps: Shapes
    lost_threshold: float
    storage: str
    parameters: int
    macs: dict[str, int]
    variants: dict[str, Variant]
    exported_from: dict[str, Any]
    calibration: Calibration | None = None

    def write(self, folder: Path) -> None:
        """Raises UserError if it cannot be written."""
        values = dataclasses.asdict(self) | {"calibration": self.calibration.as_json() if self.calibration else None}
        if self.calibration is None:
            del values["calibration"]  # as older versions read it
        text = json.dumps({"format": FORMAT, **values}, indent=2)
        # One line per list of numbers, so that shapes are easy to read.
        short = re.sub(
            r"\[[\s\d.,-]*\]", lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text
        )
        write_text(folder / MANIFEST, short + "\n")


def axis_name(rows: int) -> str:
    """Name of the dynamic first axis of a tensor that has `rows` rows per target."""
    return "batch" if rows == 1 else f"{rows}*batch"


def network_fields(model: ModelSpec) -> dict[str, Any]:
    """The model's `NetworkSpec` as it is read from JSON. Raises UserError if it has none."""
    if model.network is None:
        raise UserError(f"model '{model.name}' has no network and needs no weights")
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(model.network)))
    return fields


def expected_maps(spec: NetworkSpec) -> Shapes:
    """Name -> shape of the maps that a network with that decoding gives, batch axis included."""
    side = spec.search_size // spec.stride
    return {
        "center": {"score": [1, 1, side, side], "size": [1, 2, side, side], "offset": [1, 2, side, side]},
        "corner": {"tl": [1, side, side], "br": [1, side, side]},
        "token": {"logits": [1, side * side, 2], "boxes": [1, side * side, 4]},
    }[spec.maps]


def are_maps(found: Shapes, spec: NetworkSpec) -> bool:
    """Whether these are names and shapes of the maps of a network with that decoding, with or without `FEATURES`."""
    side = spec.search_size // spec.stride
    features = found.get(FEATURES)
    if features is not None and (len(features) != 4 or features[0] != 1 or features[2:] != [side, side]):
        return False
    return {name: shape for name, shape in found.items() if name != FEATURES} == expected_maps(spec)


def read_manifest(folder: Path, model: ModelSpec) -> Manifest:
    """Read and check the manifest of that model's folder. Format 1 is read too.

    Raises UserError if it is damaged, of another model or of a newer format.
    """
    path = folder / MANIFEST
    again = "copy or export the model again"
    try:
        values = _read_json(path)
        if type(values.get("format")) is not int or not 1 <= values["format"] <= FORMAT:
            raise UserError(
                f"{path} is not a manifest of format 1 to {FORMAT}: export the model again with this version"
            )
        manifest = _parse(values)
    except FileNotFoundError:
        raise UserError(
            f"{folder} is not a model folder, it has no {MANIFEST}: make one with `{export_hint(model)}`"
        ) from None
    except RecursionError:
        raise UserError(f"{path} is damaged (nested too deeply): {again}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({_short(str(error))}): {again}") from None
    if manifest.model != model.name:
        name = _short(manifest.model)
        raise UserError(f"{folder} holds the model '{name}', not '{model.name}': give --model {name}")
    if model.network is None or json.dumps(manifest.network) != json.dumps(network_fields(model)):
        raise UserError(f"{path} describes another {model.name} than this version: export the model again")
    if not are_maps(manifest.maps, model.network):
        raise UserError(f"{path} is damaged ('maps' are not those of {model.name}): {again}")
    return manifest


def export_hint(model: ModelSpec) -> str:
    return f"sot-tracker export --model {model.name} --weights FILE.safetensors --out DIR"


def _read_json(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise ValueError(f"longer than {_MAX_FILE >> 20} MiB")
    values = json.loads(data.decode(), parse_constant=_no_number, object_pairs_hook=_unique)
    if not isinstance(values, dict):
        raise ValueError("it is not a table")
    return values


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a field occurs twice")
    return table


def _parse(values: dict[str, Any]) -> Manifest:
    """Raise ValueError naming the first field that is missing, unknown, or not what the code relies on."""
    values = dict(values)
    if values.pop("format") == 1:
        # Format 1 had one variant, whose files were a field of the manifest.
        values["variants"] = {
            DEFAULT_VARIANT: {"files": values.pop("files", None), "precision": "fp32", "agreement": {}}
        }
    calibration = parse_calibration(values.pop("calibration")) if "calibration" in values else None
    _require_fields(values, _FIELDS, "")
    for name, variant in values["variants"].items():
        _require_fields(variant, _VARIANT_FIELDS, f"of variant {name!r} ")
    plain = values["variants"][DEFAULT_VARIANT]["files"]
    for name, variant in values["variants"].items():
        places = {name_ if name == DEFAULT_VARIANT else f"{name}/{name_}" for name_ in (TEMPLATE, SEARCH, WEIGHTS)}
        shares = name != DEFAULT_VARIANT and variant["files"] == plain
        if set(variant["files"]) != places and not shares:
            raise ValueError(f"'files' of variant {name!r} does not list the three files with their sha256")
    variants = {name: Variant(**variant) for name, variant in values.pop("variants").items()}
    return Manifest(**values, variants=variants, calibration=calibration)


def _require_fields(values: Any, fields: dict[str, tuple[Callable[[Any], bool], str]], where: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{where or 'it '}is not a table".strip())
    for name in fields.keys() - values.keys():
        raise ValueError(f"the field {name!r} {where}is missing")
    for name in values.keys() - fields.keys():
        raise ValueError(f"there is no field {name!r} {where}".strip())
    for name, (holds, wanted) in fields.items():
        if not holds(values[name]):
            raise ValueError(f"the field {name!r} {where}is not {wanted}")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_COUNT


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= 1


def _is_shapes(value: Any) -> bool:
    return _is_table(value, lambda shape: isinstance(shape, list) and bool(shape) and all(map(_is_size, shape)))


def _is_size(value: Any) -> bool:
    return _is_count(value) and value > 0


def _is_table(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(holds(item) for item in value.values())


def _is_cached(value: Any) -> bool:
    return _is_shapes(value) and set(value) == {f"cached_{i}" for i in range(len(value))} and bool(value)


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_macs(value: Any) -> bool:
    return _is_table(value, _is_count) and set(value) == {"template", "search", "uncached"}


def _is_variants(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and DEFAULT_VARIANT in value
        and all(re.fullmatch(r"\w[\w-]{0,39}", name) for name in value)
    )


def _is_origin(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("weights"), str) and value["weights"] != ""


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": (lambda value: isinstance(value, str) and value != "", "a name"),
    "network": (lambda value: isinstance(value, dict), "a table"),
    "cached": (_is_cached, "a table of shapes, cached_0 and so on"),
    "maps": (_is_shapes, "a table of shapes"),
    "lost_threshold": (_is_share, "a number in 0..1"),
    "storage": (lambda value: value in STORAGES, f"one of {', '.join(STORAGES)}"),
    "parameters": (_is_size, "a count"),
    "macs": (_is_macs, "a table of counts: template, search and uncached"),
    "variants": (_is_variants, f"a table of names, with {DEFAULT_VARIANT}"),
    "exported_from": (_is_origin, "a table with the name of the weights"),
}

_VARIANT_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "files": (lambda value: _is_table(value, _is_sha256), "a table of sha256"),
    "precision": (lambda value: value in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
    "agreement": (lambda value: _is_table(value, _is_share), "a table of numbers in 0..1"),
}


def _short(text: str) -> str:
    """The text in at most 100 characters, with line breaks escaped."""
    return ascii(text)[1:-1][:100]
