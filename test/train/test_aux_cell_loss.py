"""What HiT is told cell by cell, and that it is told the truth."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from sot_tracker import nets  # noqa: E402
from sot_tracker.train import aux_cell_loss, features  # noqa: E402

SIZES = {"template_size": 64, "search_size": 128}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nets.build("hit_tiny", **SIZES).eval()


@pytest.fixture(scope="module")
def patches():
    torch.manual_seed(1)
    return torch.rand(2, 3, 64, 64), torch.rand(2, 3, 128, 128)


def test_maps_stay_and_three_grids_are_added(net, patches):
    plain, guided = net(*patches), aux_cell_loss.Guided(net, net).eval()(*patches)
    inside = guided.pop("inside")
    assert [tuple(logits.shape) for logits in inside] == [(2, 64), (2, 16), (2, 64)]
    assert guided.keys() == plain.keys()
    assert all(torch.equal(guided[name], plain[name]) for name in plain)


def test_goes_around_a_pupil(net, patches):
    pupil = features.Pupil(net, (64, 128), {"teacher": (features.FUSED, 7)})
    told = aux_cell_loss.Guided(pupil, net).eval()(*patches)
    assert told["teacher"][0].shape == (2, 7, 8, 8)
    assert len(told["inside"]) == 3


def test_last_logits_are_the_heads_own_comparison(net, patches):
    """The sign of what re-weights the search tokens; its size is free."""
    with torch.no_grad():
        guided = aux_cell_loss.Guided(net, net).eval()
        made = []
        hook = net.bottleneck.register_forward_hook(lambda _m, _i, out: made.append(out))
        logits = guided(*patches)["inside"][2]
        hook.remove()
    tokens, query = made[0]
    product = (tokens @ query[:, :, None]).squeeze(2)
    assert torch.equal((logits - guided.level) > 0, product > 0)
    assert float((logits - guided.level).detach().abs().max()) <= aux_cell_loss.SHARPNESS


def test_loss_of_a_guess_is_counted_by_hand():
    """Half the patch in each direction: 4 of 16 cells of weight 4, 12 of weight 1."""
    boxes, present = torch.tensor([[0.0, 0.0, 0.5, 0.5]]), torch.tensor([True])
    loss = aux_cell_loss.loss([torch.zeros(1, 16), torch.zeros(1, 16)], boxes, present)
    assert float(loss) == pytest.approx(2 * math.log(2) * (4 * aux_cell_loss.POSITIVE + 12) / 16)


@pytest.mark.parametrize(("present", "better"), [(True, 10.0), (False, -10.0)])
def test_loss_wants_the_target_inside_the_box_and_nowhere_without_it(present, better):
    boxes, flags = torch.tensor([[0.25, 0.25, 0.5, 0.5]]), torch.tensor([present])
    logits = torch.full((1, 4, 4), -10.0)
    logits[:, 1:3, 1:3] = better
    assert float(aux_cell_loss.loss([logits.flatten(1)], boxes, flags)) < 1e-3
    logits[:, 1:3, 1:3] = -better
    assert float(aux_cell_loss.loss([logits.flatten(1)], boxes, flags)) > 1


@pytest.mark.parametrize(("x", "y"), [(-0.25, 0.25), (0.25, -0.25), (0.75, 0.25)])
def test_the_part_of_the_target_that_is_in_the_patch_is_the_targets(x, y):
    boxes, flags = torch.tensor([[x, y, 0.5, 0.5]]), torch.tensor([True])
    logits = torch.full((1, 4, 4), -10.0)
    left, top = max(int(4 * x), 0), max(int(4 * y), 0)
    logits[:, top : int(4 * y) + 2, left : int(4 * x) + 2] = 10.0
    assert float(aux_cell_loss.loss([logits.flatten(1)], boxes, flags)) < 1e-3


def test_all_that_compares_learns_from_it(net, patches):
    guided = aux_cell_loss.Guided(net, net).train()
    boxes, present = torch.tensor([[0.25, 0.25, 0.5, 0.5]] * 2), torch.tensor([True, True])
    aux_cell_loss.loss(guided(*patches)["inside"], boxes, present).backward()
    silent = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name.split(".")[0] for name in silent} <= {"box_head", "backbone"}
    assert not any(name.startswith("bottleneck.proj") for name in silent)
    assert all(p.grad is not None for p in guided.stages.parameters())
