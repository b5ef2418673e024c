"""Truth files, labels and listings of any content: one finite box or none per frame, or one line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sot_tracker.datasets import training
from sot_tracker.datasets.find import find, sequences_in
from sot_tracker.datasets.records import Refused
from sot_tracker.datasets.truth import read_truth, read_values

import trees
from fuzzing import changed, damaged, refused_in_one_line

WORDS = st.one_of(
    st.integers(-5, 300).map(str),
    st.floats().map(str),
    st.sampled_from(["", "NaN", "-inf", "1e999", "m0", "m", "0x1", "1_0", "١", "9" * 400, ",", "\x0c", "\u2028", "#"]),
)
ROWS = st.one_of(
    st.lists(st.integers(0, 90), min_size=4, max_size=4).map(lambda row: ",".join(map(str, row))),
    st.lists(WORDS, max_size=9).map(",".join),
    st.lists(WORDS, max_size=9).map(" ".join),
    st.lists(st.integers(0, 60), min_size=4, max_size=9).map(lambda row: "m" + ",".join(map(str, row))),
)
TEXTS = st.one_of(
    st.lists(ROWS, max_size=6).map(lambda rows: "\n".join(rows).encode()),
    damaged(b"1,2,30,40\n2,3,30,40\n3,4,30,40\n4,5,30,40\n"),
    damaged(b"1 2 30 2 30 40 1 40\nNaN NaN NaN NaN\n1 2 30 2 30 40 1 40\n"),
    damaged(b"m3,4,6,5,0,2,4,2,9\n0,0,0,0\n"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(text=TEXTS)
def test_boxes(text: bytes, place: Path) -> None:
    path = place / "groundtruth.txt"
    path.write_bytes(text)
    with refused_in_one_line():
        truth = read_truth(path)
        assert truth.boxes.ndim == 2
        assert truth.boxes.shape[1] == 4
        there = np.isfinite(truth.boxes).all(axis=1)
        assert np.isnan(truth.boxes[~there]).all(), "a box is whole or absent"
        assert (truth.boxes[there][:, 2:] > 0).all()


@given(text=TEXTS, count=st.integers(0, 8))
def test_labels(text: bytes, count: int, place: Path) -> None:
    path = place / "absence.label"
    path.write_bytes(text)
    with refused_in_one_line():
        values = read_values(path, count, 8)
        assert len(values) == count
        assert set(values.tolist()) <= set(range(9))


@pytest.fixture(scope="module")
def roots(place: Path) -> dict[str, Path]:
    return {name: make(place / name) for name, make in trees.LAYOUTS.items()}


def text_files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.suffix in (".txt", ".label", ".json", ".jsonl"))


@given(data=st.data(), layout=st.sampled_from(sorted(trees.LAYOUTS)))
def test_data_folders(data: Any, layout: str, roots: dict[str, Path]) -> None:
    """One file of a small data set of each layout is damaged."""
    root = roots[layout]
    files = text_files(root)
    if not files:
        return
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    try:
        if file.suffix in (".json", ".jsonl") and data.draw(st.booleans()):
            lines = whole.decode().splitlines()
            at = data.draw(st.integers(0, len(lines) - 1)) if file.suffix == ".jsonl" else 0
            old = lines[at] if file.suffix == ".jsonl" else whole.decode()
            new = json.dumps(data.draw(changed(json.loads(old))))
            lines = [*lines[:at], new, *lines[at + 1 :]] if file.suffix == ".jsonl" else [new]
            file.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
        elif data.draw(st.booleans()):
            file.write_bytes(data.draw(TEXTS))
        else:
            file.write_bytes(data.draw(damaged(whole)))
        read_all(root, file.parent)
    finally:
        file.write_bytes(whole)


def read_all(root: Path, folder: Path) -> None:
    with refused_in_one_line():
        for found in find(root):
            if isinstance(found, Refused):
                with refused_in_one_line():
                    raise found.error
                continue
            count = len(found.frames)
            assert found.truth.shape == (count, 4)
            assert len(found.visible) == len(found.known) == len(found.numbers) == count
            assert len(found.masks) in (0, count)
            for mask in filter(None, found.masks):
                with contextlib.suppress(ValueError):
                    assert mask().ndim == 2
    with refused_in_one_line():
        training.read(root)
    with refused_in_one_line():
        sequences_in(folder)
