"""Labels and losses against the stored cases of SMAT and MVT, and against numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sot_tracker.train import geometry, labels, losses  # noqa: E402

PARITY = Path(__file__).parents[1] / "data" / "parity"


@pytest.fixture(params=["smat", "mvt"])
def cases(request):
    return dict(np.load(PARITY / request.param / "train_cases.npz"))


def tensor(values):
    return torch.tensor(np.asarray(values, np.float32))


def test_heat_maps(cases):
    maps = labels.heatmaps(tensor(cases["gt_boxes"]), torch.ones(12), 16)
    assert np.abs(maps.numpy() - cases["heatmaps"]).max() < 1e-6


def test_focal(cases):
    score, label = tensor(cases["pred_score"]), tensor(cases["heatmaps"])
    assert float(losses.focal(score, label, 0.1)) == pytest.approx(float(cases["focal"]), rel=1e-5)
    each = [float(losses.focal(score[i : i + 1], label[i : i + 1], 0.1)) for i in range(12)]
    assert each == pytest.approx(list(cases["focal_each"]), rel=1e-5)


def test_giou_and_l1(cases):
    center, half = tensor(cases["pred_boxes"])[:, :2], tensor(cases["pred_boxes"])[:, 2:] / 2
    predicted, truth = torch.cat((center - half, center + half), 1), losses.label_corners(tensor(cases["gt_boxes"]))
    assert (1 - losses.giou(predicted, truth)).numpy() == pytest.approx(cases["giou_each"], abs=1e-5)
    assert float((predicted - truth).abs().mean()) == pytest.approx(float(cases["l1"]), rel=1e-5)


def test_total_as_published(cases):
    """The whole loss, with maps built so that each peak decodes to the stored box."""
    score, boxes = tensor(cases["pred_score"]), tensor(cases["pred_boxes"])
    peak = score.flatten(1).argmax(1)
    cell = torch.stack((peak % 16, peak // 16), 1)
    spread = torch.ones(1, 1, 16, 16)
    maps = {
        "score": score,
        "offset": (boxes[:, :2] * 16 - cell)[:, :, None, None] * spread,
        "size": boxes[:, 2:, None, None] * spread,
    }
    found = losses.center_loss(maps, tensor(cases["gt_boxes"]), torch.ones(12))
    assert float(found["total"]) == pytest.approx(float(cases["total"]), rel=1e-5)


def test_target_in_crop(cases):
    x, y, w, h = cases["transform_extract"].astype(float)
    factor = float(cases["transform_resize_factor"])
    affine = geometry.crop((x + w / 2, y + h / 2), 256 / factor, 256)
    moved = geometry.move_box(tuple(cases["transform_gt"].astype(float)), affine)
    assert geometry.fractions(moved, 256) == pytest.approx(cases["transform_out"].tolist(), abs=1e-6)


@pytest.mark.parametrize("case", [(0.95, 0.95, 0.1, 0.1), (0.98, 0.1, 0.02, 0.02), (-0.3, 0.2, 0.1, 0.1)])
def test_no_peak_outside_of_the_grid(case):
    assert labels.heatmaps(tensor([case]), torch.ones(1), 16).max() == 0


def test_absent_target_has_no_label_and_no_box_loss():
    maps = {
        "score": torch.full((1, 1, 8, 8), 0.3),
        "offset": torch.zeros(1, 2, 8, 8),
        "size": torch.full((1, 2, 8, 8), 0.5),
    }
    found = losses.center_loss(maps, torch.zeros(1, 4), torch.zeros(1), "label")
    assert float(found["giou"]) == float(found["l1"]) == 0
    assert float(found["cls"]) == pytest.approx(-64 * math.log(0.7) * 0.09, rel=1e-5)


def test_fermt_counts_only_the_centre_as_positive():
    label, score = torch.tensor([[[1.0, 0.5]]]), torch.tensor([[[[0.8, 0.6]]]])
    wanted = -(0.2**2 * math.log(0.8) + 0.5**4 * 0.6**2 * math.log(0.4))
    assert float(losses.focal(score, label, 1 - 1e-6)) == pytest.approx(wanted, rel=1e-5)


def test_label_cells_teach_without_the_score():
    """With "label" the box at the label's cell is judged, wherever the score peaks; with "peak" it is not."""
    score = torch.full((1, 1, 8, 8), 0.01)
    score[0, 0, 0, 0] = 0.9
    offset, size = torch.zeros(1, 2, 8, 8), torch.full((1, 2, 8, 8), 0.9)
    offset[0, :, 4, 4], size[0, :, 4, 4] = 0.0, 0.1
    box = tensor([[0.45, 0.45, 0.1, 0.1]])
    maps = {"score": score, "offset": offset, "size": size}
    assert float(losses.center_loss(maps, box, torch.ones(1), "label")["l1"]) == pytest.approx(0, abs=1e-6)
    assert float(losses.center_loss(maps, box, torch.ones(1), "peak")["l1"]) > 0.5


def corner_maps(tl, br, grid=16):
    maps = {"tl": torch.full((1, grid, grid), -50.0), "br": torch.full((1, grid, grid), -50.0)}
    for name, (column, row) in (("tl", tl), ("br", br)):
        maps[name][0, row, column] = 50.0
    return maps


def test_corner_loss_by_hand():
    """HiT: corners at cells (4, 2) and (8, 10) of 16 against a box one cell narrower."""
    maps = corner_maps((4, 2), (8, 10))
    assert losses.corner_boxes(maps)[0].tolist() == pytest.approx([0.25, 0.125, 0.5, 0.625])
    found = losses.corner_loss(maps, tensor([[0.25, 0.125, 0.1875, 0.5]]), torch.ones(1))
    assert float(found["giou"]) == pytest.approx(2 * (1 - 0.75), rel=1e-4)
    assert float(found["l1"]) == pytest.approx(5 * 0.0625 / 4, rel=1e-4)


def test_crossed_corners_drop_the_overlap_term():
    maps = corner_maps((8, 2), (4, 10))
    assert float(losses.corner_loss(maps, tensor([[0.25, 0.125, 0.25, 0.5]]), torch.ones(1))["giou"]) == 0


def test_inside_cells_by_hand():
    """HCAT, section 8: ceil(16 xmin) <= column < ceil(16 xmax); empty ranges take one cell, negative ones wrap to
    none.
    """
    boxes = tensor([[0.26, 0.5, 0.1, 0.125], [0.3, 0.3, 0.001, 0.001], [-0.2, 0.5, 0.3, 0.1]])
    inside = labels.inside_cells(boxes, torch.ones(3), 16).reshape(3, 16, 16)
    assert inside[0].nonzero().tolist() == [[8, 5], [9, 5]]
    assert inside[1].nonzero().tolist() == [[5, 5]]
    assert inside[2].sum() == 0


def test_token_loss_by_hand():
    """Two by two cells, one positive: weighted cross-entropy, L1 summed over four numbers, GIoU of the positive's
    box.
    """
    boxes = tensor([[0.5, 0.5, 0.5, 0.5]])
    logits = torch.tensor([[[0.0, 0.0]] * 4])
    predicted = torch.tensor([[[0.0, 0.0, 0.1, 0.1]] * 3 + [[0.75, 0.75, 0.5, 0.25]]])
    found = losses.token_loss({"logits": logits, "boxes": predicted}, boxes, torch.ones(1))
    assert float(found["cls"]) == pytest.approx(8.334 * math.log(2), rel=1e-5)
    assert float(found["l1"]) == pytest.approx(5 * 0.25, rel=1e-5)
    assert float(found["giou"]) == pytest.approx(2 * 0.5, rel=1e-5)


@pytest.mark.parametrize("decoding", ["center", "corner", "token"])
def test_every_loss_is_the_sum_of_its_parts(decoding):
    g = 16
    maps = {
        "center": {"score": torch.rand(2, 1, g, g), "offset": torch.rand(2, 2, g, g), "size": torch.rand(2, 2, g, g)},
        "corner": {"tl": torch.rand(2, g, g), "br": torch.rand(2, g, g)},
        "token": {"logits": torch.rand(2, g * g, 2), "boxes": torch.rand(2, g * g, 4)},
    }[decoding]
    found = losses.loss_for(decoding, "label", 0.1)(
        maps, tensor([[0.3, 0.3, 0.2, 0.2]] * 2), torch.tensor([True, False])
    )
    parts = sum(float(v) for k, v in found.items() if k != "total")
    assert float(found["total"]) == pytest.approx(parts, rel=1e-5)
