import csv
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sot_tracker import catalog, cli, tuning
from sot_tracker.box import Box
from sot_tracker.cli import COMMANDS, main
from sot_tracker.commands import doctor
from sot_tracker.commands.models import AUC
from sot_tracker.config import DEFAULTS
from sot_tracker.stream import sinks
from sot_tracker.stream.sources import open_source

from clips import boxes, frame, write_sequence, write_video

TRUTH = boxes(6)
BOX = "{:g},{:g},{:g},{:g}".format(*TRUTH[0].xywh)


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


@pytest.fixture
def clip(tmp_path):
    return str(write_video(tmp_path / "clip.avi", TRUTH))


@pytest.fixture
def data(tmp_path):
    write_sequence(tmp_path / "data" / "one", TRUTH)
    write_sequence(tmp_path / "data" / "two", [*TRUTH[:3], None, *TRUTH[4:]])
    return tmp_path / "data"


def refused(capsys, *arguments):
    """The one line that a user's mistake gives."""
    assert main(list(arguments)) == 2
    reported = capsys.readouterr().err.splitlines()
    assert reported[-1].startswith("sot-tracker: error: ")
    assert sum("error" in line for line in reported) == 1
    return reported[-1]


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    reported = capsys.readouterr().out
    assert all(name in reported for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert "options:" in capsys.readouterr().out


def test_a_mistake_in_a_real_process_is_one_line_and_status_2(tmp_path):
    command = [sys.executable, "-m", "sot_tracker.cli", "track", str(tmp_path / "nope.mp4"), "--box", BOX]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"sot-tracker: error: '.*nope.mp4' does not exist: .*\n", done.stderr)
    assert done.stdout == ""


def test_opencv_and_ffmpeg_keep_quiet_about_a_damaged_video(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"junk" * 100)
    command = [sys.executable, "-m", "sot_tracker.cli", "track", str(tmp_path / "bad.mp4"), "--box", BOX]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_track_writes_video_table_and_summary(clip, tmp_path, capsys):
    out, table = tmp_path / "out.avi", tmp_path / "boxes.csv"
    assert main(["track", clip, "--model", "kcf", "--box", BOX, "--save", str(out), "--csv", str(table)]) == 0
    rows = rows_of(table)
    assert [row["frame"] for row in rows] == [str(i) for i in range(6)]
    assert Box(*(float(rows[-1][k]) for k in "xywh")).iou(TRUTH[-1]) > 0.5
    assert (rows[0]["state"], rows[0]["ms"], rows[0]["x"]) == ("tracking", "", "20.000")
    assert float(rows[1]["ms"]) > 0
    saved = list(open_source(str(out)))
    assert len(saved) == 6
    assert np.abs(saved[3].image.astype(int) - frame(TRUTH[3])).max() > 60, "the box is drawn in"
    reported = capsys.readouterr().out
    assert "kcf on clip.avi: 6 frames, lost in 0" in reported
    assert f"written: {out}" in reported


def test_track_starts_on_the_truth_of_a_folder_and_says_so(data, capsys):
    assert main(["track", str(data / "one"), "--model", "csrt"]) == 0
    reported = capsys.readouterr().out
    assert f"starting on the first line of the truth file, {TRUTH[0]}" in reported
    assert float(re.search(r"mean overlap with the truth ([\d.]+)", reported)[1]) > 0.5


def test_track_stops_after_frames(clip, capsys):
    assert main(["track", clip, "--model", "kcf", "--box", BOX, "--frames", "3"]) == 0
    assert "3 frames" in capsys.readouterr().out


@pytest.mark.parametrize("rect", [(20, 40, 24, 24), (0, 0, 0, 0)])
def test_track_asks_for_a_box_where_there_is_a_display(clip, capsys, monkeypatch, rect):
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr(sinks, "has_windows", lambda: True)
    monkeypatch.setattr(sinks.cv2, "selectROI", lambda title, image, **options: rect)
    monkeypatch.setattr(sinks.cv2, "destroyAllWindows", lambda: None)
    if rect[2]:
        assert main(["track", clip, "--model", "kcf"]) == 0
        assert "lost in 0" in capsys.readouterr().out
    else:
        assert "no box was drawn" in refused(capsys, "track", clip, "--model", "kcf")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--box", "1,2,3"], "is not four numbers"),
        (["--box", "900,900,5,5"], "outside the 160x120 frame"),
        (["--box", "1,1,0,5"], "cannot be tracked"),
        (["--box", BOX, "--model", "foo"], "unknown model 'foo': known are csrt, kcf, mil"),
        (["--box", BOX, "--model", "mvt", "--weights", "/no/where"], "weights '/no/where'"),
        (["--box", BOX, "--threads", "-3"], "give 0 to 256"),
        (["--box", BOX, "--threads", "many"], "invalid int value"),
        (["--box", BOX, "--engine", "tpu"], "invalid choice"),
        (["--box", BOX, "--frames", "0"], "--frames 0"),
        (["--box", BOX, "--save", "out.gif"], "no known video suffix"),
        (["--box", BOX, "--save", "no/such/out.mp4"], "folder 'no/such' does not exist"),
        (["--box", BOX, "--csv", "."], "is a folder"),
        (["--box", BOX, "--show"], "--show needs a display"),
        ([], "needs a display, but there is none: give --box"),
        (["--bux", BOX], "unrecognized arguments"),
    ],
)
def test_track_refuses(clip, capsys, arguments, words):
    assert words in refused(capsys, "track", clip, *arguments)


def test_a_refused_box_leaves_no_file(clip, tmp_path, capsys):
    out = tmp_path / "out.avi"
    refused(capsys, "track", clip, "--box", "900,900,5,5", "--save", str(out))
    assert not out.exists()


def test_unknown_command_lists_the_known_ones(capsys):
    reported = refused(capsys, "trak")
    assert "track" in reported
    assert "doctor" in reported


def test_eval_writes_everything(data, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    arguments = ["eval", "--data", str(data), "--model", "kcf", "--model", "again=kcf", "--out", str(out)]
    assert main(arguments) == 0
    reported = capsys.readouterr().out
    assert "4 runs: 0 done, 4 to do" in reported
    for metric in ("AO", "SR0.5", "SR0.75", "success AUC", "precision at 20 px", "normalised precision AUC", "fps"):
        assert f"\n{metric} (" in reported
    models = json.loads((out / "summary.json").read_text())["models"]
    assert list(models) == ["kcf", "again"]
    required = ["ao", "sr50", "sr75", "auc", "precision", "norm_precision", "fps"]
    assert set(models["kcf"]) == {*required, "sequences", "presence_auc", "false_confidence", "false_reports"}
    assert models["kcf"]["sequences"] == 2
    assert models["kcf"]["ao"] == models["again"]["ao"] > 0.5
    rows = rows_of(out / "sequences.csv")
    assert [(r["model"], r["sequence"], r["frames"], r["visible"]) for r in rows[:2]] == [
        ("kcf", "one", "6", "6"),
        ("kcf", "two", "6", "5"),
    ]
    for name in ("success.png", "precision.png", "norm_precision.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    assert (out / "raw" / "again" / "two.txt").is_file()

    assert main([*arguments, "--no-plots"]) == 0
    assert "4 runs: 4 done, 0 to do" in capsys.readouterr().out
    assert main([*arguments, "--no-plots", "--threads", "1"]) == 0
    assert "4 to do (4 of them again" in capsys.readouterr().out
    assert main([*arguments, "--no-plots", "--threads", "1", "--again"]) == 0
    assert "0 done, 4 to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "foo"], "unknown model 'foo': known are"),
        (["--model", "kcf", "--model", "kcf"], "two models are called 'kcf'"),
        (["--model", "kcf", "--jobs", "0"], "--jobs 0"),
        (["--model", "mvt", "--weights", "/no/where"], "weights '/no/where'"),
        ([], "required: --model"),
    ],
)
def test_eval_refuses(data, tmp_path, capsys, arguments, words):
    reported = refused(capsys, "eval", "--data", str(data), "--out", str(tmp_path / "out"), "--no-plots", *arguments)
    assert words in reported


def test_eval_tells_a_damaged_picture_when_the_others_are_done(data, tmp_path, capsys):
    good, out = (data / "one" / "3.png").read_bytes(), tmp_path / "out"
    arguments = ["eval", "--data", str(data), "--model", "kcf", "--out", str(out), "--no-plots"]
    (data / "one" / "3.png").write_bytes(b"no picture")
    reported = refused(capsys, *arguments)
    assert re.search(
        r"1 of 2 runs failed: sequence 'one': picture .* cannot be decoded.*: finished results are kept", reported
    )
    (data / "one" / "3.png").write_bytes(good)
    assert main(arguments) == 0
    assert "2 runs: 1 done, 1 to do" in capsys.readouterr().out


def test_eval_into_a_file(data, tmp_path, capsys):
    (tmp_path / "out").write_text("kept")
    arguments = ["--data", str(data), "--model", "kcf", "--out", str(tmp_path / "out"), "--no-plots"]
    assert "is a file: give a folder" in refused(capsys, "eval", *arguments)
    assert (tmp_path / "out").read_text() == "kept"


def test_eval_without_truth_or_data(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for place, words in (("empty", "no groundtruth.txt"), ("nowhere", "does not exist")):
        arguments = ["--data", str(tmp_path / place), "--model", "kcf", "--out", str(tmp_path / "out"), "--no-plots"]
        assert words in refused(capsys, "eval", *arguments)


@pytest.mark.parametrize(
    "words",
    [
        ["eval", "--data", ".", "--model", "kcf", "--out", ""],
        ["label", "clip.mp4", "--model", "kcf", "--out="],
        ["synth", "--out", " "],
        ["average", "", "--model", "lite", "--out", "x.safetensors"],
    ],
)
def test_an_empty_path_is_not_the_current_folder(words, tmp_path, capsys, monkeypatch):
    """As from an empty variable of a shell script."""
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert ": the path is empty (see" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("missing", "arguments", "words"),
    [
        (
            "cv2",
            ["eval", "--data", "DATA", "--model", "kcf", "--out", "DATA/out", "--no-plots"],
            "opencv-contrib-python",
        ),
        ("tqdm", ["tune", "--model", "lite"], "pip install tqdm"),
    ],
)
def test_a_package_missing_in_the_middle_is_one_line(missing, arguments, words, data):
    given = [word.replace("DATA", str(data)) for word in arguments]
    program = f"import sys; sys.modules[{missing!r}] = None; from sot_tracker.cli import main; sys.exit(main())"
    found = subprocess.run([sys.executable, "-c", program, *given], capture_output=True, text=True)
    assert found.returncode == 2
    assert words in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr


def test_eval_needs_matplotlib_only_for_plots(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = ["eval", "--data", str(data), "--model", "kcf", "--out", str(tmp_path / "out")]
    assert "pip install matplotlib" in refused(capsys, *arguments)
    assert main([*arguments, "--no-plots"]) == 0


def test_models_lists_the_catalogue(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[2:] if line.startswith("|")] == list(catalog.MODELS)
    assert all(word in lines[0] for word in ("name", "weights", "params", "AUC", "good for", "licence"))
    assert "needs none" in next(line for line in lines if "| csrt" in line)
    assert [line.split()[1] for line in lines if line.startswith("|") and " * " in line] == [DEFAULTS["model"]]
    assert max(map(len, lines)) <= 100
    assert not any("see card.md" in line for line in lines), "every card says what the model is good for"


@pytest.mark.parametrize("name", ["fermt", "csrt", "hit_base"])
def test_models_tells_all_of_one(capsys, name):
    assert main(["models", name]) == 0
    reported = capsys.readouterr().out
    assert max(map(len, reported.splitlines())) <= 100
    assert catalog.spec(name).title in reported
    if name == "fermt":
        text = " ".join(reported.split())
        assert "ImageNet, FOD-A, Tux Paint stamps GPL-2)" in text, "the whole licence"
        assert "stored in" in text
    assert "unknown model 'siam'" in refused(capsys, "models", "siam")


def test_prepare_offers_what_it_can_use(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    reported = capsys.readouterr().out
    assert all(f"--{name}" in reported for name in ("model", "engine", "device", "precision", "threads", "weights"))
    assert not re.search(r"--(lost|size|init|reacquire)", reported)


def test_doctor_reports_every_part(capsys):
    status = main(["doctor"])
    reported = capsys.readouterr().out
    assert status == (1 if "[FIX ]" in reported else 0)
    for subject in (
        "Python:",
        "numpy:",
        "cv2:",
        "engine onnx:",
        "weights:",
        "recordings:",
        "H.264:",
        "GPU:",
        "display:",
        "ROS 2:",
    ):
        assert subject in reported
    assert "display: none" in reported


def test_doctor_names_what_is_missing(monkeypatch, capsys):
    for name in ("onnxruntime", "openvino", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["doctor"]) == 1
    reported = capsys.readouterr().out
    assert "[FIX ] engines: none is installed" in reported
    assert "-> pip install onnxruntime" in reported


def test_doctor_reads_the_middleware_profile(monkeypatch, tmp_path):
    monkeypatch.delenv("RMW_IMPLEMENTATION", raising=False)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    (unset,) = doctor._check_middleware()
    assert (unset.kind, "512 KiB" in unset.found) == ("note", True)
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(tmp_path / "none.xml"))
    assert next(doctor._check_middleware()).kind == "problem"
    (tmp_path / "none.xml").write_text("<x/>")
    assert next(doctor._check_middleware()).kind == "ok"


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_keep_what_was_written(tmp_path, number, status):
    folder = write_sequence(tmp_path / "long", boxes(2) * 400)
    table = tmp_path / "boxes.csv"
    command = [sys.executable, "-m", "sot_tracker.cli", "track", str(folder), "--model", "csrt", "--csv", str(table)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if len(list(tmp_path.iterdir())) > 1:  # the table under its unfinished name
            break
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    reported, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in errors
    frames = int(re.search(r"csrt on long: (\d+) frames", reported)[1])
    assert 0 < frames < 800
    assert len(rows_of(table)) in (frames, frames - 1)


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("trak clip.mp4", "did you mean track?"),
        ("track clip.mp4 --modle kcf", "did you mean --model?"),
        ("track clip.mp4 --box -5,0,9,9", "written --box=-5,..."),
        ("bench --model kfc", "did you mean kcf?"),
        ("track clip.mp4 --zzz", "unrecognized arguments: --zzz (see"),
    ],
)
def test_mistyped_words_get_a_suggestion(capsys, words, suggestion):
    assert suggestion in refused(capsys, *words.split())


@pytest.mark.parametrize("words", ["track {} --model kcf", "eval --data {} --model kcf", "doctor --{}"])
def test_a_name_that_is_too_long_is_one_line(capsys, words):
    assert refused(capsys, *words.format("a" * 5000).split())


def test_the_installed_script_can_be_read_by_child_processes():
    """Processes that `bench` and `eval --jobs` start run it under another name."""
    script = Path(__file__).resolve().parents[1] / "scripts" / "sot-tracker"
    assert "main" in runpy.run_path(str(script), run_name="__mp_main__")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "device=cuda is not for openvino: choose engine=onnx",
            "--device cuda is not for openvino: choose --engine onnx",
        ),
        ("lost_threshold=2.0 is out of range", "--lost-threshold 2.0 is out of range"),
        ("threads='2' has the wrong type", "--threads '2' has the wrong type"),
        ("use --model=kcf or model:=kcf", "use --model=kcf or model:=kcf"),
        ("coco=0.5 is fine", "coco=0.5 is fine"),
        ("point_size=2.0 is out of range: give 0 to 1", "--point-size 2.0 is out of range: give 0 to 1"),
        ("connection=foo cannot be opened", "--connection foo cannot be opened"),
    ],
)
def test_options_are_named_as_flags(text, message):
    assert cli.in_flags(text) == message


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    reported = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"xample: (sot-tracker )?{command} |sot-tracker {command} ", reported.rpartition("options:")[2])


def test_common_options_of_the_tracker_come_first(capsys):
    with pytest.raises(SystemExit):
        main(["track", "--help"])
    common, _, others = capsys.readouterr().out.rpartition("tracker, seldom needed:")
    assert set(re.findall(r"^  (--[\w-]+)", common.partition("\ntracker:")[2], re.MULTILINE)) == {
        "--model",
        "--device",
        "--threads",
        "--weights",
    }
    assert "--lost-threshold" in others


@pytest.mark.parametrize(
    "command",
    ["models", "models lite", "doctor", "bench --model kcf --frames 1 --size 64x64 --json -"],
)
def test_json_on_standard_output_is_json_alone(command, capsys):
    assert main([*command.split(), *([] if "--json" in command else ["--json"])]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert found
    if command == "models lite":
        assert found["model"] == "lite"
        assert "FOD-A" in found["licence"], "the whole licence"
    elif command == "models":
        assert [row["model"] for row in found] == list(catalog.MODELS)


def test_figures_of_models_are_those_of_the_benchmarks():
    page = (Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md").read_text()
    table = page.partition("| tracker | success AUC |")[2].partition("\n\n")[0]
    rows = {
        cells[1].strip(" *").lower().replace("-", "_"): float(cells[2])
        for cells in (line.split("|") for line in table.splitlines()[2:])
    }
    nanotrack = float(re.search(r"NanoTrack V2 with its authors' weights.*?success AUC ([\d.]+)", page, re.DOTALL)[1])
    assert {**rows, "nanotrack": nanotrack} == AUC


def test_models_shows_what_tune_measured_here(capsys, monkeypatch):
    assert main(["models"]) == 0
    assert "`sot-tracker tune` measures" in capsys.readouterr().out
    run = tuning.Run("onnx", "fp32", 1, 12.34)
    monkeypatch.setattr(tuning, "read", lambda source: [run] if source.manifest.model == "lite" else [])
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("|")[3].strip() == "ms"
    assert next(line for line in lines if "| lite" in line).split("|")[3].strip() == "12.3"
    assert max(map(len, lines)) <= 100
    assert main(["models", "lite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ms per frame"] == "12.3 on this machine"
