"""How good a network is on held-back pairs: overlap where the target is there, and whether the score tells when it
is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from sot_tracker.decode_torch import decode, iou
from sot_tracker.stats import best_threshold, roc_auc
from sot_tracker.train.batches import Batch
from sot_tracker.train.losses import label_corners

Forward = Callable[[nn.Module, Batch], tuple[dict[str, Tensor], Tensor, Tensor]]
"""Network and batch -> maps, boxes (B, 4) as x, y, w, h fractions, flags (B,)."""


def predict(maps: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Corner boxes (B, 4) as fractions and the trackers' own scores (B,), without window."""
    decoding = next(name for name, key in (("corner", "tl"), ("token", "logits"), ("center", "score")) if key in maps)
    found = decode(maps, decoding, windowed=False)
    return found.corners, found.score


@torch.no_grad()
def validate(net: nn.Module, batches: Iterable[Batch], forward: Forward) -> dict[str, float]:
    """Mean overlap, share above 0.5, the score's ROC AUC for present against absent targets and its best threshold."""
    net.eval()
    overlaps, scores, present = [], [], []
    for batch in batches:
        maps, boxes, there = forward(net, batch)
        found, score = predict(maps)
        overlaps.append(iou(found, label_corners(boxes)).cpu().numpy())
        scores.append(score.cpu().numpy())
        present.append(there.cpu().numpy().astype(bool))
    overlap, flags = np.concatenate(overlaps), np.concatenate(present)
    overlap, score_of = overlap[flags], np.concatenate(scores)
    return {
        "overlap": float(overlap.mean()),
        "success50": float((overlap > 0.5).mean()),
        "score_auc": roc_auc(score_of, flags),
        "threshold": best_threshold(score_of, flags),
    }


@torch.no_grad()
def picture(net: nn.Module, batch: Batch, forward: Forward, path: Path, pairs: int = 24) -> None:
    """A PNG of pairs: template, search patch, truth in green, prediction in red with its score."""
    net.eval()
    maps, boxes, _ = forward(net, batch)
    found, score = (t.cpu().numpy() for t in predict(maps))
    tiles = []
    for i in range(min(pairs, len(found))):
        search = np.ascontiguousarray(batch["search"][i].numpy()[..., ::-1])
        size = search.shape[0]
        truth = label_corners(boxes[i : i + 1])[0].cpu().numpy()
        for corners, color in ((truth, (0, 255, 0)), (found[i], (0, 0, 255))):
            x0, y0, x1, y1 = (int(v) for v in np.clip(corners, -1, 2) * size)
            cv2.rectangle(search, (x0, y0), (x1, y1), color, 1 + size // 200)
        cv2.putText(search, f"{score[i]:.2f}", (2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 255, 255), 1)
        template = batch["template"][i].numpy()[..., ::-1]
        side = np.zeros((size, template.shape[1], 3), np.uint8)
        side[: template.shape[0]] = template
        tiles.append(np.hstack([side, search]))
    across = 6
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    cv2.imwrite(str(path), np.vstack([np.hstack(tiles[i : i + across]) for i in range(0, len(tiles), across)]))
