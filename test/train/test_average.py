"""The mean of weights: what is averaged, and where its batch norms' statistics come from."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from sot_tracker.checkpoints import save_state_dict  # noqa: E402
from sot_tracker.cli import main  # noqa: E402
from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.train import average  # noqa: E402
from sot_tracker.train.feed import build_net  # noqa: E402
from sot_tracker.train.recipe import scratch  # noqa: E402

MODEL = "hcat_n1"
NORM = "backbone.0.body.bn1.running_mean"


def recipe(seed=0):
    return dataclasses.replace(scratch(MODEL), template_size=64, search_size=64, seed=seed, precision="fp32")


@pytest.fixture(scope="module")
def states():
    """The tensors of two networks of other random numbers. Not to be changed."""
    return [build_net(MODEL, recipe(seed)).state_dict() for seed in (1, 2)]


@pytest.fixture
def files(states, tmp_path):
    """Their weights files, and the tensors."""
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path, state in zip(paths, states, strict=True):
        save_state_dict(path, MODEL, state, {})
    return paths, states


def test_every_weight_is_the_mean(files):
    paths, (a, b) = files
    net = average.mean(MODEL, paths, recipe(), None)
    assert not net.training
    for name, value in net.state_dict().items():
        expected = (a[name] + b[name]) / 2 if value.is_floating_point() else a[name]
        assert torch.allclose(value, expected), name
    assert not torch.equal(a["class_embed.layers.0.weight"], b["class_embed.layers.0.weight"])


def test_norms_that_differ_need_pictures(files, small_cache, monkeypatch):
    monkeypatch.setattr(average, "_BATCH", 4)
    monkeypatch.setattr(average, "_BATCHES", 2)
    paths, (a, b) = files
    b = {**b, NORM: b[NORM] + 1}
    save_state_dict(paths[1], MODEL, b, {})
    with pytest.raises(UserError, match=f"'{NORM}' differs .* give --cache"):
        average.mean(MODEL, paths, recipe(), None)
    state = average.mean(MODEL, paths, recipe(), small_cache).state_dict()
    assert state[NORM].abs().max() > 0
    assert not torch.allclose(state[NORM], (a[NORM] + b[NORM]) / 2), "of the pictures, not of the files"
    assert torch.equal(average.mean(MODEL, paths, recipe(), small_cache).state_dict()[NORM], state[NORM]), "repeats"


def test_command_writes_a_file_that_fits(files, tmp_path, capsys):
    paths, (a, b) = files
    out = tmp_path / "mean.safetensors"
    assert main(["average", "--model", MODEL, "--out", str(out), *map(str, paths)]) == 0
    name = "input_proj.weight"
    assert torch.allclose(load_file(out)[name], (a[name] + b[name]) / 2)
    assert "mean of 2 weights" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a.safetensors"], "give two or more"),
        (["a.safetensors", "nowhere.safetensors"], "does not exist"),
        (["a.safetensors", "b.safetensors", "--model", "smat"], "smat"),
        (["a.safetensors", "b.safetensors", "--model", "csrt"], "csrt"),
        (["a.safetensors", "b.safetensors", "--cache", "nowhere"], "no finished cache"),
        (["a.safetensors", "b.safetensors", "--out", "mean.bin"], "must end in .safetensors"),
    ],
)
def test_mistakes_are_reported_in_one_line_and_nothing_is_written(given, message, files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["average", "--model", MODEL, "--out", "mean.safetensors", *given]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "mean.safetensors").exists()


@pytest.mark.parametrize("form", ["a.safetensors", "./a.safetensors", "link.safetensors"])
def test_output_that_is_an_input_is_refused(form, files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "a.safetensors")
    before = (tmp_path / "a.safetensors").read_bytes()
    assert main(["average", "--model", MODEL, "--out", form, "a.safetensors", "b.safetensors"]) == 2
    assert "is one of the files to average" in capsys.readouterr().err
    assert (tmp_path / "a.safetensors").read_bytes() == before
