"""Decoding of tensors against decoding of arrays: training and validation must read maps as the trackers do."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sot_tracker import decode, decode_torch  # noqa: E402
from sot_tracker.box import Box  # noqa: E402

BATCH = 40


def random_maps(decoding: str, g: int) -> list[dict[str, np.ndarray]]:
    """Maps of all kinds: peaked and flat ones, at the border too, crossed corners among them."""
    rng = np.random.default_rng(g)

    def corner() -> np.ndarray:
        row, col = rng.uniform(0, g, 2)
        rows, cols = np.mgrid[:g, :g]
        noise = rng.normal(0, 1, (g, g))
        return -rng.choice([0.02, 0.3, 3.0]) * ((rows - row) ** 2 + (cols - col) ** 2) + noise

    made = {
        "center": lambda: {
            "score": rng.uniform(0.3, 1) * rng.random((1, g, g)) ** rng.choice([1, 9]),
            "size": rng.random((2, g, g)),
            "offset": rng.uniform(-1, 1, (2, g, g)),
        },
        "token": lambda: {
            "logits": rng.normal(0, rng.choice([0.1, 1, 3]), (g * g, 2)),
            "boxes": rng.random((g * g, 4)),
        },
        "corner": lambda: {"tl": corner(), "br": corner()},
    }[decoding.removesuffix("_weak")]
    return [{name: value.astype(np.float32) for name, value in made().items()} for _ in range(BATCH)]


def tensors(maps: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(np.stack([each[name] for each in maps])) for name in maps[0]}


@pytest.mark.parametrize("g", [6, 16])
@pytest.mark.parametrize("decoding", decode.DECODERS)
def test_boxes_and_scores_are_those_of_the_trackers(decoding: str, g: int) -> None:
    maps = random_maps(decoding, g)
    expected = [decode.DECODERS[decoding](each) for each in maps]
    found = decode_torch.decode(tensors(maps), decoding)
    assert found.index.tolist() == [each.index for each in expected]
    boxes = np.array([(each.cx, each.cy, each.w, each.h) for each in expected])
    np.testing.assert_allclose(found.boxes.numpy(), boxes, atol=2e-6)
    np.testing.assert_allclose(found.response.numpy(), [each.response for each in expected], atol=2e-5)
    np.testing.assert_allclose(found.score.numpy(), [each.score for each in expected], atol=2e-5)
    assert np.ptp([each.score for each in expected]) > 0.3, "the maps differ"
    corners = [Box.from_cxcywh(*row).xyxy for row in boxes]
    np.testing.assert_allclose(found.corners.numpy(), corners, atol=2e-6)


def test_every_decoding_has_a_twin() -> None:
    assert decode_torch.DECODERS.keys() == decode.DECODERS.keys()


@pytest.mark.parametrize("decoding", ["center", "token"])
def test_without_the_window_the_best_cell_anywhere_counts(decoding: str) -> None:
    maps = random_maps(decoding, 16)
    found = decode_torch.decode(tensors(maps), decoding, windowed=False)
    scores = [m["score"] if "score" in m else m["logits"] @ [1, -1] for m in maps]
    assert found.index.tolist() == [int(score.argmax()) for score in scores]
    assert torch.equal(found.score, found.response)


def test_the_boxes_of_losses_are_the_decoded_ones() -> None:
    """The losses read a box per cell, or the expected corners; both are what is decoded."""
    center, corner = (tensors(random_maps(decoding, 16)) for decoding in ("center", "corner"))
    found = decode_torch.decode(center, "center")
    cells = decode_torch.center_boxes(center)[torch.arange(BATCH), found.index]
    assert torch.equal(cells, found.boxes)
    expected = decode_torch.decode(corner, "corner").corners
    torch.testing.assert_close(decode_torch.corner_boxes(corner), expected, atol=1e-6, rtol=0)
