"""Files of `torch.save`, damaged, foreign and hostile: one clear line each, and nothing in them runs."""

import argparse
import collections
import datetime
import io
import os
import pathlib
import pickle
import types
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from torch import Tensor

from sot_tracker.errors import UserError
from sot_tracker.torch_pickle import find_weights, read_torch_file, skipped

FORMATS = {"zip": True, "stream": False}


def save(path: Path, content: object, kind: str = "zip") -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=FORMATS[kind])
    return path


def read(path: Path) -> dict[str, Tensor]:
    file = read_torch_file(path)
    return {name: file.tensor(lazy) for name, lazy in find_weights(file).items()}


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert message.isprintable()
    assert str(path) in message
    return message


# ---- files that are no checkpoints


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.5, 0.95, 0.9999])
def test_truncated_files(tmp_path: Path, kind: str, share: float) -> None:
    path = save(tmp_path / "x.pth", {"net": {str(i): torch.ones(1000) for i in range(100)}}, kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "truncated or damaged" in refused(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_never_end_in_a_traceback(tmp_path: Path, kind: str) -> None:
    """Bytes of a small file changed in turn: it is read or refused in one line."""
    path = save(tmp_path / "x.pth", {"net": {"w": torch.arange(3.0)}}, kind)
    data = path.read_bytes()
    ends = set()
    for i in range(0, len(data), 1 if kind == "stream" else 3):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x41]) + data[i + 1 :])
        try:
            read(path)
            ends.add("read")
        except UserError as error:
            ends.add("refused" if str(error).isprintable() else "refused in many lines")
    assert ends == {"read", "refused"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not a checkpoint at all\n", "not a PyTorch checkpoint"),
        (pickle.dumps({"net": {}}), "not a PyTorch checkpoint"),
        (b"PK\x03\x04" + b"\0" * 64, "truncated or damaged"),
    ],
    ids=["empty", "text", "plain pickle", "bad zip"],
)
def test_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    assert message in refused(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "cannot read" in refused(tmp_path / "nothing.pth")
    assert "cannot read" in refused(tmp_path)


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
def test_other_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "another archive" in refused(path)
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    assert "TorchScript" in refused(path)


@pytest.mark.parametrize("content", [[1, 2], {"net": {"a": 3}}, {"net": {}}, {}, {"net": [torch.ones(1)]}])
def test_files_without_weights(tmp_path: Path, content: object) -> None:
    assert "holds no" in refused(save(tmp_path / "x.pth", content))


# ---- other layouts

WEIGHTS = {"backbone.w": torch.arange(4.0), "head.b": torch.ones(2)}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "nest",
    [
        lambda w: {"state_dict": w, "epoch": 3},
        lambda w: {"model": w, "optimizer": {"state": {}}},
        lambda w: {"epoch": 1, "model": {"state_dict": w, "kind": "x"}},
        lambda w: {"net": w, "state_dict": {"other": torch.ones(1)}},
        lambda w: collections.defaultdict(dict, model=collections.OrderedDict(w)),
        lambda w: {f"module.{name}": value for name, value in w.items()},
        lambda w: {"state_dict": {f"model.module.{name}": value for name, value in w.items()}},
        lambda w: {"weights": {name: torch.nn.Parameter(value) for name, value in w.items()}},
        lambda w: {"step": 3, "net": {"other": torch.ones(1)}, "ema": w, "optimizers": {"state": {}}},  # a training
    ],
)
def test_weights_are_found_where_published_files_keep_them(
    tmp_path: Path, kind: str, nest: Callable[[dict[str, Tensor]], object]
) -> None:
    found = read(save(tmp_path / "x.pth", nest(WEIGHTS), kind))
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())


class Setting:
    """A class of the file's own program."""

    size = 3


VALUES = {
    "array": (np.arange(6.0).reshape(2, 3), "numpy.dtype"),
    "scalar": (np.float64(0.5), "numpy"),
    "number type": (np.dtype("f4"), "numpy.dtype"),
    "namespace": (argparse.Namespace(rate=1e-3, data="/data"), "argparse.Namespace"),
    "simple namespace": (types.SimpleNamespace(a=1), "types.SimpleNamespace"),
    "default dictionary": (collections.defaultdict(list, a=[1, 2]), None),
    "counter": (collections.Counter("aab"), None),
    "deque": (collections.deque([1, 2], 5), "collections.deque"),
    "device": (torch.device("cpu"), "torch.device"),
    "devices as keys": ({torch.device("cpu"): 1}, "torch.device"),
    "dtype": (torch.float16, "torch.float16"),
    "path": (pathlib.PurePosixPath("/data/lasot"), "pathlib"),
    "path as key": ({pathlib.PurePosixPath("/a"): [1]}, "pathlib"),
    "date": (datetime.datetime(2024, 1, 2, 3), "datetime.datetime"),
    "set": ({1, 2}, None),
    "bytes": (b"abc", None),
    "own class": (Setting(), "test_torch_pickle.Setting"),
    "module": (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    "size": (torch.Size([1, 2]), None),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", VALUES)
def test_values_of_other_kinds_are_skipped_and_listed(tmp_path: Path, name: str, kind: str, protocol: int) -> None:
    value, listed = VALUES[name]
    path = tmp_path / "x.pth"
    content = {"net": WEIGHTS, "extra": value, "epoch": 3}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=FORMATS[kind])
    assert read(path).keys() == WEIGHTS.keys()
    left_out = skipped(read_torch_file(path))
    assert left_out[:2] == ["extra", "epoch"]
    assert listed is None or any(listed in entry for entry in left_out[2:]), left_out


# ---- hostile files


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def hostile_zip(path: Path, data: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x/data.pkl", data)
        archive.writestr("x/data/0", b"\0" * 16)
    return path


HOSTILE = {
    "os.system": lambda mark: Call(os.system, f"touch {mark}"),
    "builtins.eval": lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"),
    "builtins.exec": lambda mark: Call(exec, f"open({str(mark)!r}, 'w')"),
    "builtins.getattr": lambda mark: Call(getattr, "", "upper"),
    "io.open": lambda mark: Call(io.open, str(mark), "w"),
    "torch.serialization.load": lambda mark: Call(torch.load, str(mark)),
    "builtins.__import__": lambda mark: Call(__import__, "antigravity"),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("asked", HOSTILE)
@pytest.mark.parametrize("place", ["net", "settings"])
def test_functions_are_refused_by_name(tmp_path: Path, kind: str, asked: str, place: str) -> None:
    mark = tmp_path / "mark"
    name = asked if asked != "os.system" else f"{os.system.__module__}.system"
    path = save(tmp_path / "x.pth", {"net": {"w": torch.ones(1)}, place: HOSTILE[asked](mark)}, kind)
    message = refused(path)
    assert f"'{name}'" in message
    assert "refused" in message
    assert not mark.exists()


PICKLES = {
    "dotted name under an admitted module": b"\x80\x04\x8c\x0ctorch._utils\x8c\x19_rebuild_tensor.__globals__\x93.",
    "name with line breaks": b"\x80\x04\x8c\x02o\ns\x8c\x06sys\x1btem\x93.",
    "attributes of an admitted class": b"\x80\x02ccollections\nOrderedDict\n}X\x03\0\0\0getq\0K\x01sb.",
    "attributes of an admitted function": b"\x80\x02ctorch._utils\n_rebuild_tensor\n}X\x08\0\0\0__code__q\0K\x01sb.",
    "unknown kind of reference": b"\x80\x02X\x06\0\0\0modulecos\nsystem\n\x86Q.",
    "reference of no tuple": b"\x80\x02K\x01Q.",
    "stack underflow": b"\x80\x02R.",
    "no end": b"\x80\x02}",
}


@pytest.mark.parametrize("what", PICKLES)
def test_hand_made_pickles(tmp_path: Path, what: str) -> None:
    refused(hostile_zip(tmp_path / "x.pth", PICKLES[what]))


_DOUBLED = b")" + b"2\x86" * 60  # tuples in tuples: 2^60 leaves in 120 bytes
_DEEP = b")" + b"\x85" * 200_000
_TENSOR = (
    b"ctorch._utils\n_rebuild_tensor\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQK\0"
)


@pytest.mark.parametrize("nested", [_DOUBLED, _DEEP], ids=["doubled", "deep"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"}", b"K\x01s."),
        (b"}(", b"K\x01u."),
        (b"(", b"K\x01d."),
        (b"(X\x07\0\0\0storagectorch\nFloatStorage\n", b"X\x03\0\0\0cpuK\x01tQ."),
        (b"ccollections\nOrderedDict\n", b"K\x01\x86\x85\x85R."),
        (b"}X\x01\0\0\0w" + _TENSOR, b"\x85)tRs."),
    ],
    ids=["key", "keys", "dict", "storage", "ordered", "shape"],
)
def test_nested_tuples_are_neither_hashed_nor_printed(
    tmp_path: Path, nested: bytes, before: bytes, after: bytes
) -> None:
    """Either would take forever, all memory or the stack."""
    assert "truncated or damaged" in refused(hostile_zip(tmp_path / "x.pth", b"\x80\x02" + before + nested + after))


@pytest.mark.parametrize("admitted", [b"cbuiltins\nset\n", b"cbuiltins\nfrozenset\n", b"\x8f("])
def test_members_of_sets_are_forgotten(tmp_path: Path, admitted: bytes) -> None:
    end = b"\x90." if admitted.endswith(b"(") else b"\x85\x85R."
    assert "holds no weights" in refused(hostile_zip(tmp_path / "x.pth", b"\x80\x04" + admitted + _DOUBLED + end))


@pytest.mark.parametrize("data", [b"\x80\x02Nr\xff\xff\xff\x7f0}.", b"\x80\x05\x96" + b"\0" * 6 + b"\x01\0a."])
def test_memory_is_not_asked_for_by_a_few_bytes(tmp_path: Path, data: bytes) -> None:
    """Index of a memo (16 GB in C's machine), length of a buffer (2^48)."""
    refused(hostile_zip(tmp_path / "x.pth", data))


def test_methods_of_a_dictionary_cannot_be_replaced(tmp_path: Path) -> None:
    """An OrderedDict may carry attributes (torch stores `_metadata` so), which must not shadow its methods."""
    data = b"\x80\x02ccollections\nOrderedDict\n)R}(X\x03\0\0\0getclib.train.x\nY\nX\x05\0\0\0itemsclib.train.x\nY\nub."
    assert "holds no weights" in refused(hostile_zip(tmp_path / "x.pth", data))


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    """torch never compresses; a small compressed entry could fill the memory."""
    path = hostile_zip(tmp_path / "x.pth", pickle.dumps({}, protocol=2), zipfile.ZIP_DEFLATED)
    assert "is compressed, which torch never does" in refused(path)


@pytest.mark.parametrize(("offset", "stride", "numel"), [(1000, 1, 4), (0, 1000, 4), (-1, 1, 4), (0, 1, 1 << 40)])
def test_tensors_outside_their_storage(tmp_path: Path, offset: int, stride: int, numel: int) -> None:
    storage = Reference(("storage", torch.FloatStorage, "0", "cpu", numel))
    tensor = Call(torch._utils._rebuild_tensor_v2, storage, offset, (2,), (stride,), False, None)
    buffer = io.BytesIO()
    ReferencePickler(buffer, protocol=2).dump({"net": {"w": tensor}})
    assert "truncated or damaged" in refused(hostile_zip(tmp_path / "x.pth", buffer.getvalue()))


def test_hand_made_tensors_are_read(tmp_path: Path) -> None:
    """The cases above fail for their numbers alone."""
    storage = Reference(("storage", torch.FloatStorage, "0", "cpu", 4))
    tensor = Call(torch._utils._rebuild_tensor_v2, storage, 1, (2,), (1,), False, None)
    buffer = io.BytesIO()
    ReferencePickler(buffer, protocol=2).dump({"net": {"w": tensor}})
    assert torch.equal(read(hostile_zip(tmp_path / "x.pth", buffer.getvalue()))["w"], torch.zeros(2))


class Reference:
    """Pickles as a persistent id."""

    def __init__(self, pid: object) -> None:
        self.pid = pid


class ReferencePickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        return value.pid if isinstance(value, Reference) else None
