"""Published checkpoints, and our own weights files. What is hostile or damaged: `test_torch_pickle.py`."""

import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sot_tracker.checkpoints import import_checkpoint, load_official, load_state_dict, save_state_dict
from sot_tracker.errors import UserError
from sot_tracker.nets import build

State = dict[str, Tensor]
FORMATS = {"zip": True, "stream": False}


def weights_of(model: str, seed: int = 0) -> State:
    torch.manual_seed(seed)
    return build(model).state_dict()


@pytest.fixture(scope="module")
def mvt() -> State:
    return weights_of("mvt")


@pytest.fixture
def training_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module `lib.train.admin.settings` with classes as the published files pickle them."""
    module = types.ModuleType("lib.train.admin.settings")
    for name in ("lib", "lib.train", "lib.train.admin"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in ("Settings", "AverageMeter"):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    return module


def official(net: State, package: types.ModuleType | None = None) -> dict[str, Any]:
    """The nesting of a published file (fact sheets, "Checkpoint")."""
    content: dict[str, Any] = {
        "epoch": 300,
        "net_type": "Fake",
        "net": net,
        "net_info": None,
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}},
            "param_groups": [{"lr": 1e-4}],
        },
        "stats": {"Loss/total": [0.5, 0.25]},
    }
    if package:
        settings, meter = package.Settings(), package.AverageMeter()
        settings.env, settings.multi_gpu, settings.size = {"lasot_dir": "/data"}, True, torch.Size([1, 2])
        meter.history = [0.5, 0.25]
        content |= {"settings": settings, "stats": {"Loss/total": meter}}
    return content


def save(path: Path, content: object, kind: str = "zip") -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=FORMATS[kind])
    return path


def refused(path: Path, model: str = "mvt") -> str:
    with pytest.raises(UserError) as caught:
        load_official(path, model)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# ---- genuine files


@pytest.mark.parametrize("kind", FORMATS)
def test_nested_file_with_training_classes(
    tmp_path: Path, mvt: State, training_package: types.ModuleType, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "ep0300.pth.tar", official(mvt, training_package), kind)
    monkeypatch.delitem(sys.modules, training_package.__name__)
    state = load_official(path, "mvt")
    assert list(state) == list(mvt)
    assert all(torch.equal(state[name], mvt[name]) for name in mvt)


@pytest.mark.parametrize("model", ["fermt", "fermt_nodau", "hit_tiny", "smat", "hcat", "hcat_n1"])
def test_every_family(tmp_path: Path, model: str) -> None:
    state = weights_of(model)
    loaded = load_official(save(tmp_path / "x.pth", official(state)), model)
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_bare_state_dict(tmp_path: Path, mvt: State) -> None:
    assert load_official(save(tmp_path / "x.pt", mvt), "mvt").keys() == mvt.keys()


def test_old_name_of_the_dual_attention_unit(tmp_path: Path) -> None:
    state = weights_of("fermt")
    old = {name.replace("backbone.dau.", "backbone.tau."): value for name, value in state.items()}
    assert old.keys() != state.keys()
    loaded = load_official(save(tmp_path / "x.pth", official(old)), "fermt")
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_counters_may_be_absent_and_halves_become_float32(tmp_path: Path, mvt: State) -> None:
    halves = {name: value.half() for name, value in mvt.items() if not name.endswith("num_batches_tracked")}
    loaded = load_official(save(tmp_path / "x.pth", official(halves)), "mvt")
    assert {value.dtype for value in loaded.values()} == {torch.float32, torch.int64}
    assert loaded.keys() == mvt.keys()


def test_parameters_views_and_strides(tmp_path: Path, mvt: State) -> None:
    """Tensors need not own their storage, nor be contiguous, nor be plain tensors."""
    odd = dict(mvt)
    name, bias = "feature_fusor.adj_layer.weight", "feature_fusor.adj_layer.bias"
    odd[name] = mvt[name].permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)
    odd[bias] = torch.nn.Parameter(torch.cat((torch.zeros(7), mvt[bias], torch.zeros(7)))[7:-7])
    for kind in FORMATS:
        loaded = load_official(save(tmp_path / "x.pth", official(odd), kind), "mvt")
        assert torch.equal(loaded[name], mvt[name])
        assert torch.equal(loaded[bias], mvt[bias])


# ---- files that do not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("neck.BN_x.weight"), "1 missing: neck.BN_x.weight"),
        (lambda s: s.update(head=torch.zeros(2)), "1 extra: head"),
        (lambda s: s.update({"neck.BN_z.bias": torch.zeros(3)}), r"1 misshapen: neck.BN_z.bias (3,) instead of (128,)"),
        (
            lambda s: s.update({"neck.BN_z.bias": torch.zeros(128).long()}),
            "of another kind: neck.BN_z.bias torch.int64",
        ),
        (lambda s: s.update({"neck.BN_z.bias": torch.full((128,), torch.nan)}), "1 not finite: neck.BN_z.bias"),
    ],
    ids=["missing", "extra", "misshapen", "integers", "nan"],
)
def test_what_does_not_fit_is_listed_and_nothing_written(
    tmp_path: Path, mvt: State, change: Callable[[State], object], message: str
) -> None:
    state, out = dict(mvt), tmp_path / "out.safetensors"
    change(state)
    path = save(tmp_path / "x.pth", official(state))
    assert message in refused(path)
    with pytest.raises(UserError):
        import_checkpoint(path, "mvt", out)
    assert [file.name for file in tmp_path.iterdir()] == ["x.pth"]


def test_long_lists_are_cut(tmp_path: Path, mvt: State) -> None:
    message = refused(save(tmp_path / "x.pth", official(mvt)), "hcat")
    assert "173 missing" not in message  # counters are no matter
    assert "missing: " in message
    assert "more" in message
    assert len(message) < 3000


def test_foreign_file_is_called_so_before_names_are_listed(tmp_path: Path) -> None:
    message = refused(
        save(tmp_path / "x.pth", {"net": {f"layer{i}.weight": torch.ones(1) for i in range(400)}}), "hit_tiny"
    )
    assert "x.pth is not a checkpoint of hit_tiny (0 of the " in message
    assert message.index("is not a checkpoint") < message.index("missing: ")


def test_file_says_what_it_is_where_it_is_loaded_as_another(tmp_path: Path, mvt: State) -> None:
    path = tmp_path / "x.safetensors"
    save_state_dict(path, "mvt", mvt, {"recipe": "{}", "data": "got10k", "steps": "900"})
    with pytest.raises(UserError, match=r"weights of mvt \(data got10k, steps 900\), not weights of smat"):
        load_state_dict(path, build("smat"), "smat")


def test_index_tables_must_be_ours(tmp_path: Path) -> None:
    state = weights_of("hit_tiny")
    name = next(name for name in state if name.endswith("attention_bias_idxs"))
    state[name] = state[name].flip(0)
    assert f"differ from ours: {name}" in refused(save(tmp_path / "x.pth", official(state)), "hit_tiny")
    del state[name]
    assert f"1 missing: {name}" in refused(save(tmp_path / "x.pth", official(state)), "hit_tiny")


def test_shapes_are_compared_before_numbers_are_made(tmp_path: Path, mvt: State) -> None:
    """A tensor of stride 0 claims 4 TB with four bytes."""
    state = mvt | {"neck.BN_x.weight": torch.zeros(1).expand(1 << 40)}
    assert "misshapen: neck.BN_x.weight (1099511627776,)" in refused(save(tmp_path / "x.pth", official(state)))


# ---- our own files


def test_import_writes_float32_with_its_origin(tmp_path: Path, mvt: State) -> None:
    path, out = save(tmp_path / "ep0100.pth.tar", official(mvt)), tmp_path / "new" / "mvt.safetensors"
    import_checkpoint(path, "mvt", out)
    with safetensors.safe_open(out, "pt") as file:
        metadata = file.metadata()
    assert metadata["model"] == "mvt"
    assert metadata["source"] == "ep0100.pth.tar"
    assert len(metadata["source_sha256"]) == 64
    net = build("mvt")
    load_state_dict(out, net, "mvt")
    assert all(torch.equal(value, mvt[name]) for name, value in net.state_dict().items())
    assert [file.name for file in out.parent.iterdir()] == ["mvt.safetensors"]


def test_import_replaces_an_older_file_whole_or_not_at_all(tmp_path: Path, mvt: State) -> None:
    out = tmp_path / "mvt.safetensors"
    out.write_bytes(b"older")
    with pytest.raises(UserError):
        import_checkpoint(save(tmp_path / "bad.pth", {}), "mvt", out)
    assert out.read_bytes() == b"older"
    import_checkpoint(save(tmp_path / "good.pth", official(mvt)), "mvt", out)
    load_state_dict(out, build("mvt"), "mvt")


def test_folder_that_cannot_be_written(tmp_path: Path, mvt: State) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        save_state_dict(tmp_path / "file" / "x.safetensors", "mvt", mvt, {})


def test_halves_and_absent_tables_load(tmp_path: Path) -> None:
    state, path = weights_of("hit_tiny"), tmp_path / "x.safetensors"
    halves = {name: value.half() for name, value in state.items() if value.is_floating_point()}
    save_state_dict(path, "hit_tiny", halves, {})
    net = build("hit_tiny")
    load_state_dict(path, net, "hit_tiny")
    assert all(p.dtype == torch.float32 for p in net.parameters())
    assert all(torch.equal(net.state_dict()[name], value.float()) for name, value in halves.items())


def test_weights_of_half_size_say_how_to_go_on(tmp_path: Path) -> None:
    recipe = json.dumps({"template_size": 64, "search_size": 128})
    state = dict(build("lite").state_dict())
    state["neck.norm_cosines.weight"] = torch.ones(16)
    save_state_dict(tmp_path / "half.safetensors", "lite", state, {"recipe": recipe})
    with pytest.raises(UserError, match=r"trained on patches of 64 and 128 pixels, .* continue the training .* --init"):
        load_state_dict(tmp_path / "half.safetensors", build("lite"), "lite")


def test_weights_of_another_model(tmp_path: Path, mvt: State) -> None:
    path, net = tmp_path / "x.safetensors", build("hcat_n1")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    save_state_dict(path, "mvt", mvt, {})
    with pytest.raises(UserError, match=r"holds weights of mvt, not weights of hcat_n1: give --model mvt") as caught:
        load_state_dict(path, net, "hcat_n1")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("content", [None, b"", b"\x08\0\0\0\0\0\0\0nonsense", b"\xff" * 64])
def test_unreadable_own_files(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="does not exist" if content is None else "not a readable") as caught:
        load_state_dict(path, build("hcat_n1"), "hcat_n1")
    assert "\n" not in str(caught.value)


def test_command(tmp_path: Path, mvt: State, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    from sot_tracker.commands import import_checkpoint as command

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    path, out = save(tmp_path / "x.pth", official(mvt)), tmp_path / "x.safetensors"
    assert command.run(parser.parse_args([str(path), "--model", "mvt", "--out", str(out)])) == 0
    reported = capsys.readouterr().out
    assert str(out) in reported
    assert "skipped: epoch, net_type, net_info, optimizer, stats" in reported
    with pytest.raises(UserError, match=r"\.safetensors"):
        command.run(parser.parse_args([str(path), "--model", "mvt", "--out", str(tmp_path / "x.bin")]))
    with pytest.raises(UserError, match="unknown model"):
        command.run(parser.parse_args([str(path), "--model", "siamfc", "--out", str(out)]))
