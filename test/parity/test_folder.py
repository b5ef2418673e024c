"""The folder under test holds what it should: nothing that no test reads, and something to check."""

from pathlib import Path

import cases
import pytest


def test_folder_holds_seeded_cases(parity_dir: Path) -> None:
    assert parity_dir.is_dir(), f"{parity_dir} is not a folder"
    assert [case for case in cases.find(parity_dir) if case.seed >= 0], f"{parity_dir} holds no <model>/*.seed*.npz"


def test_every_file_is_read_by_a_test(parity_dir: Path) -> None:
    assert cases.unread(parity_dir) == []


@pytest.mark.parametrize("kind", ["output", "track"])
@pytest.mark.parametrize("model", cases.NETWORKS)
def test_own_data_has_both_seeds(model: str, kind: str) -> None:
    seeds = {case.seed for case in cases.find(cases.DATA) if (case.model, case.kind) == (model, kind)}
    assert seeds == {0, 1}


def test_unknown_names_are_reported(tmp_path: Path) -> None:
    (tmp_path / "mvt").mkdir()
    for name in ("mvt.seed7.npz", "mtv.seed7.npz", "track.seed7.npz", "mvt_cases.npz"):
        (tmp_path / "mvt" / name).touch()
    assert cases.unread(tmp_path) == ["mvt/mtv.seed7.npz"]
    assert [(case.kind, case.seed) for case in cases.find(tmp_path)] == [("output", 7), ("cases", -1), ("track", 7)]
