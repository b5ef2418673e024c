"""The papers' own variants: what tells them from the networks they vary."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from sot_tracker.catalog import network_spec
from sot_tracker.nets import build, cost
from sot_tracker.nets.hit_pvt import ReducedAttention, to_maps, to_tokens
from sot_tracker.nets.smat import CrossLayer, SeparableAttention, SeparableLayer
from sot_tracker.nets.transt import Bottleneck

SIZES = {"template_size": 64, "search_size": 128}


def pair(batch: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 3, 64, 64, generator=generator), torch.rand(batch, 3, 128, 128, generator=generator)


def small(name: str, **fields: object) -> nn.Module:
    torch.manual_seed(0)
    return build(name, **SIZES, **fields).eval()


def separable(d: int, ffn: int) -> int:
    """Parameters of one layer of separable attention, from the fact sheet's section 1.3."""
    return 2 * d + (d + 1) * (1 + 2 * d) + (d + 1) * d + 2 * d + (d + 1) * ffn + (ffn + 1) * d


def test_parameters_are_those_of_the_layers_that_differ() -> None:
    smat = cost.parameters(build("smat"))
    assert cost.parameters(build("smat_a")) == cost.parameters(build("smat_b")) == smat
    assert cost.parameters(build("smat_c")) == smat + 2 * separable(128, 256) + 4 * separable(192, 384)
    standard = 2 * (128**2 - 1) + 4 * (192**2 - 1)  # four projections of d x d in place of three, and one score less
    assert cost.parameters(build("smat_standard")) == smat + standard


def test_transt_has_the_size_of_its_paper() -> None:
    """23.0 million (Chen et al., CVPR 2021)."""
    assert cost.parameters(build("transt_h")) / 1e6 == pytest.approx(23.0, abs=0.05)


def test_pvt_has_the_size_of_its_paper() -> None:
    """24.5 million with a classifier of 513 000 and tables of positions of one picture of 224 pixels (PVT, table 1)."""
    backbone = build("hit_pvt").backbone
    positions = sum(p.numel() for name, p in backbone.named_parameters() if "pos_embed" in name)
    theirs = 56**2 * 64 + 28**2 * 128 + 14**2 * 320 + (7**2 + 1) * 512 + 512 * 1001 + 3 * 512
    assert (cost.parameters(backbone) - positions + theirs) / 1e6 == pytest.approx(24.5, abs=0.05)


@pytest.mark.parametrize(
    ("name", "search", "template"),
    [
        ("smat_a", 2049.6, 401.3),
        ("smat_b", 2239.0, 211.9),
        ("smat_c", 2863.4, 211.9),
        ("smat_standard", 2576.6, 211.9),
        ("transt_h", 22838.5, 2571.9),
    ],
)
def test_cost_in_million_macs(name: str, search: float, template: float) -> None:
    counts = cost.macs(build(name), network_spec(name))
    assert (counts["search"] / 1e6, counts["template"] / 1e6) == pytest.approx((search, template), abs=0.1)


@torch.no_grad()
def test_variant_a_computes_the_template_once_and_lets_the_regions_meet_in_the_correlation() -> None:
    net, (z, x) = small("smat_a"), pair()
    cached = net.template(z)
    assert [tuple(c.shape) for c in cached] == [(1, 384, 4, 4)]
    seen: list[Tensor] = []
    net.neck.register_forward_hook(lambda _module, given, _made: seen.append(given[1]))
    net(z, x)
    net(1 - z, x)
    assert torch.equal(*seen), "the search region's features do not depend on the template"


@torch.no_grad()
@pytest.mark.parametrize("name", ["smat", "smat_b", "smat_c", "smat_standard"])
def test_in_all_others_both_regions_see_each_other_in_the_backbone(name: str) -> None:
    net, (z, x) = small(name), pair()
    seen: list[tuple[Tensor, Tensor]] = []
    net.neck.register_forward_hook(lambda _module, given, _made: seen.append(given))
    for given in ((z, x), (1 - z, x), (z, 1 - x)):
        net(*given)
    (z_own, x_own), (_, x_other), (z_other, _) = seen
    assert not torch.equal(x_own, x_other)
    assert not torch.equal(z_own, z_other)


@torch.no_grad()
def test_cross_attention_takes_the_context_of_the_other_region_alone() -> None:
    torch.manual_seed(0)
    attention = SeparableAttention(8)
    own, other = (attention.qkv_proj(torch.randn(1, 8, 4, n)) for n in (9, 4))
    before = attention.attend(own, other)
    own[..., 0] += 1
    after = attention.attend(own, other)
    assert torch.equal(before[..., 1:], after[..., 1:])
    assert not torch.equal(before[..., 0], after[..., 0])
    other[..., 0] += 1
    assert not torch.isclose(after, attention.attend(own, other)).all(3).any()


def test_variant_c_alternates() -> None:
    kinds = [type(layer) for layer in build("smat_c").backbone.layer_4[1].global_rep]
    assert kinds[:-1] == [SeparableLayer, CrossLayer] * 4


@torch.no_grad()
def test_hierarchical_attention_reads_what_the_search_branch_has_just_made() -> None:
    hierarchical, juxtaposed = small("transt_h", layers=1), small("transt_h", layers=1, hierarchical=False)
    juxtaposed.load_state_dict(hierarchical.state_dict())
    seen: list[Tensor] = []
    for net in (hierarchical, juxtaposed):
        net.layers[0].cross_template.register_forward_pre_hook(lambda _module, given: seen.append(given[2]))
        net.layers[0].cross_search.register_forward_hook(lambda _module, given, made: seen.extend((given[0], made)))
        net(*pair())
    (_, found, read), (entered, _, read_beside) = seen[:3], seen[3:]
    assert torch.equal(found, read)
    assert torch.equal(entered, read_beside)


@torch.no_grad()
def test_a_dilated_stage_keeps_its_grid() -> None:
    block = Bottleneck(8, 4, dilation=2, projected=True).eval()
    assert block(torch.rand(1, 8, 6, 6)).shape == (1, 16, 6, 6)
    assert small("transt_h").tokens(pair()[1]).shape == (1, 256, 256)


def test_tokens_of_both_images_go_to_maps_and_back() -> None:
    tokens = torch.randn(2, 16 + 4, 3)
    x, z = to_maps(tokens, (4, 2))
    assert torch.equal(x[1, :, 2, 3], tokens[1, 2 * 4 + 3])
    assert torch.equal(z[0, :, 1, 0], tokens[0, 16 + 2])
    assert torch.equal(to_tokens([x, z]), tokens)


@torch.no_grad()
def test_reduced_attention_reads_squares_of_each_image() -> None:
    """Changing one token changes what all see, by the key of its square alone."""
    torch.manual_seed(0)
    layer = ReducedAttention(8, 2, 2, (4, 2)).eval()
    tokens = torch.randn(1, 20, 8)
    keys: list[Tensor] = []
    layer.kv.register_forward_pre_hook(lambda _module, given: keys.append(given[0]))
    layer(tokens)
    other = tokens.clone()
    other[0, 5] += 1  # row 1, column 1 of the search grid
    layer(other)
    changed = (keys[0] != keys[1]).any(2)[0]
    assert changed.tolist() == [True, False, False, False, False]
