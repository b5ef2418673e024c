"""`sot-tracker train` from data to weights, and what it says of mistakes."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import trees

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from sot_tracker.cli import main
from sot_tracker.commands.train import _once
from sot_tracker.errors import TERMINATED
from sot_tracker.train import init_similarity, state

SMALL = [
    "--model",
    "hcat_n1",
    "--steps",
    "2",
    "--batch",
    "2",
    "--template-size",
    "64",
    "--search-size",
    "64",
    "--workers",
    "0",
    "--val-pairs",
    "4",
    "--precision",
    "fp32",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return trees.jsonl(tmp_path_factory.mktemp("data"), videos=2, frames=3)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    (data / "val.txt").write_text("clip_1\n")
    status = main(["train", *SMALL, "--data", f"mine={data}", "--out", str(out), "--val", str(data / "val.txt")])
    return status, out


def test_from_data_to_weights(trained):
    status, out = trained
    assert status == 0
    for name in ("checkpoint.pt", "model.safetensors", "curves.csv", "validation.csv"):
        assert (out / name).stat().st_size > 0


def test_start_and_optimizer_reach_the_run(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(init_similarity, "PATCHES", 4000)
    _, out = trained
    sizes = ["--template-size", "64", "--search-size", "128", "--steps", "1", "--rate", "1e-9"]
    given = ["--model", "fermt", "--start", "matching", "--optimizer", "adamw", "--cache", str(out / "cache")]
    assert main(["train", *SMALL, *sizes, *given, "--out", str(tmp_path)]) == 0
    saved = state.load(tmp_path / "checkpoint.pt")
    assert saved["recipe"]["optimizer"] == "adamw"
    query, key, _ = saved["net"]["backbone.blocks.0.attn.qkv.weight"].chunk(3)
    assert (query * key).sum() > 0.9 * (query * query).sum(), "they look alike"


def test_shares_reach_the_pairs(trained, tmp_path):
    _, out = trained
    shares = {"paste": 0.6, "region": 0.05, "pattern": 0.07, "negative": 0.08, "crowd": 0.7}
    given = [word for name, share in shares.items() for word in (f"--{name}", str(share))]
    assert main(["train", *SMALL, "--cache", str(out / "cache"), *given, "--out", str(tmp_path)]) == 0
    sampling = state.load(tmp_path / "checkpoint.pt")["recipe"]["sampling"]
    assert {name: sampling[name] for name in shares} == shares


@pytest.mark.parametrize(
    ("teach", "added"),
    [([], {"distill"}), (["--teach", "features"], {"teacher"}), (["--teach", "both"], {"distill", "teacher"})],
)
def test_teacher_adds_its_losses(teach, added, trained, tmp_path):
    _, out = trained
    given = ["--cache", str(out / "cache"), "--out", str(tmp_path), "--teacher", f"hcat_n1={out / 'model.safetensors'}"]
    assert main(["train", *SMALL, *given, *teach, "--init", str(out / "checkpoint.pt")]) == 0
    row = next(csv.DictReader((tmp_path / "curves.csv").open()))
    parts = {name: float(row[name]) for name in row.keys() - {"step", "total", "rate", "samples_per_s", "wait_share"}}
    assert parts.keys() == {"cls", "giou", "l1"} | added
    assert min(parts.values()) > 0
    assert float(row["total"]) == pytest.approx(sum(parts.values()), rel=1e-4)


def test_released_teachers_and_the_recipe_reach_the_run(trained, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("sot_tracker.train.loop.Trainer.__init__", lambda _self, job, *_: asked.append(job))
    monkeypatch.setattr("sot_tracker.train.loop.Trainer.step", 0, raising=False)
    monkeypatch.setattr("sot_tracker.train.loop.Trainer.run", lambda *_: {})
    _, out = trained
    teachers = ["--teacher", "onnx:a", "--teacher", "hcat_n1=own.pt", "--teacher", "onnx:b/c"]
    recipe = ["--freeze-blocks", "3", "--backbone-rate", "0.2", "--ema", "0.5", "--decay-at", "0.7"]
    words = ["--cache", str(out / "cache"), "--out", str(tmp_path), "--schedule", "tail", *teachers, *recipe]
    assert main(["train", *SMALL, *words]) == 0
    (job,) = asked
    assert job.teacher == ("hcat_n1", Path("own.pt"))
    assert job.released == (Path("a"), Path("b/c"))
    given = (job.recipe.schedule, *(getattr(job.recipe, name) for name in ("backbone_rate", "ema", "decay_at")))
    assert given == ("tail", 0.2, 0.5, 0.7)
    assert job.recipe.freeze_blocks == 3


def test_a_signal_to_the_whole_group_saves_first(trained, tmp_path):
    """As from a terminal or from torchrun: the processes that make batches get it too."""
    _, out = trained
    words = [*SMALL, "--steps", "100000", "--workers", "1", "--cache", str(out / "cache"), "--out", str(tmp_path)]
    command = [sys.executable, "-m", "sot_tracker.cli", "train", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as child:
        end = time.monotonic() + 60
        while not (tmp_path / "curves.csv").exists():
            assert time.monotonic() < end
            assert child.poll() is None
            time.sleep(0.1)
        os.killpg(child.pid, signal.SIGTERM)
        output = child.communicate(timeout=60)[1]
    assert child.returncode == TERMINATED, output  # so that `train ... && export ...` goes no further
    assert "stopping after this step" in output
    assert state.load(tmp_path / "checkpoint.pt")["step"] >= 20


FULL_DISK = """
import sys
from sot_tracker.cli import main
from sot_tracker.errors import UserError
from sot_tracker.train.loop import Trainer

def save(_):
    raise UserError("the disk is full")

Trainer.save = save
sys.exit(main(sys.argv[1:]))
"""


def test_an_error_ends_the_processes_that_make_batches(trained, tmp_path):
    """They ignore SIGTERM, with which Python ends its children before it waits for them at its own end.

    In a process of its own: forked from one in which many libraries set signal stacks, they can end it by SIGCHLD.
    """
    _, out = trained
    words = [*SMALL, "--workers", "1", "--cache", str(out / "cache"), "--out", str(tmp_path)]
    command = [sys.executable, "-c", FULL_DISK, "train", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.strip().splitlines()[-1] == "sot-tracker: error: the disk is full"


def test_a_killed_training_loses_no_saved_step_and_the_next_start_goes_on(trained, tmp_path, capsys):
    _, out = trained
    words = [*SMALL, "--save-every", "1", "--cache", str(out / "cache"), "--out", str(tmp_path)]
    command = [sys.executable, "-m", "sot_tracker.cli", "train", *words, "--steps", "100000"]
    checkpoint = tmp_path / "checkpoint.pt"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        end = time.monotonic() + 60
        while not checkpoint.exists():
            assert time.monotonic() < end
            assert child.poll() is None
            time.sleep(0.05)
        child.kill()
        child.communicate(timeout=60)
    step = state.load(checkpoint)["step"]
    assert step >= 1
    capsys.readouterr()
    assert main(["train", *words, "--steps", str(step + 1)]) == 0
    assert f"continuing after step {step} of {step + 1}, from '{checkpoint}'" in capsys.readouterr().out
    assert state.load(checkpoint)["step"] == step + 1


def test_two_processes_under_torchrun(trained, tmp_path):
    """Both end, one writes, and each step counts the pairs of both."""
    _, out = trained
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "sot_tracker.cli",
    ]
    given = ["train", *SMALL, "--cache", str(out / "cache"), "--out", str(tmp_path)]
    ended = subprocess.run([*command, *given], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert (tmp_path / "model.safetensors").is_file()
    assert state.load(tmp_path / "checkpoint.pt")["step"] == 2
    assert len(list(csv.DictReader((tmp_path / "curves.csv").open()))) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--model", "kcf"], "has no network"),
        (["--model", "resnet"], "unknown model"),
        (["--data", "nowhere"], "does not exist"),
        (["--data", ""], "--data '' names no folder"),
        (["--data", "mine="], "--data 'mine=' names no folder"),
        (["--out", "/dev/null"], "--out '/dev/null' is a file: give a folder"),
        (["--out", "/dev/null/x"], "--out '/dev/null/x' cannot be made: Not a directory"),
        (["--data", ".", "--matting", "nowhere.onnx"], "'nowhere.onnx' does not exist"),
        (["--batch", "0"], "--batch 0"),
        (["--rate", "inf"], "--rate inf"),
        (["--warmup", "-5"], "--warmup -5"),
        (["--backbone-rate", "nan"], "--backbone-rate nan"),
        (["--seed", "-1"], "--seed: -1 is out of range"),
        (["--workers", "-1"], "--workers: -1 is out of range"),
        (["--threads", "-1"], "--threads: -1 is out of range"),
        (["--stop-after", "nan"], "--stop-after nan"),
        (["--stop-after", "-1"], "--stop-after -1"),
        (["--crowd", "2"], "crowd=2"),
        (["--paste", "nan"], "paste=nan"),
        (["--val-every", "0"], "--val-every 0"),
        (["--val-pairs", "0"], "--val-pairs 0"),
        (["--save-every", "-1"], "--save-every -1"),
        (["--search-size", "100"], "multiple of 16"),
        (["--weights-by-source", "coco"], "NAME=NUMBER"),
        (["--weights-by-source", "lasot=1"], "do not fit the sources"),
        (["--weights-by-source", "mine=nan"], "do not fit the sources"),
        (["--split", "nowhere.txt"], "cannot be read"),
        (["--init", "nowhere.safetensors"], "does not exist"),
        (["--frozen-norms"], "needs --init"),
        (["--start", "matching"], "is for FERMT"),
        (["--start", "matching", "--init", "some.safetensors"], "leave --init out"),
        (["--start", "imagenet"], "is for lite"),
        (["--start", "imagenet", "--init", "some.safetensors"], "--start imagenet is for fresh weights"),
        (["--teacher", "x"], "MODEL=FILE"),
        (["--teacher", "onnx:nowhere"], "at factors 2 and 4"),
        (["--teacher", "hcat_n1=a", "--teacher", "fermt=b"], "give only one MODEL=FILE"),
        (["--teacher", "onnx:nowhere", "--teach", "both"], "needs a teacher that is a network of this package"),
        (["--freeze-blocks", "2"], "hcat_n1 offers none"),
        (["--freeze-blocks", "-1"], "--freeze-blocks -1"),
        (["--decay-at", "1"], "--decay-at 1"),
        (["--ema", "1.5"], "--ema 1.5"),
        (["--teach", "both"], "needs a teacher"),
        (["--device", "cuda"], "not there"),
    ],
)
def test_mistakes_are_reported_in_one_line(given, message, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    _, out = trained
    cache = [] if "--data" in given else ["--cache", str(out / "cache")]
    assert main(["train", *SMALL, *cache, "--out", str(tmp_path), *given]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
    assert "Traceback" not in "".join(lines)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--init", "nowhere.safetensors"], "does not exist"),
        (["--device", "cuda"], "not there"),
        (["--freeze-blocks", "2"], "hcat_n1 offers none"),
        (["--start", "matching"], "is for FERMT"),
        (["--start", "imagenet"], "is for lite"),
        (["--teacher", "hcat_n1=nowhere.pt"], "no checkpoint 'nowhere.pt'"),
        (["--teacher", "onnx:nowhere"], "at factors 2 and 4"),
        (["--val", "nowhere.txt"], "cannot be read"),
        (["--exclude", "wrong.txt"], "none of its 1 names is a track or group"),
    ],
)
def test_mistakes_are_reported_before_the_pictures_are_decoded(given, message, data, tmp_path, capsys, monkeypatch):
    """Which takes hours for COCO or GOT-10k."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.chdir(tmp_path)
    Path("wrong.txt").write_text("clip-0\n")
    assert main(["train", *SMALL, "--data", str(data), "--out", "out", *given]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_resumed_run_says_what_is_other_than_before(trained, tmp_path, capsys):
    _, out = trained
    words = ["train", *SMALL, "--paste", "0.5", "--cache", str(out / "cache"), "--out", str(tmp_path)]
    assert main(words) == 0
    assert main([*words, "--steps", "3"]) == 0
    assert "other settings than before" not in capsys.readouterr().out
    other = ["--batch", "3", "--steps", "4", "--paste", "0.25", "--init", "nowhere.pt"]
    assert main([*words, *other]) == 0
    said = capsys.readouterr().out
    assert "other settings than before: batch 2 to 3, paste 0.5 to 0.25\n" in said
    assert "--init nowhere.pt is not read: it is for a new run, in another --out" in said


def test_grabcut_needs_no_onnx_runtime(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for name in ("sot_tracker.engines.onnx", "sot_tracker.train.matting"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.delattr(name, raising=False)
    given = ["--data", str(data), "--pack", str(tmp_path / "packed"), "--device", "cuda"]  # of the other machine
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert main(["train", *SMALL, *given, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "packed").is_file()
    assert f"written: {tmp_path / 'packed'}, " in capsys.readouterr().out


def test_exclusion_leaves_nothing(data, trained, tmp_path, capsys):
    _, out = trained
    (tmp_path / "all.txt").write_text("clip_0\nclip_1\nstill_0\nback_0\n")
    given = ["--cache", str(out / "cache"), "--exclude", str(tmp_path / "all.txt")]
    assert main(["train", *SMALL, *given, "--out", str(tmp_path)]) == 2
    assert "no track is left" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["exclude", "val"])
def test_a_list_of_which_no_name_is_in_the_data_is_refused(option, trained, tmp_path, capsys):
    """Otherwise a misspelt list would train on what it should leave out."""
    _, out = trained
    (tmp_path / "names.txt").write_text("clip-0\n")
    given = ["--cache", str(out / "cache"), f"--{option}", str(tmp_path / "names.txt"), "--out", str(tmp_path)]
    assert main(["train", *SMALL, *given]) == 2
    assert "none of its 1 names is a track or group of the data; these are for example" in capsys.readouterr().err


def test_a_list_that_is_no_text(trained, tmp_path, capsys):
    _, out = trained
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    given = ["--cache", str(out / "cache"), "--exclude", str(tmp_path / "names.txt"), "--out", str(tmp_path)]
    assert main(["train", *SMALL, *given]) == 2
    assert "is not a UTF-8 text" in capsys.readouterr().err


def test_other_data_than_the_cache_was_made_from_is_refused(data, trained, tmp_path, capsys):
    _, out = trained
    other = trees.jsonl(tmp_path / "other")
    words = ["train", *SMALL, "--cache", str(out / "cache"), "--out", str(tmp_path / "run"), "--data"]
    assert main([*words, str(other)]) == 2
    assert f"was made from mine={data.resolve()}, not from {other.resolve()}" in capsys.readouterr().err
    assert main([*words, f"mine={data}", "--steps", "1"]) == 0


def test_the_last_line_says_what_the_run_came_to(trained, tmp_path, capsys):
    _, out = trained
    (tmp_path / "none.txt").write_text("")
    given = ["--cache", str(out / "cache"), "--val", str(tmp_path / "none.txt"), "--out", str(tmp_path)]
    for expected in (
        f"step 2 of 2, not validated, since no video is held back: name some with --val, weights '{tmp_path}",
        "nothing to do: step 2 was the last of 2",
    ):
        assert main(["train", *SMALL, *given]) == 0
        assert expected in capsys.readouterr().out.splitlines()[-1]


def test_of_several_processes_one_makes_the_cache(tmp_path):
    """As those of torchrun, which all come without a cache. Here they are threads, each with a lock of its own."""
    both, made = threading.Barrier(2), []

    def fill():
        made.append(1)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # for the other one, which must not come
        (tmp_path / "meta.json").write_text("{}")

    threads = [threading.Thread(target=_once, args=(tmp_path, fill)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made == [1]
