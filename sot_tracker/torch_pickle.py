"""Reads files of `torch.save` without running code from them.

A pickle can call any Python function by its name. This reader resolves every name itself: tensors and plain containers
are read, other objects (settings, paths, NumPy arrays, classes of training packages) are replaced by inert stand-ins
and listed, functions of Python and of torch are refused by name. Both formats of torch are read here, the zip archive
(torch 1.6 and newer) and the older stream of pickles, so that no other loader with other rules is needed. Tensors are
only created on request.

Why not `torch.load(weights_only=True)` with `safe_globals`: tried with torch 2.13 on both formats. It runs no code
either. But whatever is allowed, it refuses files with a deque or a defaultdict of lists, and every pickle protocol but
2; and a key made of nested tuples (300 bytes) puts it into an endless loop that Ctrl-C does not end.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
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
_STREAM_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
_MAX_START = 32
"""The magic number, which is the first pickle of a stream, is within this many bytes in any protocol."""

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

_HARMLESS = {
    "_codecs.encode",
    "argparse.Namespace",
    "builtins.bool",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.dict",
    "builtins.float",
    "builtins.frozenset",
    "builtins.int",
    "builtins.list",
    "builtins.object",
    "builtins.range",
    "builtins.set",
    "builtins.slice",
    "builtins.str",
    "builtins.tuple",
    "collections.deque",
    "copyreg._reconstructor",
    "decimal.Decimal",
    "fractions.Fraction",
    "torch.device",
    "torch.torch_version.TorchVersion",
    "types.SimpleNamespace",
    "uuid.UUID",
}
_HARMLESS_MODULES = ("datetime.", "pathlib.", "torch.nn.modules.", "torch.optim.")
"""Modules of Python and torch whose names are allowed, since checkpoints contain them. They become stand-ins too."""

_NESTED = ("net", "state_dict", "model", "model_state_dict", "network", "module", "weights")
"""Entries of published files that contain the weights, in the order in which they are tried."""

_TRAINING = {"step", "net", "ema", "optimizers"}
"""Entries of a `checkpoint.pt` of `sot-tracker train`. Its weights are the average, "ema"."""

_PREFIXES = ("module.", "model.", "net.", "network.")
"""Prefixes of all names, added by wrappers such as DataParallel."""

_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Names of modules in pickles of protocol 2, which torch writes -> present names."""

_BUFFERS = {code[0] for code in (pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)}

# Exceptions that unpickling damaged or hostile bytes raises.
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


# These are tuples because a pickle could set the attributes of other objects.


class _Storage(NamedTuple):
    """A typed array of numbers in the file."""

    key: str
    dtype: torch.dtype
    numel: int


class LazyTensor(NamedTuple):
    """A strided view of a storage that has not been read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TorchFile:
    """The content of a file, with `LazyTensor`s that `tensor` converts to tensors.

    stand_ins: names of the objects whose content was not read.
    """

    path: Path
    content: Any
    stand_ins: tuple[str, ...]
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
    """Read a file of `torch.save`.

    Raises UserError if the file is missing, empty, truncated, of another kind, or contains a name that is not allowed.
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
        if data.startswith(pickle.PROTO) and _STREAM_MAGIC in data[:_MAX_START]:
            return _read_stream(path, data)
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    raise UserError(f"{path} is not a PyTorch checkpoint: give a file that torch.save wrote (.pth, .pt, .pth.tar)")


def _damaged(path: Path, error: BaseException) -> UserError:
    reason = "".join(c if c.isprintable() else " " for c in str(error))[:80] or type(error).__name__
    return UserError(f"{path} is truncated or damaged ({reason}): download or copy it again")


def _read_zip(path: Path, data: bytes) -> TorchFile:
    """An archive with one folder: `data.pkl`, and `data/<key>` for every storage."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or pickles[0].replace("data.pkl", "constants.pkl") in archive.namelist():
        raise UserError(
            f"{path} is not a PyTorch checkpoint but another archive (TorchScript?): give what torch.save wrote"
        )
    folder = pickles[0].removesuffix("data.pkl")

    def entry(name: str) -> bytes:
        info = archive.getinfo(folder + name)
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed, which torch never does")
        return archive.read(info)

    if folder + "byteorder" in archive.namelist() and entry("byteorder") != b"little":
        raise UserError(f"{path} was saved on a big-endian machine: save it again on a little-endian one")
    content, unpickler = _load(io.BytesIO(entry("data.pkl")), path)
    return TorchFile(path, content, tuple(sorted(unpickler.stand_ins)), lambda storage: entry(f"data/{storage.key}"))


def _read_stream(path: Path, data: bytes) -> TorchFile:
    """Read five pickles (magic, protocol, system, content, order of keys), then a count and the numbers per storage."""
    file = io.BytesIO(data)
    (_, _), (protocol, _), (system, _) = (_load(file, path) for _ in range(3))
    if protocol != 1001 or not isinstance(system, dict) or not system.get("little_endian", True):
        raise ValueError("unknown protocol or byte order")
    content, unpickler = _load(file, path)
    storages = unpickler.storages
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
    return TorchFile(
        path, content, tuple(sorted(unpickler.stand_ins)), lambda storage: data[slice(*spans[storage.key])]
    )


def _load(file: io.BytesIO, path: Path) -> tuple[Any, _Unpickler]:
    """The next pickle of the file, and its reader, which knows the storages and the stand-ins it met."""
    unpickler = _Unpickler(file, path)
    return unpickler.load(), unpickler


_PythonUnpickler: Any = pickle._Unpickler  # its steps are not in the type stubs


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    """Builds nothing but containers, `LazyTensor`s and stand-ins.

    The machine in Python, since its steps can be replaced. The one in C hashes whatever a pickle makes a key: a few
    bytes of nested tuples then take forever or overflow its stack, and the index of a memo asks for any memory.
    """

    # Buffers lie outside of the file; torch writes none.
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code: step for code, step in _PythonUnpickler.dispatch.items() if code not in _BUFFERS
    }

    def __init__(self, file: io.BytesIO, path: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self.path, self.size = path, file.getbuffer().nbytes
        self.storages: dict[str, _Storage] = {}
        self.stand_ins: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """Every call makes new functions and classes: a pickle can set attributes of what it is given."""
        module = _PYTHON_2.get(module, module)
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
        if (module, name) in (("collections", "defaultdict"), ("collections", "Counter")):
            return lambda *_: {}
        full = f"{module}.{name}"
        if _is_harmless(module, full):
            self.stand_ins.add(ascii(full)[1:-1][:80])
            return _stand_in(name)
        asked = ascii(full[:80])
        raise UserError(
            f"{self.path} asks for {asked}, which a file of tensors does not need: refused, nothing was run"
        )

    def persistent_load(self, pid: Any) -> Any:
        if pid[:1] == ("module",) and isinstance(pid[1], type) and issubclass(pid[1], _StandIn):
            return pid[1]  # a stream names a network's class, and its source code, this way
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

    def load_bytearray8(self) -> None:
        """NumPy arrays of protocol 5. The original makes room for any length that is claimed."""
        (length,) = struct.unpack("<Q", self.read(8))
        if length > self.size:
            raise EOFError("numbers are missing")
        self.append(bytearray(self.read(length)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


def _plain_key(key: Any) -> Any:
    """Raise ValueError unless hashing the key is quick and harmless."""
    parts = key if type(key) is tuple else (key,)
    if not all(isinstance(part, (str, bytes, int, float, NoneType, _StandIn)) for part in parts):
        raise ValueError("a key of a dictionary is not a plain value")
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


def _is_harmless(module: str, full: str) -> bool:
    """Whether a stand-in may take the place: any class of another package, and what `_HARMLESS` names. Functions of
    Python and torch have no business in a checkpoint: a file that asks for them is refused rather than half read.
    """
    package = module.partition(".")[0]
    if full in _HARMLESS or full.startswith(_HARMLESS_MODULES):
        return True
    if package == "torch":
        return full.count(".") == 1 and isinstance(getattr(torch, full.partition(".")[2], None), torch.dtype)
    return package.isidentifier() and package not in sys.stdlib_module_names


class _StandIn:
    """What all stand-ins have in common; found by identity in dictionaries, whatever a pickle does to them."""


def _stand_in(name: str) -> type:
    """A class that accepts everything a pickle does to an object, and forgets it."""

    def forget(self: Any, *args: Any, **kwargs: Any) -> None:
        return None

    def new(cls: type, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    methods = dict.fromkeys(("__init__", "__setstate__", "__setitem__", "append", "extend", "add"), forget)
    return type(name.rpartition(".")[2] or "StandIn", (_StandIn,), {**methods, "__new__": new})


def find_weights(file: TorchFile) -> dict[str, LazyTensor]:
    """The state dict: the file itself, or what it holds under one of `_NESTED`, without the prefixes that wrappers put
    before every name; of a training of this package, the averaged weights. Raises UserError if there is none.
    """
    found, _ = _locate(file)
    for name, value in found.items():
        if not (isinstance(name, str) and name.isprintable() and isinstance(value, LazyTensor)):
            raise UserError(f"{file.path} holds no state dict: its entry {ascii(name)[:80]} is not a tensor")
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in found)), None):
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def skipped(file: TorchFile) -> list[str]:
    """What `find_weights` leaves: names of the entries beside the weights, then of the objects that were not read."""
    _, entries = _locate(file)
    return [ascii(name)[:80].strip("'") for name in entries] + list(file.stand_ins)


def _locate(file: TorchFile) -> tuple[dict[Any, Any], list[Any]]:
    """The innermost table under the names of `_NESTED`, and the keys passed by on the way."""
    table, passed = _entries(file.content), []
    names = ("ema",) if table.keys() >= _TRAINING else _NESTED
    while nested := next((key for key in names if _entries(table.get(key))), None):
        passed += [key for key in table if key != nested]
        table = _entries(table[nested])
    if not table:
        raise UserError(f"{file.path} holds no weights: expected a state dict, alone or under {', '.join(_NESTED[:3])}")
    return table, passed


def _entries(value: Any) -> dict[Any, Any]:
    """A plain copy of a dictionary: an OrderedDict's own methods may have been replaced by its pickle."""
    return dict(dict.items(value)) if isinstance(value, dict) else {}
