"""Which parameters learn by which optimiser, at which rate, and that a saved state goes on as if never stopped."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sot_tracker import nets  # noqa: E402
from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.train.optimizers import MUON_FACTOR, optimizers_for  # noqa: E402
from sot_tracker.train.recipe import PRESETS, Recipe  # noqa: E402

muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch older than 2.9 has no Muon")
RATE = 1e-2


def small_net():
    torch.manual_seed(0)
    return torch.nn.ModuleDict({"backbone": torch.nn.Linear(16, 48), "head": torch.nn.Linear(48, 2)})


def stepped(net, optimizers, seed=0):
    torch.manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizers.step()


@pytest.mark.parametrize(
    ("optimizer", "counts"),
    [
        ("adamw", {1.0: 98, 0.1: 816}),
        pytest.param("muon", {1.0: 98, 0.1: 48, 0.1 * MUON_FACTOR: 768}, marks=muon),
    ],
)
def test_backbone_learns_at_its_own_rate(optimizer, counts):
    groups = optimizers_for(small_net(), Recipe(steps=1, backbone_rate=0.1, optimizer=optimizer)).param_groups
    assert {g["factor"]: sum(p.numel() for p in g["params"]) for g in groups} == pytest.approx(counts)


@pytest.mark.parametrize(("preset", "ahead"), [("paper", 1.0), ("scratch", 100.0)])
def test_position_biases_of_hit_run_ahead_from_scratch(preset, ahead):
    net = nets.build("hit_tiny")
    fast = nets.family_of("hit_tiny").fast_parameters
    groups = optimizers_for(net, PRESETS[preset]("hit_tiny"), fast).param_groups
    factors = {id(p): group["factor"] for group in groups for p in group["params"]}
    tables = [p for name, p in net.named_parameters() if name.endswith("attention_biases")]
    assert len(tables) == 11
    assert {factors[id(p)] for p in tables} == {ahead}
    assert factors[id(net.box_head.conv5_tl.bias)] == 1.0


@muon
@pytest.mark.parametrize(
    ("model", "by_muon", "by_adamw"),
    [
        ("fermt", "backbone.blocks.3.attn.qkv.weight", "backbone.pos_embed_x"),
        ("fermt", "backbone.blocks.0.mlp.fc2.weight", "backbone.patch_embed.proj.weight"),
        ("hit_tiny", "proj1.weight", "attention_biases"),
        ("hcat", "in_proj_weight", "class_embed.layers.2.weight"),
        ("hcat", "bbox_embed.layers.1.weight", "query_embed.weight"),
        ("mvt", "qkv_proj.weight", "conv1_ctr.0.bias"),
        ("smat", "conv1_ctr.0.weight", "conv4_ctr.weight"),
        ("lite", "neck.mix.0.weight", "head.shared.0.weight"),
    ],
)
def test_muon_takes_the_matrices(model, by_muon, by_adamw):
    net = nets.build(model)
    adamw, matrices = optimizers_for(net.to(memory_format=torch.channels_last), Recipe(steps=1, optimizer="muon")).parts
    starts = {p.data_ptr() for group in matrices.param_groups for p in group["params"]}
    taken = {id(p) for p in net.parameters() if p.data_ptr() in starts}
    left = {id(p) for group in adamw.param_groups for p in group["params"]}
    assert not taken & left
    assert len(taken) + len(left) == sum(p.requires_grad for p in net.parameters())
    for ending, owner in ((by_muon, taken), (by_adamw, left)):
        found = [p for name, p in net.named_parameters() if name.endswith(ending)]
        assert found, ending
        assert all(id(p) in owner for p in found), ending


@muon
def test_muon_moves_all_directions_of_a_matrix_alike():
    net = small_net()
    before = net["backbone"].weight.detach().clone()
    optimizers = optimizers_for(net, Recipe(steps=1, rate=RATE, optimizer="muon", weight_decay=0.0))
    stepped(net, optimizers)
    moved = net["backbone"].weight.detach() - before
    stretch = torch.linalg.svdvals(moved)
    assert stretch.max() / stretch.min() < 2.5, "a random gradient's own ratio is above 3"
    assert float(moved.square().mean().sqrt()) == pytest.approx(0.2 * RATE, rel=0.3)


@muon
def test_convolutions_move_alike_in_both_memory_formats():
    """Also where a gradient lies in the other order than its weight."""
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        layer = torch.nn.Conv2d(16, 32, 3).to(memory_format=layout)
        before = layer.weight.detach().clone()
        optimizers = optimizers_for(layer, Recipe(steps=1, rate=RATE, optimizer="muon"))
        layer.weight.grad, layer.bias.grad = torch.randn(32, 16, 3, 3), torch.zeros(32)
        optimizers.step()
        results.append(layer.weight.detach() - before)
        optimizers.zero_grad()
        assert layer.weight.grad is None
    assert results[0].abs().max() > 1e-4
    alike = torch.cosine_similarity(results[0].flatten(), results[1].flatten(), dim=0)
    assert alike > 0.99, "but for bfloat16, in which Muon makes its steps"


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("muon", marks=muon)])
def test_saved_state_goes_on_alike(optimizer):
    recipe = Recipe(steps=2, rate=RATE, optimizer=optimizer)
    straight, stopped = small_net(), small_net()
    first, second = optimizers_for(straight, recipe), optimizers_for(stopped, recipe)
    for net, optimizers in ((straight, first), (stopped, second)):
        stepped(net, optimizers)
    resumed = optimizers_for(stopped, recipe)
    resumed.load_state_dict(second.state_dict())
    for net, optimizers in ((straight, first), (stopped, resumed)):
        stepped(net, optimizers, seed=1)
    for a, b in zip(straight.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(a, b)


@muon
def test_state_of_another_optimizer_is_refused():
    saved = optimizers_for(small_net(), Recipe(steps=1)).state_dict()
    with pytest.raises(UserError, match="give the same --optimizer"):
        optimizers_for(small_net(), Recipe(steps=1, optimizer="muon")).load_state_dict(saved)


def test_torch_without_muon_is_reported(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(UserError, match=r"torch 2\.9 .* choose --optimizer adamw"):
        optimizers_for(small_net(), Recipe(steps=1, optimizer="muon"))
