"""Muon in float32: the same steps as torch's, to the precision of bfloat16."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
if not hasattr(torch.optim, "Muon"):
    pytest.skip("torch older than 2.9 has no Muon", allow_module_level=True)

from sot_tracker.train import optimizers  # noqa: E402
from sot_tracker.train.muon import Float32Muon, orthogonalised  # noqa: E402
from sot_tracker.train.recipe import Recipe  # noqa: E402

OPTIONS = {"lr": 1e-2, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def moved(kind, shape, steps=3):
    torch.manual_seed(0)
    matrix = torch.nn.Parameter(torch.randn(shape))
    optimizer = kind([matrix], **OPTIONS)
    for _ in range(steps):
        matrix.grad = torch.randn(shape)
        optimizer.step()
    return matrix.detach(), optimizer


@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 16)])
def test_its_steps_are_torchs(shape):
    """Entries of a step are about 0.2 of the rate; bfloat16 rounds them by up to 1 %, and every iteration again."""
    (mine, _), (theirs, _) = moved(Float32Muon, shape), moved(torch.optim.Muon, shape)
    torch.manual_seed(0)
    start = torch.randn(shape)
    assert (theirs - start).abs().mean() > 2e-3
    assert (mine - theirs).abs().max() < 0.1 * (theirs - start).abs().max()


def test_the_state_of_one_is_taken_by_the_other():
    matrix, theirs = moved(torch.optim.Muon, (16, 32))
    mine = Float32Muon([torch.nn.Parameter(matrix.clone())], **OPTIONS)
    mine.load_state_dict(theirs.state_dict())
    (state,), (saved,) = mine.state.values(), theirs.state.values()
    assert torch.equal(state["momentum_buffer"], saved["momentum_buffer"])


@pytest.mark.parametrize("shape", [(20, 20), (16, 40), (40, 16)])
def test_singular_values_are_near_one(shape):
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(shape), COEFFICIENTS, 8, 1e-7))
    assert values.min() > 0.5
    assert values.max() < 1.5


def test_a_parameter_without_a_gradient_stays():
    matrix = torch.nn.Parameter(torch.ones(16, 16))
    Float32Muon([matrix], **OPTIONS).step()
    assert torch.equal(matrix, torch.ones(16, 16))


@pytest.mark.parametrize(("native", "kind"), [(True, torch.optim.Muon), (False, Float32Muon)])
def test_it_is_taken_where_bfloat16_is_emulated(monkeypatch, native, kind):
    monkeypatch.setattr(optimizers, "has_bfloat16", lambda device: native)
    made = optimizers.optimizers_for(torch.nn.Linear(32, 32), Recipe(steps=1, optimizer="muon"))
    assert type(made.parts[1]) is kind
