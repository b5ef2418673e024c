"""Two builds in alternation: order, ratios, and what a build that fails says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sot_tracker
from sot_tracker import cli
from sot_tracker.commands.bench_against import best_against_best, compare, measure_checkout, require_checkout
from sot_tracker.errors import UserError

HERE, THERE = Path("here"), Path("there")
ROOT = Path(sot_tracker.__file__).resolve().parents[1]
JOBS = [{"model": "a", "engine": "onnx", "threads": 1}, {"model": "a", "engine": "openvino", "threads": 1}]


def test_pairs_take_turns_and_ratios_are_of_pairs() -> None:
    asked: list[tuple[str, str]] = []
    load = iter([1, 1, 1, 1, 10, 10, 1, 1])  # the machine is ten times as slow during one pair

    def measure(checkout: Path, job: dict[str, Any]) -> float:
        asked.append((checkout.name, job["engine"]))
        return next(load) * (3.0 if checkout is HERE else 4.0) * (2 if job["engine"] == "openvino" else 1)

    steps: list[int] = []
    rows = compare(HERE, THERE, JOBS, 2, measure, lambda: steps.append(1))
    assert asked[:4] == [("here", "onnx"), ("there", "onnx"), ("here", "openvino"), ("there", "openvino")]
    assert asked[4:6] == [("there", "onnx"), ("here", "onnx")]
    assert [row["ratio"] for row in rows] == [0.75, 0.75]
    assert rows[0]["ratios"] == [0.75, 0.75]
    assert rows[0]["engine"] == "onnx"
    assert len(steps) == 8


@pytest.mark.parametrize(("with_auto", "chosen", "ratio"), [(False, "onnx", 0.5), (True, "auto", 0.6)])
def test_best_against_best(with_auto: bool, chosen: str, ratio: float) -> None:
    rows = [
        {"model": "a", "threads": 2, "engine": "onnx", "here_ms": 5.0, "there_ms": 20.0},
        {"model": "a", "threads": 2, "engine": "openvino", "here_ms": 8.0, "there_ms": 10.0},
    ]
    if with_auto:
        rows.append({"model": "a", "threads": 2, "engine": "auto", "here_ms": 6.0, "there_ms": 12.0})
    (best,) = best_against_best(rows)
    assert (best["here"], best["there"], best["ratio"]) == (chosen, "openvino", ratio)


def test_a_folder_without_the_package_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require_checkout(ROOT)
    assert cli.main(["bench", "--model", "kcf", "--against", str(tmp_path)]) == 2
    assert "is not a checkout of sot_tracker" in capsys.readouterr().err


def test_a_build_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot run fermt .*: .*'nowhere' do not exist"):
        measure_checkout(ROOT, {"model": "fermt", "weights": "nowhere"}, 1, "64x64", tmp_path / "rows.json")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--frames", "2", "--size", "160x120", "--rounds", "1", "--json", str(tmp_path / "rows.json")]
    assert cli.main(["bench", "--model", "kcf", "--against", str(ROOT), *words]) == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert row["ratio"] == pytest.approx(row["here_ms"] / row["there_ms"], abs=2e-3)
    assert "kcf, auto threads" in capsys.readouterr().out
