"""The metrics of the GOT-10k and LaSOT toolkits, and further ones for frames without the target and for probabilities.

AO, SR0.5, SR0.75: GOT-10k (Huang et al., TPAMI 2021; github.com/got-10k/toolkit 0.1.3, experiments/got10k.py): the
first frame and frames without the visible target are left out; SR counts overlaps greater than the threshold. Overlaps
are those of the toolkit's `rect_iou` with `bound`: a top-left corner outside of the image is moved to its edge while
width and height stay, and then the box is cut at the right and lower edge. So a box that extends beyond the left edge
keeps its full width.

Success AUC, precision, normalised precision: LaSOT (Fan et al., CVPR 2019; github.com/HengLan/LaSOT_Evaluation_Toolkit,
utils/calc_seq_err_robust.m, eval_tracker.m): the first frame counts, with its true box; success is the share of frames
whose overlap is greater than each of 21 thresholds 0, 0.05 .. 1, AUC their mean (at most 20/21); precision the share
whose centre error is at most 20 pixels; normalised precision the mean share over the 51 thresholds 0, 0.01 .. 0.5 of
the centre error divided by the true width and height (Mueller et al., TrackingNet, ECCV 2018). One difference: LaSOT's
toolkit divides by the number of all frames, so that one without the target counts as failed; here such frames are left
out of numerator and denominator, as for GOT-10k.

Overall values are means over sequences, as in LaSOT, so that long sequences do not outweigh the others. GOT-10k's
toolkit computes its overall AO and SR from the frames of all sequences together; `over_all_frames` gives these as well.

For both, a prediction that is not finite or has no size is replaced by the one before it (LaSOT). Frames without any
annotation (test sets have only the first box) count for speed only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sot_tracker.boxes import are_valid, center_errors, ious
from sot_tracker.stats import calibration_error, roc_auc

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

OVERLAPS: Array = np.linspace(0, 1, 21)
PIXELS: Array = np.arange(51, dtype=np.float64)
FRACTIONS: Array = np.linspace(0, 0.5, 51)
PRECISION_AT = 20
RIGHT = 0.5
"""A box with at least this overlap is right, for the calibration error."""


@dataclass(frozen=True, eq=False)
class SequenceScores:
    """The measurements on one sequence of `frames` frames.

    judged: whether there is truth beyond the first frame; without it, the curves and overlaps mean nothing.
    overlaps: GOT-10k's, one per counted frame. success (21,), precision (51,), norm_precision (51,): LaSOT's curves.
    seconds: duration of each update, without the first frame.
    For each frame with known truth, except the first: confidence, the tracker's probability, or its score without one;
    probability, NaN without one; tracking, whether the state was TRACKING; reported, whether the box would have been
    published; present, whether the target was there; right, whether the overlap was at least 0.5.
    """

    frames: int
    judged: bool
    overlaps: Array
    success: Array
    precision: Array
    norm_precision: Array
    seconds: Array
    confidence: Array
    probability: Array
    tracking: Mask
    reported: Mask
    present: Mask
    right: Mask


Results = Mapping[str, Mapping[str, SequenceScores]]
"""label of a model -> name of a sequence -> scores."""


def hold_last(boxes: Array) -> Array:
    """N x 4 with every row that is not finite or has no size replaced by the row before it."""
    held: Array = boxes.copy()
    for i in np.flatnonzero(~are_valid(boxes[1:])) + 1:
        held[i] = held[i - 1]
    return held


def bound(boxes: Array, size: tuple[int, int]) -> Array:
    """N x 4 boxes limited to a (width, height) image as in GOT-10k's toolkit: first the corner, then the size."""
    limit = np.array(size, dtype=np.float64)
    corner = np.clip(boxes[:, :2], 0, limit)
    return np.hstack([corner, np.clip(boxes[:, 2:], 0, limit - corner)])


def measure(
    boxes: Array,
    score: Array,
    tracking: Mask,
    seconds: Array,
    truth: Array,
    visible: Mask,
    size: tuple[int, int],
    known: Mask | None = None,
    reported: Mask | None = None,
    probability: Array | None = None,
) -> SequenceScores:
    """Score one sequence of N frames of size (width, height).

    boxes, truth: N x 4. score, tracking, seconds (duration of update), visible: N. known: N, whether the truth is
    known, by default everywhere. reported: N, by default as tracking. probability: N, by default unknown.
    """
    probability = np.full(len(boxes), np.nan) if probability is None else probability
    held = hold_last(np.vstack([truth[:1], boxes[1:]]))
    known = np.ones(len(boxes), dtype=np.bool_) if known is None else known
    visible = np.logical_and(visible, known)
    later, counted = visible.copy(), known.copy()
    later[0] = counted[0] = False
    predicted, true = held[visible], truth[visible]
    return SequenceScores(
        frames=len(boxes),
        judged=len(boxes) == 1 or bool(counted.any()),
        overlaps=ious(bound(held[later], size), bound(truth[later], size)),
        success=(ious(predicted, true)[:, None] > OVERLAPS).mean(axis=0),
        precision=(center_errors(predicted, true)[:, None] <= PIXELS).mean(axis=0),
        norm_precision=(center_errors(predicted, true, normalized=True)[:, None] <= FRACTIONS).mean(axis=0),
        seconds=seconds[1:],
        confidence=np.where(np.isfinite(probability), probability, score)[counted],
        probability=probability[counted],
        tracking=tracking[counted],
        reported=(tracking if reported is None else reported)[counted],
        present=visible[counted],
        right=(visible & (ious(held, np.nan_to_num(truth)) >= RIGHT))[counted],
    )


def summarize(results: Iterable[SequenceScores]) -> dict[str, float | None]:
    """The overall values by their names in summary.json; None for values that cannot be measured.

    fps is the number of frames divided by the time spent in `update`. If the target is absent in some frame, there are
    also, over the frames of all sequences: `presence_auc`, the probability that the tracker's confidence is higher in a
    frame with the target than in one without it (ROC AUC, ties count half); `false_confidence`, the share of frames
    without the target in which the state was TRACKING; and `false_reports`, the share in which a box was reported. If
    the tracker gives probabilities, there is `calibration_error`, see `stats.calibration_error`.
    """
    everything = list(results)
    items = [r for r in everything if r.judged]
    overlaps = [r.overlaps for r in items if len(r.overlaps)]
    seconds = np.concatenate([r.seconds for r in everything])
    present = np.concatenate([r.present for r in everything])
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
        confidence = np.concatenate([r.confidence for r in items])
        values["presence_auc"] = roc_auc(confidence, present) if present.any() else None
        values["false_confidence"] = _mean(np.concatenate([r.tracking for r in items])[~present])
        values["false_reports"] = _mean(np.concatenate([r.reported for r in items])[~present])
    probability = np.concatenate([r.probability for r in items] or [np.empty(0)])
    if (given := np.isfinite(probability)).any():
        right = np.concatenate([r.right for r in items])
        values["calibration_error"] = calibration_error(probability[given], right[given])
    return values


def over_all_frames(results: Iterable[SequenceScores]) -> dict[str, float | None]:
    """AO, SR0.5, SR0.75 over the frames of all sequences together: the overall values of GOT-10k's toolkit."""
    overlaps = np.concatenate([r.overlaps for r in results if r.judged] or [np.empty(0)])
    return {"ao": _mean(overlaps), "sr50": _mean(overlaps > 0.5), "sr75": _mean(overlaps > 0.75)}


def _mean(values: npt.ArrayLike) -> float | None:
    found = np.asarray(values, dtype=np.float64)
    return float(found.mean()) if found.size else None
