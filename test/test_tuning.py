"""What `auto` makes of measurements, and when they no longer count."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sot_tracker import catalog, cli, cpus, tuning
from sot_tracker.commands import tune as command
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.model_folder import Source, find_weights
from sot_tracker.tuning import Run, pick

ONNX1, ONNX2 = Run("onnx", "fp32", 1, 10.0), Run("onnx", "fp32", 2, 6.0)
OPENVINO2, BF16 = Run("openvino", "fp32", 2, 5.0), Run("openvino", "bf16", 2, 3.0, agreement=0.98)
RUNS = [ONNX1, ONNX2, OPENVINO2, BF16]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def source(toy: catalog.ModelSpec, toy_folder: Path) -> Source:
    return find_weights(toy, str(toy_folder))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, BF16),
        ({"precision": "fp32"}, OPENVINO2),
        ({"engine": "onnx"}, ONNX2),
        ({"threads": 1}, ONNX1),
        ({"engine": "openvino", "threads": 1}, None),
        ({"engine": "torch"}, None),
    ],
)
def test_the_fastest_of_what_the_options_allow(asked: dict[str, Any], expected: Run | None) -> None:
    assert pick(RUNS, Config(**asked)) == expected


def test_a_precision_with_other_boxes_is_taken_only_when_asked_for() -> None:
    rough = Run("openvino", "bf16", 2, 3.0, agreement=tuning.MIN_AGREEMENT - 0.001)
    assert pick([OPENVINO2, rough], Config()) == OPENVINO2
    assert pick([OPENVINO2, rough], Config(precision="bf16")) == rough


@pytest.mark.parametrize(("ms", "threads"), [(9.6, 1), (9.4, 2)])
def test_more_threads_must_be_worth_it(ms: float, threads: int) -> None:
    chosen = pick([ONNX1, Run("onnx", "fp32", 2, ms)], Config())
    assert chosen is not None
    assert chosen.threads == threads


def test_auto_follows_what_was_stored_and_says_so(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    assert tuning.settled(Config(model="toy"), source) == Config(model="toy"), "nothing was measured"
    tuning.store(source, RUNS)
    with caplog.at_level(logging.INFO):
        found = tuning.settled(Config(model="toy"), source)
    assert (found.engine, found.precision, found.threads) == ("openvino", "bf16", 2)
    assert (
        "toy: openvino in bf16 with 2 threads, 3.0 ms per frame when `sot-tracker tune` measured 4 ways" in caplog.text
    )


@pytest.mark.parametrize(
    "asked", [{"engine": "onnx", "precision": "fp32", "threads": 7}, {"device": "cuda"}, {"engine": "torch"}]
)
def test_what_is_asked_for_stays(source: Source, asked: dict[str, Any]) -> None:
    tuning.store(source, RUNS)
    config = Config(model="toy", **asked)
    assert tuning.settled(config, source) == config


@pytest.mark.parametrize("change", ["processor", "version", "files"])
def test_another_machine_or_model_does_not_count(
    source: Source, toy: catalog.ModelSpec, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    tuning.store(source, RUNS)
    assert tuning.read(source) == RUNS
    if change == "processor":
        monkeypatch.setattr(cpus, "processor", lambda: "another")
    elif change == "version":
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0")
    else:
        source.files.files["search.onnx"] = "0" * 64
    assert tuning.read(source) == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"runs": 3}', '{"runs": [{}]}', '{"runs": [{"engine": 1}]}'],
)
def test_a_damaged_file_is_reported_and_passed_over(
    source: Source, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    tuning.store(source, RUNS).write_text(text)
    assert tuning.settled(Config(model="toy"), source) == Config(model="toy")
    assert "run `sot-tracker tune` again" in caplog.text


@pytest.mark.parametrize("run", [{"threads": 0}, {"ms": 0}, {"ms": "fast"}, {"ms": float("nan")}, {"engine": 3}])
def test_impossible_runs_are_passed_over(source: Source, run: dict[str, Any]) -> None:
    path = tuning.store(source, RUNS[:1])
    values = json.loads(path.read_text())
    values["runs"][0].update(run)
    path.write_text(json.dumps(values))
    assert tuning.read(source) == []


@pytest.mark.parametrize(("usable", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8])])
def test_threads_that_are_tried(usable: int, expected: list[int]) -> None:
    assert tuning.candidates_of_threads(usable) == expected


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_command(
    toy: catalog.ModelSpec,
    toy_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
) -> None:
    """Measured in turn, the best of the rounds counts; what cannot run is left out; auto then takes the winner."""
    asked: list[tuple[str, int]] = []

    def measure(clip: Path, options: dict[str, Any]) -> dict[str, float]:
        assert options["device"] == "cpu"
        asked.append((options["engine"], options["threads"]))
        if options["engine"] == "openvino":
            raise UserError("too old")
        return {"total_ms": (4.0 if options["threads"] == 2 else 5.0) + len(asked)}

    monkeypatch.setattr(command, "measure_apart", measure)
    monkeypatch.setattr(cpus, "usable", lambda: 2)
    monkeypatch.setattr(cpus, "features", lambda *_: ["AVX2"])
    words = ["--model", "toy", "--weights", str(toy_folder), "--engine", "onnx", "--engine", "openvino"]
    assert cli.main(["tune", *words, *flags]) == 0
    assert asked == [("onnx", 1), ("onnx", 2), ("openvino", 1), ("openvino", 2), ("onnx", 1), ("onnx", 2)]
    out, err = capsys.readouterr()
    if flags:
        reported = json.loads(out)["models"]["toy"]
        assert reported["chosen"] in reported["runs"]
        assert (reported["chosen"]["engine"], reported["chosen"]["threads"]) == ("onnx", 1), (
            "as fast with fewer threads"
        )
    else:
        assert "auto takes this" in out
    assert "openvino in fp32 with 1 thread is left out: too old" in err
    found = tuning.settled(Config(model="toy"), find_weights(toy, str(toy_folder)))
    assert (found.engine, found.threads) == ("onnx", 1), "as fast with fewer threads"


@pytest.mark.parametrize("place", ["file", "nowhere"])
def test_command_measures_nothing_that_it_cannot_store(
    toy: catalog.ModelSpec,
    toy_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    """As with a home folder that is read-only: it took minutes, and ended with "No such file or directory"."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" if place == "file" else Path("/proc/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(command, "measure_apart", lambda *_: pytest.fail("measured"))
    assert cli.main(["tune", "--model", "toy", "--weights", str(toy_folder), "--engine", "onnx"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"the result cannot be stored in {folder}/sot_tracker/tune: " in told
    assert told.endswith("set XDG_CACHE_HOME to a folder that you may write to")


def test_a_folder_that_takes_no_file_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another user, say, or on a full disk."""

    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    tuning.require_writable()
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(UserError, match=r"cannot be stored in .*: No space left on device; set XDG_CACHE_HOME"):
        tuning.require_writable()


def test_command_needs_a_model_folder(toy: catalog.ModelSpec) -> None:
    with pytest.raises(UserError, match="is not a model folder"):
        command.tune(toy, "random", ["onnx"])
