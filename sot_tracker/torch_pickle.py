"""Reading files that `torch.save` wrote, without running anything that is in them.

A pickle may name any function of the machine and call it. This reader resolves every name itself: tensors and plain
containers are admitted, classes of the trackers' training packages become inert stand-ins, anything else is refused
by name. Both formats of torch are read here, the zip archive (torch 1.6 and newer) and the stream of pickles before
it, so that no other loader, with other rules, sees the file. Tensors are made only where they are asked for.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from sot_tracker.errors import UserError

_ZIP_MAGIC = b"PK\x03\x04"
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_START = pickle.dumps(_STREAM_MAGIC, protocol=2)

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

_TRAINING_PACKAGES = ("lib.train.", "ltr.", "dlframework.")
"""Where `settings`, `stats` and `constructor` of the published files come from (fact sheets, "Checkpoint")."""

_NUMPY_SCALARS = {
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "dtype"),
}
"""Logged figures may be NumPy numbers; none of them is a weight, so a stand-in does."""

_BUFFERS = {code[0] for code in (pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)}

# What a pickle machine fed with damaged or hostile bytes raises, besides its own error.
_DAMAGE = (
    pickle.PickleError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


# Tuples: a pickle can set the attributes of the objects it is given, and tuples have none.


class _Storage(NamedTuple):
    """A typed run of numbers somewhere in the file."""

    key: str
    dtype: torch.dtype
    numel: int


class LazyTensor(NamedTuple):
    """A strided view of a storage, not read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TorchFile:
    """The object a file holds, with `LazyTensor`s in it, and the way to make tensors of them."""

    path: Path
    content: Any
    _bytes_of: Callable[[_Storage], bytes]

    def tensor(self, lazy: LazyTensor) -> Tensor:
        """Read one tensor, contiguous. Raises UserError if its numbers are missing from the file."""
        try:
            if not all(type(n) is int and n >= 0 for n in (lazy.offset, *lazy.shape, *lazy.stride)):
                raise ValueError("negative sizes")
            if 0 in lazy.shape:
                return torch.empty(lazy.shape, dtype=lazy.storage.dtype)
            last = lazy.offset + sum((n - 1) * s for n, s in zip(lazy.shape, lazy.stride, strict=True))
            data = self._bytes_of(lazy.storage)
            if last >= lazy.storage.numel or len(data) != lazy.storage.numel * lazy.storage.dtype.itemsize:
                raise ValueError("numbers are missing")
            flat = torch.frombuffer(bytearray(data), dtype=lazy.storage.dtype)
            return flat.as_strided(lazy.shape, lazy.stride, lazy.offset).contiguous()
        except _DAMAGE as error:
            raise _damaged(self.path, error) from None


def read_torch_file(path: Path) -> TorchFile:
    """Read what `torch.save` wrote.

    Raises UserError if the file is missing, empty, truncated, of another kind, or names anything that a file of
    tensors does not need.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if not data:
        raise UserError(f"{path} is empty: download or copy it again")
    try:
        if data.startswith(_ZIP_MAGIC):
            return _read_zip(path, data)
        if data.startswith(_STREAM_START):
            return _read_stream(path, data)
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    raise UserError(f"{path} is no PyTorch checkpoint: give a file that torch.save wrote (.pth, .pt, .pth.tar)")


def _damaged(path: Path, error: BaseException) -> UserError:
    reason = "".join(c if c.isprintable() else " " for c in str(error))[:80] or type(error).__name__
    return UserError(f"{path} is truncated or damaged ({reason}): download or copy it again")


def _read_zip(path: Path, data: bytes) -> TorchFile:
    """An archive with one folder: `data.pkl`, and `data/<key>` for every storage."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].replace("data.pkl", "constants.pkl") in archive.namelist():
        raise UserError(
            f"{path} is no PyTorch checkpoint but another archive (TorchScript?): give what torch.save wrote"
        )
    folder = pickles[0].removesuffix("data.pkl")

    def entry(name: str) -> bytes:
        info = archive.getinfo(folder + name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed, which torch never does")
        return archive.read(info)

    if folder + "byteorder" in archive.namelist() and entry("byteorder") != b"little":
        raise UserError(f"{path} was saved on a big-endian machine: save it again on a little-endian one")
    content, _ = _load(io.BytesIO(entry("data.pkl")), path)
    return TorchFile(path, content, lambda storage: entry(f"data/{storage.key}"))


def _read_stream(path: Path, data: bytes) -> TorchFile:
    """Five pickles (magic, protocol, system, content, order of keys), then per storage a count and its numbers."""
    file = io.BytesIO(data)
    (_, _), (protocol, _), (system, _) = (_load(file, path) for _ in range(3))
    if protocol != 1001 or not isinstance(system, dict) or not system.get("little_endian", True):
        raise ValueError("unknown protocol or byte order")
    content, storages = _load(file, path)
    keys, _ = _load(file, path)
    spans: dict[str, tuple[int, int]] = {}
    for key in keys:
        if not isinstance(key, str):
            raise ValueError("a storage has no name")
        (count,) = struct.unpack("<q", file.read(8))
        size = count * storages[key].dtype.itemsize
        spans[key] = (file.tell(), file.tell() + size)
        if count < 0 or spans[key][1] > len(data):
            raise EOFError("numbers are missing")
        file.seek(size, io.SEEK_CUR)
    return TorchFile(path, content, lambda storage: data[slice(*spans[storage.key])])


def _load(file: io.BytesIO, path: Path) -> tuple[Any, dict[str, _Storage]]:
    """The next pickle of the file, and the storages it refers to by key."""
    unpickler = _Unpickler(file, path)
    return unpickler.load(), unpickler.storages


_PythonUnpickler: Any = pickle._Unpickler  # its steps are not in the type stubs


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    """Builds nothing but containers, `LazyTensor`s and stand-ins.

    The machine in Python, since its steps can be replaced. The one in C hashes whatever a pickle makes a key: a few
    bytes of nested tuples then take forever or overflow its stack, and the index of a memo asks for any memory.
    """

    # Buffers ask for their length before it is known to be there; torch writes none.
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code: step for code, step in _PythonUnpickler.dispatch.items() if code not in _BUFFERS
    }

    def __init__(self, file: io.BytesIO, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self.path = path
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Every call makes new functions and classes: a pickle can set attributes of what it is given."""
        module = "builtins" if module == "__builtin__" else module  # as torch's pickles, of protocol 2, call it
        if module == "torch" and name in _DTYPES:
            return _Dtype(_DTYPES[name])
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return lambda *parts: _lazy_tensor(*parts)
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        if (module, name) == ("torch", "Size"):
            return lambda sizes=(): tuple(sizes)
        if (module, name) == ("collections", "OrderedDict"):
            return lambda items=(): OrderedDict((_plain_key(key), value) for key, value in items)
        if (
            (module, name) in (("builtins", "set"), ("builtins", "frozenset"))
            or module.startswith(_TRAINING_PACKAGES)
            or (module, name) in _NUMPY_SCALARS
        ):
            return _stand_in(name)
        asked = ascii(f"{module}.{name}"[:80])
        raise UserError(
            f"{self.path} asks for {asked}, which a file of tensors does not need: refused, nothing was run"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count = pid[:5]
        known = kind == "storage" and isinstance(dtype, _Dtype) and isinstance(key, str) and type(count) is int
        if not known or any(view is not None for view in pid[5:]):
            raise ValueError("unknown reference")
        return self.storages.setdefault(key, _Storage(key, dtype.value, count))

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][_plain_key(key)] = value

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][_plain_key(key)] = value

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({_plain_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    dispatch[pickle.DICT[0]] = load_dict

    def load_additems(self) -> None:
        """Sets hold no weights: they stay empty."""
        self.pop_mark()

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.append(frozenset())

    dispatch[pickle.FROZENSET[0]] = load_frozenset


def _plain_key(key: Any) -> Any:
    """Raise ValueError unless hashing the key is quick and harmless."""
    parts = key if type(key) is tuple else (key,)
    if not all(isinstance(part, (str, bytes, int, float, NoneType)) for part in parts):
        raise ValueError("a key of a dictionary is no plain value")
    return key


def _lazy_tensor(storage: _Storage, offset: int, shape: Any, stride: Any, *_: Any) -> LazyTensor:
    """Sizes are integers before anything compares or prints them."""
    sizes = (tuple(shape), tuple(stride))
    if not isinstance(storage, _Storage) or not all(type(n) is int for n in (offset, *sizes[0], *sizes[1])):
        raise ValueError("a tensor is not described by whole numbers")
    return LazyTensor(storage, offset, *sizes)


class _Dtype(NamedTuple):
    """What the name of a storage class stands for."""

    value: torch.dtype


def _stand_in(name: str) -> type:
    """A class that accepts everything a pickle does to an object, and forgets it."""

    def forget(self: Any, *args: Any, **kwargs: Any) -> None:
        return None

    def new(cls: type, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    methods = dict.fromkeys(("__init__", "__setstate__", "__setitem__", "append", "extend", "add"), forget)
    return type(name.rpartition(".")[2] or "StandIn", (), {**methods, "__new__": new})


def find_weights(file: TorchFile) -> dict[str, LazyTensor]:
    """The state dict: under `net` as the published files have it, or the file itself (fact sheets, "Checkpoint").

    Raises UserError if there is none.
    """
    content = _entries(file.content)
    net = _entries(content.get("net")) or content
    if not net:
        raise UserError(f"{file.path} holds no weights: expected a state dict, alone or under 'net'")
    for name, value in net.items():
        if not (isinstance(name, str) and name.isprintable() and isinstance(value, LazyTensor)):
            raise UserError(f"{file.path} holds no state dict: its entry {ascii(name)[:80]} is no tensor")
    return net


def _entries(value: Any) -> dict[Any, Any]:
    """A plain copy of a dictionary: an OrderedDict's own methods may have been replaced by its pickle."""
    return dict(dict.items(value)) if isinstance(value, dict) else {}
