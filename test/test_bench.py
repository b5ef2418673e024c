"""The benchmark's rows and tables; no test here judges a time."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sot_tracker import bench, catalog, cli
from sot_tracker.bench import STAGES, make_clip, measure, measure_apart, measure_pipeline
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.tracker import Tracker
from sot_tracker.tracking.network_tracker import NetworkTracker

KEYS = {"model", "engine", "precision", "threads", "parameters", "macs", "memory_mb", "frames", "random"}
TIMES = {f"{stage}_{kind}" for stage in STAGES for kind in ("ms", "p95")}


@pytest.fixture(scope="module")
def clip() -> bench.Clip:
    return make_clip(4, 320, 240)


def test_clip_survives_the_way_to_another_process(clip: bench.Clip, tmp_path: Path) -> None:
    clip.save(tmp_path / "clip.npz")
    again = bench.Clip.read(tmp_path / "clip.npz")
    np.testing.assert_array_equal(again.frames, clip.frames)
    np.testing.assert_array_equal(again.boxes, clip.boxes)
    assert clip.frames.shape == (4 + bench.WARM_UP, 240, 320, 3)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_network_row(toy: catalog.ModelSpec, toy_folder: Path, clip: bench.Clip, engine: str) -> None:
    options = {"model": "toy", "engine": engine, "weights": str(toy_folder)}
    row = measure(clip, options)
    assert row.keys() >= KEYS | TIMES
    assert (row["model"], row["engine"], row["precision"], row["random"]) == ("toy", engine, "fp32", True)
    assert row["frames"] == 4, "warm-up frames are not counted"
    assert row["parameters"] == 28105
    assert row["macs"] > 1e6
    assert row["opinion_ms"] is row["opinion_p95"] is None, "without a second opinion"
    measured = [stage for stage in STAGES if stage != "opinion"]
    assert all(row[f"{stage}_p95"] >= row[f"{stage}_ms"] > 0 for stage in measured)
    assert row["total_ms"] >= row["search_ms"]


@pytest.mark.parametrize("random", [True, False])
def test_networks_with_weights_follow_by_themselves(
    toy: catalog.ModelSpec, toy_folder: Path, clip: bench.Clip, random: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    load = bench.load_trackers

    def loaded(config: Config) -> list[Tracker]:
        (tracker,) = load(config)
        assert isinstance(tracker, NetworkTracker)
        tracker.network.facts = replace(tracker.network.facts, random=random)
        monkeypatch.setattr(tracker, "recenter", reported.append)
        return [tracker]

    monkeypatch.setattr(bench, "load_trackers", loaded)
    measure(clip, {"model": "toy", "engine": "onnx", "weights": str(toy_folder), "threads": 1})
    assert len(reported) == (len(clip.frames) - 1 if random else 0)


def test_what_a_second_opinion_takes(clip: bench.Clip) -> None:
    pytest.importorskip("onnxruntime")
    row = measure(clip, {"model": "lite", "engine": "onnx", "threads": 1})
    assert row["total_ms"] > row["opinion_ms"] > 0


@pytest.mark.parametrize(
    ("values", "typical"),
    [([2.0], 2.0), ([1.0] * 10 + [3.0] * 10, 37 / 19), ([1.0] * 19 + [500.0], 1.0), ([1.0, 2.0, 3.0], 2.0)],
)
def test_frames_of_different_cost_all_count_and_a_disturbed_one_does_not(values: list[float], typical: float) -> None:
    assert bench._typical(values) == pytest.approx(typical)


def test_many_targets(toy: catalog.ModelSpec, toy_folder: Path, clip: bench.Clip) -> None:
    row = measure(clip, {"model": "toy", "engine": "onnx", "weights": str(toy_folder), "max_targets": 3, "threads": 2})
    assert (row["targets"], row["frames"]) == (3, 4)
    assert row["total_ms"] >= row["search_ms"] > 0


def test_opencv_row(clip: bench.Clip) -> None:
    row = measure(clip, {"model": "kcf"})
    assert row.keys() >= KEYS | TIMES
    assert row["engine"] == "opencv"
    assert row["total_ms"] > 0
    assert row["search_ms"] is row["parameters"] is row["macs"] is None


def test_mistakes_come_back_from_the_other_process(clip: bench.Clip, tmp_path: Path) -> None:
    clip.save(tmp_path / "clip.npz")
    with pytest.raises(UserError, match="'nowhere' do not exist"):
        measure_apart(tmp_path / "clip.npz", {"model": "fermt", "weights": "nowhere"})


def test_without_torch(toy_folder: Path, clip: bench.Clip, tmp_path: Path) -> None:
    clip.save(tmp_path / "clip.npz")
    script = f"""
        import sys
        sys.modules["torch"] = None
        from pathlib import Path
        from sot_tracker import bench, catalog
        network = catalog.NetworkSpec("center", template_size=48, search_size=96)
        catalog.MODELS["toy"] = catalog.ModelSpec("toy", "", "", network)
        row = bench.measure(bench.Clip.read(Path({str(tmp_path / "clip.npz")!r})),
                            {{"model": "toy", "engine": "onnx", "weights": {str(toy_folder)!r}}})
        print(row["parameters"], row["macs"] > 0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.stdout == "28105 True\n", done.stderr


def test_pipeline_covers_decodings_and_places() -> None:
    rows = measure_pipeline(runs=2)
    assert {row["decoding"] for row in rows} == {"center", "center_weak", "corner", "token"}
    assert len(rows) == 12
    assert all(0 < row["ms"] <= row["p95"] for row in rows)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "rows.json"
    command = ["bench", "--model", "csrt", "--model", "kcf", "--frames", "3", "--size", "200x150"]
    assert cli.main([*command, "--json", str(out)]) == 0
    rows = json.loads(out.read_text())
    assert [row["model"] for row in rows] == ["csrt", "kcf"]
    table = capsys.readouterr().out
    for part in ("3 frames of 200x150", "csrt", "kcf", "larger than the frame"):
        assert part in table


def test_command_goes_on_after_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "--model", "fermt", "--model", "kcf", "--frames", "2", "--size", "200x150", "--no-pipeline"]
    assert cli.main([*command, "--weights", str(tmp_path / "none")]) == 2
    out, err = capsys.readouterr()
    assert "kcf" in out
    assert "do not exist" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "vggt"], "unknown model 'vggt'"),
        (["--size", "large"], "--size 'large'"),
        (["--frames", "0"], "--frames 0"),
        (["--threads", "-1"], "--threads -1"),
        (["--targets", "0"], "error: --targets 0 is out of range: give 1 to 64"),
        (["--model", "kcf", "--json", "/dev/null/speed.json"], "--json /dev/null/speed.json cannot be written"),
    ],
)
def test_wrong_options(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert cli.main(["bench", "--frames", "2", "--size", "100x100", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_cannot_be_exported_does_not_end_the_bench(monkeypatch, capsys):
    def fails(model, place):
        raise UserError(f"{model.name} does not export")

    monkeypatch.setattr("sot_tracker.commands.bench._exported", fails)
    words = ["--weights", "random", "--engine", "onnx", "--frames", "3", "--size", "200x150", "--no-pipeline"]
    assert cli.main(["bench", "--model", "hit_tiny", "--model", "kcf", *words]) == 2
    reported = capsys.readouterr()
    assert "hit_tiny onnx: hit_tiny does not export" in reported.err
    assert "kcf" in reported.out


def test_a_bench_that_ends_early_leaves_no_empty_file(monkeypatch, tmp_path):
    def interrupted(clip, options):
        raise KeyboardInterrupt

    monkeypatch.setattr("sot_tracker.commands.bench.measure_apart", interrupted)
    assert cli.main(["bench", "--model", "kcf", "--frames", "3", "--json", str(tmp_path / "rows.json")]) == 130
    assert not (tmp_path / "rows.json").exists()
