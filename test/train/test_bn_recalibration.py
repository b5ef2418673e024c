"""Statistics of batch norms after training."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sot_tracker.train import bn_recalibration  # noqa: E402


def test_norms_hold_the_means_over_the_batches_and_the_original_stays():
    net = torch.nn.Sequential(torch.nn.BatchNorm2d(3, momentum=0.1), torch.nn.Dropout(0.5))
    batches = [torch.randn(4, 3, 5, 5) * scale + scale for scale in (1.0, 6.0)]
    found = bn_recalibration.calibrated(net, batches, lambda module, batch: module(batch))
    assert torch.allclose(found[0].running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0), atol=1e-5)
    assert torch.allclose(found[0].running_var, torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0), rtol=1e-4)
    assert not found.training
    assert not found[0].training
    assert found[0].momentum == 0.1
    assert not net[0].running_mean.any()


def test_nothing_else_than_norms_trains_meanwhile():
    seen = []
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.9))
    net[1].register_forward_hook(lambda module, given, out: seen.append(module.training))
    bn_recalibration.calibrated(net, [torch.randn(8, 2)], lambda module, batch: module(batch))
    assert seen == [False]


def test_frozen_norms_keep_their_statistics_while_the_rest_trains():
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.5)).train()
    bn_recalibration.freeze(net)
    net(torch.randn(8, 2) + 5)
    assert not net[0].running_mean.any()
    assert net[1].training
