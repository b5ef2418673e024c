"""FERMT's attention patterns, and what of it is computed once."""

import itertools

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.nets import blocks, build, fermt_strips
from sot_tracker.nets.drop_path import DropPath
from sot_tracker.nets.fermt import PATTERNS, Block, Fermt, FermtConfig, attend

MIXES = [
    *[(name,) * 3 for name in PATTERNS],
    *itertools.permutations(("A2", "A4", "A5")),
    ("A1", "A3", "A2"),
    ("A2", "A1", "A5"),
    ("A2", "A5", "A1"),
    ("A4", "A1", "A1"),
]


def small(**fields: object) -> Fermt:
    torch.manual_seed(0)
    net = build("fermt", template_size=64, search_size=128, **fields).eval()
    assert isinstance(net, Fermt)
    return net


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, 64, 64, generator=generator), torch.rand(2, 3, 128, 128, generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("patterns", MIXES, ids="-".join)
def test_any_mix_is_the_same_cached(patterns: tuple[str, ...]) -> None:
    net = small(patterns=patterns)
    z, x = pair()
    expected, ours = net(z, x), net.search(net.template(z), x)
    for name, value in expected.items():
        assert torch.allclose(ours[name], value, atol=1e-6), name


def rows(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k / 4) v of one sample and one head, written out."""
    return torch.softmax(query @ key.T / 4, dim=1) @ value


@pytest.mark.parametrize(
    ("name", "template", "search"),
    [
        ("A1", lambda t, s: rows(*t), lambda t, s: rows(*s)),
        ("A2", lambda t, s: rows(*t), lambda t, s: rows(s[0], torch.cat([t[1], s[1]]), torch.cat([t[2], s[2]]))),
        (
            "A3",
            lambda t, s: rows(t[0], torch.cat([t[1], s[1]]), torch.cat([t[2], s[2]])),
            lambda t, s: rows(s[0], torch.cat([t[1], s[1]]), torch.cat([t[2], s[2]])),
        ),
        ("A4", lambda t, s: t[0], lambda t, s: rows(s[0], t[1], t[2])),
        ("A5", lambda t, s: rows(t[0], s[1], s[2]), lambda t, s: rows(s[0], t[1], t[2])),
    ],
)
def test_patterns_as_the_fact_sheet_writes_them(name: str, template, search) -> None:
    generator = torch.Generator().manual_seed(1)
    t, s = (tuple(torch.randn(1, n, 1, 16, generator=generator) for _ in range(3)) for n in (4, 9))
    flat_t, flat_s = ([part[0, :, 0] for part in stream] for stream in (t, s))
    pattern = PATTERNS[name]
    assert torch.allclose(attend(pattern.template, t, t, s)[0, 0], template(flat_t, flat_s), atol=1e-6)
    assert torch.allclose(attend(pattern.search, s, t, s)[0, 0], search(flat_t, flat_s), atol=1e-6)


@torch.no_grad()
def test_published_layout_keeps_what_the_fact_sheet_lists() -> None:
    """Section 8: K and V of blocks 0 to 5, then Q, K, V and the rows that enter block 6; 0.79 MB."""
    cached = build("fermt").eval().template(torch.zeros(1, 3, 128, 128))
    assert [tuple(c.shape) for c in cached] == [(1, 64, 12, 16)] * 15 + [(1, 64, 192)]
    assert sum(4 * c.numel() for c in cached) == 786432


@torch.no_grad()
def test_the_last_block_computes_only_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    net, asked = small(), []
    whole = Block.qkv

    def noted(block: Block, x: Tensor, wanted: str = "qkv"):
        asked.append(wanted)
        return whole(block, x, wanted)

    z, x = pair()
    cached = net.template(z)
    monkeypatch.setattr(Block, "qkv", noted)
    net.search(cached, x)
    assert asked == ["qkv"] * 7 + ["qkv", "qkv"] * 4 + ["kv", "q"]


@torch.no_grad()
def test_parts_of_the_projection_are_those_of_the_whole() -> None:
    block, x = small().backbone.layers()[0], torch.randn(2, 5, 192)
    q, k, v = block.qkv(x)
    assert torch.allclose(block.qkv(x, "q")[0], q, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(block.qkv(x, "kv")[1:], (k, v), strict=True))
    assert block.qkv(x, "kv")[0] is None


@torch.no_grad()
def test_in_strips_the_dual_attention_unit_gives_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = small().backbone
    for parameter in backbone.dau.parameters():
        nn.init.normal_(parameter)
    image, cuts = torch.randn(2, 3, 64, 128), []
    exact = backbone.embed(image, torch.zeros(1))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(fermt_strips, "cut", lambda x, cut=fermt_strips.cut: cuts.append(x) or cut(x))
    assert torch.allclose(backbone.embed(image, torch.zeros(1)), exact, atol=1e-4 * float(exact.abs().max()))
    assert len(cuts) == 1, "an exported graph is in strips"


@torch.no_grad()
def test_strips_compute_in_the_precision_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = small().backbone.bfloat16()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert backbone.embed(torch.randn(1, 3, 64, 64).bfloat16(), torch.zeros(1).bfloat16()).dtype == torch.bfloat16


@torch.no_grad()
def test_attention_is_written_out_in_an_exported_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = torch.randn(3, 1, 2, 4, 8).unbind(0)
    fused, plain = torch.nn.functional.scaled_dot_product_attention, blocks.attention(query, key, value)
    calls: list[int] = []
    monkeypatch.setattr(blocks.F, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or fused(*a, **k))
    blocks.attention(query, key, value)
    assert len(calls) == 1, (
        "runtimes do not fuse what the exporter makes of torch's operator, but torch is faster with it"
    )
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.allclose(blocks.attention(query, key, value), plain, atol=1e-6)
    assert len(calls) == 1


def test_positions_are_resized_from_the_square_table() -> None:
    backbone = small().backbone
    with torch.no_grad():
        backbone.pos_embed[:, 1:] = torch.arange(14).repeat_interleave(14)[None, :, None] / 13.0  # row number, 0..1
    backbone.reset_positions()
    for table, g in ((backbone.pos_embed_z, 4), (backbone.pos_embed_x, 8)):
        grid = table.detach().reshape(g, g, 192)
        assert torch.allclose(grid, grid[:, :1, :1].expand_as(grid), atol=1e-5)  # same in a row, same in all channels
        assert (grid[1:, 0, 0] > grid[:-1, 0, 0]).all()


def test_without_dual_attention_the_image_goes_in_unchanged() -> None:
    net = small(dual_attention=False)
    image = torch.rand(1, 3, 64, 64)
    assert net.backbone.dau(image) is image
    assert not [name for name in net.state_dict() if "dau" in name]


def test_drop_path_grows_with_depth_and_keeps_the_mean() -> None:
    rates = [block.drop_path.rate for block in Fermt(FermtConfig()).backbone.layers()]
    assert rates == pytest.approx([0.1 * i / 11 for i in range(12)])
    drop, ones = DropPath(0.25).train(), torch.ones(4000, 2, 3)
    torch.manual_seed(0)
    out = drop(ones)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out.flatten(1).min(1).values == out.flatten(1).max(1).values).all()  # whole samples
    assert out.mean() == pytest.approx(1.0, abs=0.05)
    assert drop.eval()(ones) is ones


def test_exact_gelu() -> None:
    """tanh-GELU moves the published maps by 2e-5 only (section 14), too little to show in boxes."""
    x = torch.linspace(-3, 3, 50)
    assert not torch.allclose(F.gelu(x), F.gelu(x, approximate="tanh"), atol=1e-5)
    block = small().backbone.layers()[0]
    block.attn["proj"].weight.data.zero_()
    with torch.no_grad():
        tokens = torch.randn(1, 4, 192)
        hidden = block.mlp["fc1"](block.norm2(tokens))
        expected = tokens + block.mlp["fc2"](0.5 * hidden * (1 + torch.erf(hidden / 2**0.5)))
        assert torch.allclose(block.finish(tokens, torch.zeros(1, 12, 4, 16)), expected, atol=1e-6)
