"""HiT's position encoding, its batch norms in an exported graph, its bridge."""

import hashlib

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from sot_tracker.nets import build
from sot_tracker.nets.hit import Hit, LinearBN, Subsample
from sot_tracker.nets.pair_bias import PairBias, pair_indices


def lively(name: str = "hit_tiny") -> Hit:
    """Small grids, and weights that leave no branch at zero as the initialisation does."""
    torch.manual_seed(0)
    net = build(name, template_size=64, search_size=128).eval()
    for key, value in net.state_dict().items():
        if key.endswith(("bn.weight", "running_var", ".1.weight")) and value.dim() == 1:
            value.uniform_(0.8, 1.2)
        elif key.endswith(("bn.bias", "running_mean")):
            value.normal_(0, 0.1)
        elif key.endswith("attention_biases"):
            value.normal_(std=3)
    assert isinstance(net, Hit)
    return net


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 64, 64, generator=generator), torch.rand(2, 3, 128, 128, generator=generator)


def assert_same(ours: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Within rounding, measured by how much the maps vary: their mean says nothing of what the blocks did."""
    for name, value in expected.items():
        assert (ours[name] - value).abs().max() <= 5e-5 * value.std(), name


def walk(search_side: int, template_side: int, stride: int) -> np.ndarray:
    """Section 4 of the fact sheet, step by step."""

    def grid(x: int, z: int) -> list[tuple[int, int]]:
        return [(r, c) for r in range(x) for c in range(x)] + [(x + r, x + c) for r in range(z) for c in range(z)]

    keys = grid(search_side, template_side)
    queries = grid(search_side // stride, template_side // stride)
    numbers: dict[tuple[int, int], int] = {}
    table = [
        [numbers.setdefault((abs(stride * p[0] - q[0]), abs(stride * p[1] - q[1])), len(numbers)) for q in keys]
        for p in queries
    ]
    return np.array(table)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("sides", [(16, 8), (8, 4), (4, 2), (8, 2)])
def test_indices_are_numbered_by_first_appearance(sides: tuple[int, int], stride: int) -> None:
    assert np.array_equal(pair_indices(*sides, stride), walk(*sides, stride))


def test_indices_of_the_first_stage_are_the_published_ones() -> None:
    digest = hashlib.sha256(pair_indices(16, 8, 1).astype("<i8").tobytes()).hexdigest()
    assert digest == "d587dcc8e4d2ed1474dd764c79759e945589e13f57941b822f6053934c7da30c"


def test_a_checkpoint_that_numbers_otherwise_is_refused() -> None:
    net = lively()
    state = net.state_dict()
    name = next(key for key in state if key.endswith("attention_bias_idxs"))
    state[name] = state[name].T.flip(0).contiguous()
    with pytest.raises(RuntimeError, match="numbers the pairs"):
        net.load_state_dict(state)


@torch.no_grad()
def test_biases_follow_every_way_of_changing_them() -> None:
    """No gathered copy may be older than its table: a load in eval mode, and a moving average writing into it."""
    bias = PairBias(heads=2, grids=(4, 2), stride=1).eval()
    assert not bias.bias().any()
    table = torch.randn_like(bias.attention_biases)
    bias.load_state_dict({**bias.state_dict(), "attention_biases": table})
    assert torch.equal(bias.bias()[1, 3, 7], table[1, bias.attention_bias_idxs[3, 7]])
    bias.attention_biases.data.add_(1)
    assert torch.equal(bias.bias()[1, 3, 7], table[1, bias.attention_bias_idxs[3, 7]] + 1)


@torch.no_grad()
def test_cached_is_the_same_with_lively_weights() -> None:
    net, (z, x) = lively(), pair()
    expected, ours = net(z, x), net.search(net.template(z), x)
    assert_same(ours, expected)


@torch.no_grad()
def test_every_part_of_the_network_counts() -> None:
    """The template and the biases of the last stage reach the maps."""
    net, (z, x) = lively(), pair()
    before = net(z, x)["tl"]
    assert torch.equal(net(z, x)["tl"], before)
    assert not torch.equal(net(z.flip(3), x)["tl"], before)
    last = [module for module in net.modules() if isinstance(module, PairBias)][-1]
    last.attention_biases.normal_(std=3)
    assert not torch.equal(net(z, x)["tl"], before)


@torch.no_grad()
def test_norms_folded_in_an_exported_graph_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (z, x) = lively(), pair()
    expected = net(z, x)
    calls = []
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(nn.BatchNorm1d, "forward", lambda *args: calls.append(args))
    ours = net(z, x)
    assert calls == []
    assert_same(ours, expected)


def test_norms_learn_while_training() -> None:
    layer = LinearBN(3, 5).train()
    layer(torch.randn(2, 7, 3))
    assert layer.bn.num_batches_tracked == 1
    assert layer.bn.running_mean.abs().max() > 0


def test_residual_branches_start_at_zero() -> None:
    """Section 9: each stage begins as the identity."""
    body = build("hit_tiny", template_size=64, search_size=128).eval().backbone["body"]
    tokens = torch.randn(1, 80, 128)
    assert torch.equal(body.blocks[1](body.blocks[0](tokens)), tokens)


def test_subsampling_keeps_even_rows_and_columns_of_each_grid() -> None:
    tokens = torch.arange(20)[None, :, None]  # 4 x 4, then 2 x 2
    assert Subsample((4, 2))(tokens).flatten().tolist() == [0, 2, 8, 10, 16]


@torch.no_grad()
def test_autocast_keeps_the_unscaled_products_finite() -> None:
    """Section 13: the product of tokens and global vector leaves the range of fp16."""
    net, (z, x) = lively(), pair()
    for projection in (net.bottleneck.proj1, net.bottleneck.proj2):
        projection.weight.mul_(300)
    with torch.autocast("cpu", torch.float16):
        tokens, query = net.bottleneck(*net.backbone["body"].rest(torch.randn(2, 80, 128)))
    assert (tokens.float() @ query.float()[:, :, None]).abs().max() > 65504
    with torch.autocast("cpu", torch.bfloat16):
        assert all(value.isfinite().all() for value in net(z, x).values())


def test_half_precision_holds_the_corners() -> None:
    """Before its first norm a head's values are beyond fp16 (shipped weights: 230 000)."""
    net = lively()
    with torch.no_grad():
        for side in ("tl", "br"):
            first = net.box_head.get_submodule(f"conv1_{side}")
            assert isinstance(first, nn.Sequential)
            first[0].weight.mul_(1e7)
            first[1].running_var.mul_(1e14)
    z, x = pair()
    with torch.inference_mode():
        exact = net(z, x)
        with torch.autocast("cpu", torch.float16):
            maps = net(z, x)
    for side, value in exact.items():
        assert float((maps[side] - value).abs().max()) < 0.1 * float(value.std())
