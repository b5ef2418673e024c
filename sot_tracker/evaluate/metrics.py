"""The metrics of the GOT-10k and LaSOT toolkits, and two of our own for frames without the target.

AO, SR0.5, SR0.75: GOT-10k (Huang et al., TPAMI 2021; github.com/got-10k/toolkit, experiments/got10k.py): predicted and
true boxes are cut to the image; the first frame and frames where the target does not show are left out; "greater than".

Success AUC, precision, normalised precision: LaSOT (Fan et al., CVPR 2019; github.com/HengLan/LaSOT_Evaluation_Toolkit,
utils/calc_seq_err_robust.m, eval_tracker.m): the first frame counts, with its true box; success is the share of frames
whose overlap is greater than each of 21 thresholds 0, 0.05 .. 1, AUC their mean (at most 20/21); precision the share
whose centre error is at most 20 pixels; normalised precision the mean share over the 51 thresholds 0, 0.01 .. 0.5 of
the centre error divided by the true width and height (Mueller et al., TrackingNet, ECCV 2018). One difference: LaSOT's
toolkit divides by the number of all frames, so that one without the target counts as failed; here such frames are left
out of numerator and denominator, as for GOT-10k.

Overall values are means over sequences, so that long ones do not outweigh the others: LaSOT's way. GOT-10k's toolkit
takes the frames of all sequences together for its overall AO and SR: `over_all_frames` gives these as well.

In both, a prediction that is not finite or has no size is replaced by the one before (LaSOT).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sot_tracker.boxes import are_valid, center_errors, clip, ious
from sot_tracker.stats import roc_auc

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

OVERLAPS: Array = np.linspace(0, 1, 21)
PIXELS: Array = np.arange(51, dtype=np.float64)
FRACTIONS: Array = np.linspace(0, 0.5, 51)
PRECISION_AT = 20


@dataclass(frozen=True, eq=False)
class SequenceScores:
    """What is measured on one sequence.

    overlaps: GOT-10k's, one per counted frame. success (21,), precision (51,), norm_precision (51,): LaSOT's curves.
    seconds: duration of each update, without the first frame.
    score, tracking: the tracker's score and belief in each frame but the first, and `present`, whether it was right to.
    """

    overlaps: Array
    success: Array
    precision: Array
    norm_precision: Array
    seconds: Array
    score: Array
    tracking: Mask
    present: Mask


def hold_last(boxes: Array) -> Array:
    """N x 4 with every row that is not finite or has no size replaced by the row before it."""
    held: Array = boxes.copy()
    for i in np.flatnonzero(~are_valid(boxes[1:])) + 1:
        held[i] = held[i - 1]
    return held


def measure(
    boxes: Array, score: Array, tracking: Mask, seconds: Array, truth: Array, visible: Mask, size: tuple[int, int]
) -> SequenceScores:
    """Score one sequence of N frames of that (width, height).

    boxes, truth: N x 4. score, tracking, seconds (duration of update), visible: N.
    """
    held = hold_last(np.vstack([truth[:1], boxes[1:]]))
    later = visible.copy()
    later[0] = False
    predicted, true = held[visible], truth[visible]
    return SequenceScores(
        overlaps=ious(clip(held[later], size), clip(truth[later], size)),
        success=(ious(predicted, true)[:, None] > OVERLAPS).mean(axis=0),
        precision=(center_errors(predicted, true)[:, None] <= PIXELS).mean(axis=0),
        norm_precision=(center_errors(predicted, true, normalized=True)[:, None] <= FRACTIONS).mean(axis=0),
        seconds=seconds[1:],
        score=score[1:],
        tracking=tracking[1:],
        present=visible[1:],
    )


def summarize(results: Iterable[SequenceScores]) -> dict[str, float | None]:
    """The overall values by their names in summary.json; None where nothing was there to measure.

    fps is the frames of all sequences by the time spent in `update`. Where the target was absent in some frame, over
    the frames of all sequences: `presence_auc`, the chance that the score is higher in a frame with the target than in
    one without (ROC AUC, ties count half), and `false_confidence`, the share of frames without the target in which the
    tracker said it was tracking.
    """
    items = list(results)
    overlaps = [r.overlaps for r in items if len(r.overlaps)]
    seconds, present = np.concatenate([r.seconds for r in items]), np.concatenate([r.present for r in items])
    values: dict[str, float | None] = {
        "ao": _mean([o.mean() for o in overlaps]),
        "sr50": _mean([(o > 0.5).mean() for o in overlaps]),
        "sr75": _mean([(o > 0.75).mean() for o in overlaps]),
        "auc": _mean([r.success.mean() for r in items]),
        "precision": _mean([r.precision[PRECISION_AT] for r in items]),
        "norm_precision": _mean([r.norm_precision.mean() for r in items]),
        "fps": float(len(seconds) / seconds.sum()) if seconds.sum() > 0 else None,
    }
    if not present.all():
        scores = np.concatenate([r.score for r in items])
        values["presence_auc"] = roc_auc(scores, present) if present.any() else None
        values["false_confidence"] = _mean(np.concatenate([r.tracking for r in items])[~present])
    return values


def over_all_frames(results: Iterable[SequenceScores]) -> dict[str, float | None]:
    """AO, SR0.5, SR0.75 over the frames of all sequences together: the overall values of GOT-10k's toolkit."""
    overlaps = np.concatenate([r.overlaps for r in results])
    return {"ao": _mean(overlaps), "sr50": _mean(overlaps > 0.5), "sr75": _mean(overlaps > 0.75)}


def _mean(values: npt.ArrayLike) -> float | None:
    found = np.asarray(values, dtype=np.float64)
    return float(found.mean()) if found.size else None
