"""A teacher in ONNX: where its cells lie on our patches, and what a student learns from it."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import numpy as np  # noqa: E402
from nanotracks import CHANNELS, SIDES, nanotrack  # noqa: E402

from sot_tracker.errors import UserError  # noqa: E402
from sot_tracker.train.onnx_teacher import Distillation, OnnxTeacher, View, agrees, lesson  # noqa: E402


def patches(column: int, row: int):
    """A black template, and a search patch that is blue around one pixel."""
    search = torch.zeros(1, 256, 256, 3, dtype=torch.uint8)
    search[0, row - 1 : row + 2, column - 1 : column + 2, 2] = 255
    return torch.zeros(1, 128, 128, 3, dtype=torch.uint8), search


@pytest.mark.parametrize("cells", [16, 15])
def test_cells_lie_where_ours_do(tmp_path, cells):
    teacher = OnnxTeacher(nanotrack(tmp_path / "nano", cells))
    view = teacher(*patches(16 * 5, 16 * 9))
    assert teacher.width == CHANNELS
    assert view.logit.shape == (1, 16, 16)
    assert divmod(int(view.logit.argmax()), 16) == (9, 5)
    assert int(view.known.sum()) == cells**2
    assert bool(view.known[-1, -1])
    (box,), (probability,) = view.best
    center = np.array([16 * 5, 16 * 9, 16 * 5, 16 * 9]) - 0.5
    assert (256 * box).tolist() == pytest.approx((center + SIDES * (-1, -1, 1, 1)).tolist(), abs=1e-3)
    assert float(probability) > 0.99


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "head.onnx").unlink(), "head.onnx is missing"),
        (lambda folder: (folder / "head.onnx").write_bytes(b"no graph"), "not an ONNX graph"),
        (lambda folder: (folder / "head.onnx").write_bytes((folder / "backbone.onnx").read_bytes()), "where NanoTrack"),
    ],
)
def test_other_folders_are_refused(tmp_path, spoil, reason):
    folder = nanotrack(tmp_path / "nano", 16)
    spoil(folder)
    with pytest.raises(UserError, match=reason):
        OnnxTeacher(folder)


def view_of(best: tuple[float, float, float, float], logit: float) -> View:
    """A teacher that says `logit` at cell (8, 8) and -9 elsewhere, and the box `best` everywhere."""
    logits = torch.full((1, 16, 16), -9.0)
    logits[0, 8, 8] = logit
    boxes = torch.tensor(best).expand(1, 16, 16, 4)
    return View(logits, boxes, torch.randn(1, CHANNELS, 16, 16), torch.ones(16, 16, dtype=torch.bool))


@pytest.mark.parametrize(
    ("best", "logit", "present", "followed"),
    [
        ((0.4, 0.4, 0.6, 0.6), 3.0, True, 1.0),
        ((0.1, 0.1, 0.3, 0.3), 3.0, True, 0.0),  # another place than the label's
        ((0.4, 0.4, 0.6, 0.6), 3.0, False, 0.0),  # sees a target where there is none
        ((0.4, 0.4, 0.6, 0.6), -3.0, False, 1.0),
    ],
)
def test_a_teacher_is_followed_where_it_agrees_with_the_label(best, logit, present, followed):
    boxes = torch.tensor([[0.4, 0.4, 0.2, 0.2]]) * present
    assert agrees(view_of(best, logit), boxes, torch.tensor([present])).tolist() == [followed]


def test_a_student_learns_the_view():
    torch.manual_seed(0)
    view = view_of((0.4, 0.4, 0.6, 0.6), 4.0)
    labels = torch.tensor([[0.4, 0.4, 0.2, 0.2]]), torch.tensor([True])
    distillation = Distillation(seen=8, fused=6, width=CHANNELS)
    seen, fused = (torch.randn(1, c, 16, 16, requires_grad=True) for c in (8, 6))
    optimizer = torch.optim.Adam([*distillation.parameters(), seen, fused], 0.05)
    course = []
    for _ in range(60):
        losses = lesson(distillation(seen, fused), view, *labels)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        course.append({name: float(value.detach()) for name, value in losses.items()})
    assert {name for name, value in course[-1].items() if value < 0.3 * course[0][name]} == {"features", "score", "box"}


def test_what_a_disputed_pair_teaches_is_features_alone():
    distillation = Distillation(seen=8, fused=6, width=CHANNELS)
    view = view_of((0.1, 0.1, 0.3, 0.3), 4.0)
    labels = torch.tensor([[0.6, 0.6, 0.2, 0.2]]), torch.tensor([True])
    losses = lesson(distillation(torch.randn(1, 8, 16, 16), torch.randn(1, 6, 16, 16)), view, *labels)
    assert {name for name, value in losses.items() if value > 0} == {"features"}


def test_the_scale_of_a_students_features_does_not_matter():
    """Those of SMAT are in the hundreds: fresh layers must not start with losses of that size."""
    learn = Distillation(seen=4, fused=4, width=CHANNELS)
    seen, fused = torch.randn(2, 4, 16, 16), torch.randn(2, 4, 16, 16)
    torch.testing.assert_close(learn(seen, 300 * fused)[1], learn(seen, fused)[1], atol=1e-3, rtol=1e-3)
