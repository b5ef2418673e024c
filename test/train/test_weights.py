"""Starting from files: names of timm's backbones, our own checkpoints, other sizes, and what is reported."""

from __future__ import annotations

import re

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from sot_tracker import nets  # noqa: E402
from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.nets.pair_bias import PairBias  # noqa: E402
from sot_tracker.train import weights  # noqa: E402


def timm_resnet(name):
    return re.sub(r"^backbone\.0\.body\.", "", name) if name.startswith("backbone.") else None


def timm_vit(name):
    name = re.sub(r"^backbone\.", "", name) if name.startswith("backbone.") else ""
    return name if re.match(r"(blocks|norm|patch_embed|cls_token|pos_embed$)", name) else None


def timm_mobilevit(name):
    """From our names back to timm's, written out apart from the rules under test."""
    if not name.startswith("backbone."):
        return None
    name = name.removeprefix("backbone.")
    name = re.sub(r"^conv_1\.block", "stem", name)
    name = re.sub(r"^layer_(\d)", lambda m: f"stages.{int(m[1]) - 1}", name)
    name = name.replace("block.exp_1x1.block", "conv1_1x1").replace("block.conv_3x3.block", "conv2_kxk")
    name = name.replace("block.red_1x1.block", "conv3_1x1")
    name = re.sub(r"local_rep\.(conv_3x3|0)\.block", "conv_kxk", name)
    name = re.sub(r"local_rep\.(conv_1x1|1)\.block\.conv", "conv_1x1", name)
    name = name.replace("conv_proj.block", "conv_proj").replace("fusion.block", "conv_fusion")
    name = re.sub(r"global_rep\.(\d)\.(weight|bias)", r"norm.\2", name)
    name = re.sub(r"global_rep\.(\d)\.pre_norm_(?:mha|attn)\.0", r"transformer.\1.norm1", name)
    name = re.sub(r"global_rep\.(\d)\.pre_norm_mha\.1\.qkv_proj", r"transformer.\1.attn.qkv", name)
    name = re.sub(r"global_rep\.(\d)\.pre_norm_mha\.1\.out_proj", r"transformer.\1.attn.proj", name)
    name = re.sub(
        r"global_rep\.(\d)\.pre_norm_attn\.1\.(qkv|out)_proj\.block\.conv", r"transformer.\1.attn.\2_proj", name
    )
    name = re.sub(r"global_rep\.(\d)\.pre_norm_ffn\.0", r"transformer.\1.norm2", name)
    name = re.sub(r"global_rep\.(\d)\.pre_norm_ffn\.1(\.block\.conv)?", r"transformer.\1.mlp.fc1", name)
    name = re.sub(r"global_rep\.(\d)\.pre_norm_ffn\.[34](\.block\.conv)?", r"transformer.\1.mlp.fc2", name)
    return (
        name.replace(".norm.", ".bn.") if ".transformer." not in name and not re.search(r"\.1\.norm\.", name) else name
    )


def timm_levit(name, depths=(2, 3, 4)):
    match = re.match(r"backbone\.body\.(patch_embed|blocks)\.(\d+)\.(.+)", name)
    if match is None or "attention_bias" in name:
        return None
    kind, number, rest = match[1], int(match[2]), match[3]
    leaf = re.search(r"(c|bn)\.(\w+)$", rest)
    tail = f"linear.{leaf[2]}" if leaf[1] == "c" else f"bn.{leaf[2]}"
    if kind == "patch_embed":
        return f"stem.conv{number // 2 + 1}.{tail}"
    starts = {0: 0, 1: 2 * depths[0], 2: 2 * (depths[0] + 1 + depths[1])}
    stage = max(s for s, start in starts.items() if number >= start)
    at = number - starts[stage]
    middle = re.sub(r"^m\.", "", rest[: leaf.start()]).strip(".")
    if stage and at < 2:
        if at == 0:
            part = {"kv": "kv", "q.1": "q.ln", "proj.1": "proj.ln"}[middle]
            return f"stages.{stage}.downsample.attn_downsample.{part}.{tail}"
        return f"stages.{stage}.downsample.mlp.{ {'0': 'ln1', '2': 'ln2'}[middle] }.{tail}"
    block, part = divmod(at - (2 if stage else 0), 2)
    inner = (
        {"qkv": "attn.qkv", "proj.1": "attn.proj.ln"}[middle] if part == 0 else {"0": "mlp.ln1", "2": "mlp.ln2"}[middle]
    )
    return f"stages.{stage}.blocks.{block}.{inner}.{tail}"


@pytest.mark.parametrize(
    ("model", "renamed"),
    [
        ("hcat_n1", timm_resnet),
        ("fermt", timm_vit),
        ("mvt", timm_mobilevit),
        ("smat", timm_mobilevit),
        ("hit_tiny", timm_levit),
    ],
)
def test_every_tensor_of_the_backbone_is_found(model, renamed, tmp_path):
    net = nets.build(model)
    given = {}
    for name, value in net.state_dict().items():
        theirs = renamed(name)
        if theirs is not None:
            given[theirs] = torch.rand_like(value) if value.is_floating_point() else value.clone()
    given["head.fc.weight"] = torch.zeros(3)
    save_file(given, tmp_path / "backbone.safetensors")
    loaded = weights.initialise(net, tmp_path / "backbone.safetensors", nets.family_of(model))
    assert loaded.unused == ("head.fc.weight",)
    assert loaded.misshapen == ()
    assert loaded.taken == len(given) - 1
    now = net.state_dict()
    for name in now:
        theirs = renamed(name)
        if theirs is not None:
            assert torch.equal(now[name], given[theirs]), name
    assert all(renamed(name) is None for name in loaded.left)
    assert "head.fc.weight" in str(loaded)


def test_vit_positions_are_carried_over(tmp_path):
    net = nets.build("fermt")
    save_file({"pos_embed": torch.full((1, 197, 192), 0.5)}, tmp_path / "vit.safetensors")
    weights.initialise(net, tmp_path / "vit.safetensors", nets.family_of("fermt"))
    assert torch.allclose(net.backbone.pos_embed_x, torch.full((1, 256, 192), 0.5), atol=1e-6)


def test_half_size_weights_fit_the_full_size(tmp_path):
    """Cells of the correlation: a twice as fine grid of constant parts answers as the coarse one did."""
    torch.manual_seed(0)
    small, large = (nets.build("smat", template_size=s, search_size=2 * s) for s in (64, 128))
    save_file(small.state_dict(), tmp_path / "small.safetensors")
    loaded = weights.initialise(large, tmp_path / "small.safetensors", nets.family_of("smat"))
    assert loaded.misshapen == ()
    assert loaded.left == ()
    z, x = torch.rand(1, 384, 4, 4), torch.rand(1, 384, 16, 16)
    fine = z.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        assert torch.allclose(large.feature_fusor(fine, x), small.feature_fusor(z, x), atol=1e-3)


@torch.no_grad()
def test_half_size_biases_of_hit_fit_the_full_size(tmp_path):
    half, full = (nets.build("hit_tiny", template_size=size, search_size=2 * size) for size in (64, 128))
    for name, value in half.named_parameters():
        if name.endswith("attention_biases"):
            value.copy_(torch.randn_like(value))
    save_file(half.state_dict(), tmp_path / "half.safetensors")
    loaded = weights.initialise(full, tmp_path / "half.safetensors", nets.family_of("hit_tiny"))
    assert (loaded.misshapen, loaded.left) == ((), ())
    small, large = (
        next(m for m in net.modules() if isinstance(m, PairBias) and m.stride == 1).bias() for net in (half, full)
    )
    assert (small.shape[1], large.shape[1]) == (8 * 8 + 4 * 4, 16 * 16 + 8 * 8)
    for (row, column), (to_row, to_column) in (((0, 0), (3, 5)), ((2, 2), (6, 1)), ((7, 0), (0, 7))):
        old = small[:, row * 8 + column, to_row * 8 + to_column]
        assert torch.equal(large[:, row * 32 + column * 2, to_row * 32 + to_column * 2], old)
    assert torch.equal(large[:, 4 * 16 + 6, 256 + 2 * 8 + 4], small[:, 2 * 8 + 3, 64 + 1 * 4 + 2]), "across pictures"


def test_checkpoint_gives_its_average(tmp_path):
    net = nets.build("smat")
    average = {name: torch.full_like(value, 0.25) for name, value in net.state_dict().items()}
    torch.save({"step": 1, "net": net.state_dict(), "ema": average}, tmp_path / "checkpoint.pt")
    weights.initialise(net, tmp_path / "checkpoint.pt", nets.family_of("smat"))
    assert all((p == 0.25).all() for p in net.parameters())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.safetensors", None, "does not exist"),
        ("bad.safetensors", b"xx", "is not a readable safetensors file"),
        ("bad.pt", b"xx", "damaged"),
        ("other.safetensors", {"a": 1}, "nothing that fits"),
        ("misshapen.safetensors", {"stages.0.0.conv1_1x1.conv.weight": 1}, "nothing that fits"),
    ],
)
def test_files_that_do_not_help(name, content, message, tmp_path):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content:
        save_file({key: torch.zeros(2, 2) for key in content}, tmp_path / name)
    with pytest.raises(UserError, match=message):
        weights.initialise(nets.build("smat"), tmp_path / name, nets.family_of("smat"))
