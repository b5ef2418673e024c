"""What lies where in a safetensors file, and whether its numbers are finite. Needs NumPy only.

The format: 8 bytes with the length of the header, a JSON header, the numbers.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sot_tracker.errors import UserError

SCALE_SUFFIX = "_scale"
"""A tensor `<name>` stored in int8 has a neighbour `<name>_scale`, float32, one number per first index: multiplied,
they give the weights."""

_ITEM_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_MAX_HEADER = 16 << 20

# An exponent of ones only is infinity or not a number. Comparing bits is faster than NumPy's isfinite on halves.
_EXPONENTS = {"F64": ("<u8", 0x7FF << 52), "F32": ("<u4", 0xFF << 23), "F16": ("<u2", 0x1F << 10)}
_EXPONENTS["BF16"] = ("<u2", 0xFF << 7)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where one tensor lies in the file. dtype: the format's name, such as "F16". offset, length: bytes."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a safetensors file. metadata: free text by key. tensors: by name."""

    metadata: dict[str, str]
    tensors: dict[str, Stretch]


def read_header(path: Path, data: bytes) -> Header:
    """The header of a file with that content. Raises UserError, naming `path`, if it is damaged."""
    try:
        return _header(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        reason = ascii(str(error))[1:-1][:100]
        raise UserError(f"{path} is not a readable safetensors file ({reason}): copy or make it again") from None


def require_finite(path: Path, data: bytes) -> None:
    """Raise UserError naming the first tensor of that file with a number that is infinite or not a number."""
    for name, stretch in read_header(path, data).tensors.items():
        if stretch.dtype not in _EXPONENTS:
            continue
        kind, exponent = _EXPONENTS[stretch.dtype]
        numbers = np.frombuffer(data, kind, stretch.length // np.dtype(kind).itemsize, stretch.offset)
        if np.any((numbers & exponent) == exponent):
            raise UserError(f"{path} holds numbers that are not finite, in {ascii(name)[:100]}: copy or make it again")


def _header(data: bytes) -> Header:
    (length,) = struct.unpack_from("<Q", data)
    if length > min(_MAX_HEADER, len(data) - 8):
        raise ValueError("the header is longer than the file")
    entries: dict[str, Any] = json.loads(data[8 : 8 + length])
    metadata = entries.pop("__metadata__", None) or {}
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("the metadata is not text")
    return Header(metadata, {name: _stretch(name, entry, 8 + length, len(data)) for name, entry in entries.items()})


def _stretch(name: str, entry: dict[str, Any], start: int, end: int) -> Stretch:
    shape = tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, first, last)):
        raise ValueError(f"{name!r} is not described by whole numbers")
    if last - first != math.prod(shape) * _ITEM_SIZES[entry["dtype"]] or start + last > end:
        raise ValueError(f"{name!r} has another size than its shape says, or lies outside of the file")
    return Stretch(entry["dtype"], shape, start + first, last - first)
