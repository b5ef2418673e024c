"""Weights files of any content: tensors, or one line; nothing in them runs."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from sot_tracker.checkpoints import read_safetensors  # noqa: E402
from sot_tracker.torch_pickle import find_weights, read_torch_file, skipped  # noqa: E402
from sot_tracker.train import state  # noqa: E402

from fuzzing import JSON, damaged, refused_in_one_line  # noqa: E402

CONTENT = {"net": {"a.w": torch.arange(3.0), "a.b": torch.ones(2, 2).half()}, "epoch": 3, "args": [1, "x", None]}
LIMIT = 1 << 20


def saved(content: Any, stream: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not stream)
    return file.getvalue()


FILES = {kind: saved(CONTENT, kind == "stream") for kind in ("zip", "stream")}
OPCODES = sorted({value for name in pickle.__all__ if isinstance(value := getattr(pickle, name), bytes)})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "x.pth"


def read(path: Path) -> None:
    with refused_in_one_line():
        file = read_torch_file(path)
        tensors = {name: file.tensor(lazy) for name, lazy in find_weights(file).items()}
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
        assert sum(tensor.numel() for tensor in tensors.values()) < LIMIT, "no more than the file can hold"
        assert all(name.isprintable() for name in skipped(file))


@given(data=st.sampled_from(sorted(FILES)).flatmap(lambda kind: damaged(FILES[kind])))
def test_published_files(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    read(path)


@given(words=st.lists(st.one_of(st.sampled_from(OPCODES), st.binary(max_size=6)), max_size=30))
def test_any_pickle(words: list[bytes], path: Path) -> None:
    """In place of the content of a file in the older form."""
    whole = FILES["stream"]
    start = io.BytesIO(whole)
    for _ in range(3):
        pickle.load(start)
    path.write_bytes(whole[: start.tell()] + b"\x80\x02" + b"".join(words) + b".")
    read(path)


@given(content=st.one_of(JSON, st.dictionaries(st.sampled_from(["net", "model", "state_dict", "w"]), JSON)))
def test_other_values(content: Any, path: Path) -> None:
    path.write_bytes(saved(content, stream=False))
    read(path)


@given(data=damaged(safetensors_torch.save(CONTENT["net"], {"model": "toy"})))
def test_safetensors(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    with refused_in_one_line():
        _, tensors = read_safetensors(path)
        assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


@given(data=st.one_of(damaged(FILES["zip"]), JSON.map(lambda value: saved(value, False))))
def test_checkpoints_of_a_training(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    with refused_in_one_line():
        assert isinstance(state.load(path), dict)
