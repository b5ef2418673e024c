"""A teacher's maps in the student's terms."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.train import distill, losses  # noqa: E402


def center_maps(peak=(5, 9), grid=16):
    score = torch.full((1, 1, grid, grid), 1e-4)
    score[0, 0, peak[1], peak[0]] = 0.9
    return {"score": score, "offset": torch.full((1, 2, grid, grid), 0.5), "size": torch.full((1, 2, grid, grid), 0.25)}


def test_best_box_is_the_one_at_the_peak():
    (box,) = distill.read(center_maps()).best
    assert box.tolist() == pytest.approx([5.5 / 16 - 0.125, 9.5 / 16 - 0.125, 5.5 / 16 + 0.125, 9.5 / 16 + 0.125])


def test_equal_students_have_the_least_loss():
    teacher = distill.read(center_maps())
    same, other = (float(distill.loss(center_maps(peak), teacher)) for peak in ((5, 9), (2, 2)))
    assert same < 0.1 < other


def test_token_student_agrees_with_a_token_teacher():
    logits = torch.randn(2, 64, 2)
    maps = {"logits": logits, "boxes": torch.rand(2, 64, 4)}
    worse = {"logits": -logits, "boxes": torch.rand(2, 64, 4)}
    assert float(distill.loss(maps, distill.read(maps))) < float(distill.loss(worse, distill.read(maps)))


def test_spread_has_its_mass_and_its_mean_at_the_point():
    points = torch.tensor([[0.31, 0.78], [0.0, 0.9375], [0.5, -0.2]])
    target = distill.spread(points, 16)
    assert target.sum((1, 2)).tolist() == pytest.approx([1, 1, 1])
    cells = torch.arange(16) / 16
    assert (target.sum(1) * cells).sum(1).tolist() == pytest.approx([0.31, 0.0, 0.5])
    assert (target.sum(2) * cells).sum(1).tolist() == pytest.approx([0.78, 0.9375, 0.0])


def test_corner_student_learns_the_teachers_box():
    teacher = distill.read(center_maps())
    logits = {name: torch.zeros(1, 16, 16, requires_grad=True) for name in ("tl", "br")}
    optimizer = torch.optim.Adam(logits.values(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        distill.loss(logits, teacher).backward()
        optimizer.step()
    assert losses.corner_boxes(logits)[0].tolist() == pytest.approx(teacher.best[0].tolist(), abs=0.01)


def test_corner_maps_cannot_teach():
    with pytest.raises(UserError, match="cannot be the teacher"):
        distill.read({"tl": torch.zeros(1, 16, 16), "br": torch.zeros(1, 16, 16)})
