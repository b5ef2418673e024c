"""Weights that a training leaves: whole or not there, and they say what they are."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import save  # noqa: E402

from sot_tracker.checkpoints import load_state_dict, read_safetensors  # noqa: E402
from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.nets import build  # noqa: E402
from sot_tracker.storage import packed  # noqa: E402
from sot_tracker.train import state, weights  # noqa: E402
from sot_tracker.train.recipe import Recipe  # noqa: E402


def test_weights_say_model_recipe_data_and_steps(tmp_path: Path) -> None:
    net, path = torch.nn.Linear(2, 2).half(), tmp_path / "model.safetensors"
    state.export_weights(path, net, "smat", state.origin(Recipe(steps=9, seed=5), ["synth", "davis", "synth"], 7))
    metadata, tensors = read_safetensors(path)
    assert metadata["model"] == "smat"
    assert json.loads(metadata["recipe"])["seed"] == 5
    assert (metadata["data"], metadata["steps"]) == ("davis, synth", "7")
    assert tensors["weight"].dtype == torch.float32
    with pytest.raises(UserError, match=r"holds weights of smat \(data davis, synth, steps 7\), not weights of mvt"):
        load_state_dict(path, build("mvt"), "mvt")


def test_checkpoint_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        state.save(tmp_path / "file" / "checkpoint.pt", {"step": 1})


def test_checkpoint_on_a_disk_that_gets_full(tmp_path: Path) -> None:
    """torch.save ends its archive although the file failed, and raises an error of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*: File too large"):
            state.save(tmp_path / "checkpoint.pt", {str(i): torch.zeros(10_000) for i in range(10)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_none_of_torch_gives_no_advice_to_run_it(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"\x00\x00\x00 ftypisom, a video")
    with pytest.raises(UserError, match=r"x\.pt' is not a checkpoint of ours or is damaged$"):
        state.load(tmp_path / "x.pt")


def test_a_model_folder_is_read_by_its_weights_also_in_int8(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(save(packed({"w": torch.ones(256, 256)}, "int8")))
    assert torch.allclose(weights.read(tmp_path)["w"].float(), torch.ones(256, 256), atol=0.01)
    with pytest.raises(UserError, match=r"weights\.safetensors does not exist"):
        weights.read(tmp_path / "..")


@pytest.mark.parametrize("content", [[1, 2], "text", 3, None])
def test_a_file_of_another_content_is_one_line(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt' is not a checkpoint of ours"):
        state.load(tmp_path / "x.pt")


@pytest.mark.parametrize("content", [{"ema": 3}, {"a": "text"}, {"ema": {"w": [1.0]}}])
def test_a_file_without_weights_is_one_line(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt' holds no weights"):
        weights.read(tmp_path / "x.pt")
