"""Released ONNX trackers of the NanoTrack family as teachers, which give maps and features for training patches.

Their score is high in the whole middle of the target, while the label of a centre head is a narrow peak. So a teacher's
score is not the target of the student's own score. Instead the student predicts the teacher's maps in addition to its
own, from the same features, by 1x1 convolutions that are dropped after training (`Distillation`).

A folder contains `backbone.onnx` and `head.onnx`. Like this project's networks, they have crop factors 2 and 4 for a
square target, and a stride of 16. They take 127 and 255 pixels of the patches of 128 and 256. Their cells, counted from
the middle of the crop, are then half a pixel from those of this project, where cell k stands for pixel 16 k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from sot_tracker.decode_torch import iou
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.train.losses import label_corners

try:
    import onnx
    import onnxruntime
    from google.protobuf.message import DecodeError

    from sot_tracker.train.onnx_on_torch import OnnxOnTorch
except ModuleNotFoundError as missing:
    raise MissingPackage(str(missing.name), "--teacher onnx:DIR", "pip install onnx onnxruntime") from None

BACKBONE, HEAD = "backbone.onnx", "head.onnx"
ENDS = {BACKBONE: ("input", "output"), HEAD: ("input1", "input2", "output1", "output2")}
"""Inputs and outputs of the released graphs."""
TEMPLATE, SEARCH, STRIDE = 127, 255, 16
FEATURES, SCORE, BOX = 2.0, 0.05, 5.0
"""Weights of the three distillation losses. They make them about as large as the losses of the labels."""
AGREES = 0.4
"""A teacher's maps are only used for a pair if its box overlaps the label by more than this, or, for a pair without the
target, if its score is below 0.5."""
GRID = 16
"""Cells per side of this project's maps. A head with fewer cells lacks the first rows and columns."""

Array = npt.NDArray[np.float32]
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class View:
    """A teacher's output for a batch of search patches, on this project's grid.

    logit: (B, g, g) log-odds of the target. boxes: (B, g, g, 4), x1, y1, x2, y2 in fractions of our search patch.
    features: (B, C, g, g), of the search patch alone. known: (g, g) bool, the cells that the teacher has.
    """

    logit: Tensor
    boxes: Tensor
    features: Tensor
    known: Tensor

    @property
    def best(self) -> tuple[Tensor, Tensor]:
        """Box (B, 4) and probability (B,) at the best cell."""
        flat = self.logit.flatten(1)
        rows, cells = torch.arange(len(flat), device=flat.device), flat.argmax(1)
        return self.boxes.flatten(1, 2)[rows, cells], torch.sigmoid(flat[rows, cells])


class OnnxTeacher:
    """A NanoTrack pair. On a CPU it runs in ONNX Runtime, one pair of patches at a time: the graphs have a fixed batch
    of one, which is also fastest there. On an accelerator it runs whole batches, as torch operations.

    device: of the student. Raises UserError if the folder does not contain such a pair of graphs.
    """

    def __init__(self, folder: Path, threads: int = 1, device: torch.device = CPU) -> None:
        graphs = {name: _read(folder / name, ends) for name, ends in ENDS.items()}
        self.width: int = graphs[HEAD].graph.input[1].type.tensor_type.shape.dim[1].dim_value
        self.device = device
        self._run: Callable[[Tensor, Tensor], tuple[Tensor, ...]]
        if device.type == "cpu":
            _free_the_size(graphs[BACKBONE])
            self._run = _Sessions(*graphs.values(), threads=threads)
        else:
            backbone, head = (OnnxOnTorch(graph).to(device) for graph in graphs.values())
            self._run = partial(_in_torch, backbone, head)

    def __call__(self, template: Tensor, search: Tensor) -> View:
        """The view of patches (B, 128, 128, 3) and (B, 256, 256, 3), uint8 RGB, as in `Batch`, on the device."""
        logits, sides, features = self._run(template, search)
        missing, device = GRID - logits.shape[-1], logits.device
        at = (torch.arange(missing, GRID, device=device) * STRIDE).float()
        x, y = at[None, :] - 0.5, at[:, None] - 0.5
        left, top, right, bottom = sides.unbind(1)
        corners = torch.stack((x - left, y - top, x + right, y + bottom), -1) / (SEARCH + 1)
        pad = (missing, 0, missing, 0)
        known = torch.zeros(GRID, GRID, dtype=torch.bool, device=device)
        known[missing:, missing:] = True
        return View(
            logit=F.pad(logits, pad, value=-20.0),
            boxes=F.pad(corners, (0, 0, *pad)),
            features=features,
            known=known,
        )


class _Sessions:
    """Both graphs in ONNX Runtime. Called with uint8 patches, it returns log-odds (B, g, g), distances of the box's
    sides (B, 4, g, g) in pixels, and features of the search patch (B, C, 16, 16).
    """

    def __init__(self, *graphs: onnx.ModelProto, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.backbone, self.head = (
            onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
            for graph in graphs
        )

    def __call__(self, template: Tensor, search: Tensor) -> tuple[Tensor, ...]:
        seen = [self._pair(z, x) for z, x in zip(template.numpy(), search.numpy(), strict=True)]
        return tuple(torch.from_numpy(np.stack(part)) for part in zip(*seen, strict=True))

    def _pair(self, template: npt.NDArray[np.uint8], search: npt.NDArray[np.uint8]) -> tuple[Array, Array, Array]:
        z, x = (self.backbone.run(None, {"input": _crop(p, s)})[0] for p, s in ((template, TEMPLATE), (search, SEARCH)))
        classes, sides = self.head.run(None, {"input1": z, "input2": x})
        return classes[0, 1] - classes[0, 0], sides[0], x[0]


@torch.no_grad()
def _in_torch(backbone: nn.Module, head: nn.Module, template: Tensor, search: Tensor) -> tuple[Tensor, ...]:
    """The same as `_Sessions`, for patches on the device of both graphs."""
    z, x = (
        backbone(patches[:, :side, :side].flip(3).permute(0, 3, 1, 2).float())[0]
        for patches, side in ((template, TEMPLATE), (search, SEARCH))
    )
    classes, sides = head(z, x)
    return classes[:, 1] - classes[:, 0], sides, x


class Distillation(nn.Module):
    """The layers with which a student predicts one teacher's view.

    seen: channels of the student's features of the search patch alone. fused: channels of its head's input.
    width: channels of the teacher's features.
    """

    def __init__(self, seen: int, fused: int, width: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(seen, width, 1)
        # SMAT's features are in the hundreds: without the norm, the losses of fresh layers on them start at 200 times
        # those of the labels and undo what a trained network has learnt.
        self.maps = nn.Sequential(
            nn.BatchNorm2d(fused, affine=False),
            nn.Conv2d(fused, 5, 1),  # log-odds, then left, top, right, bottom from the cell
        )

    def forward(self, seen: Tensor, fused: Tensor) -> tuple[Tensor, Tensor]:
        """From both kinds of the student's features (B, C, g, g) to the predicted features (B, width, g, g) and maps
        (B, 5, g, g) of the teacher.
        """
        return self.features(seen), self.maps(fused)


def lesson(predicted: tuple[Tensor, Tensor], view: View, boxes: Tensor, present: Tensor) -> dict[str, Tensor]:
    """The weighted losses "features", "score" and "box" of a prediction of `Distillation`.

    boxes, present: the batch's labels, as in `losses`.
    """
    features, maps, known = predicted[0].float(), predicted[1].float(), view.known.float()
    score, trusted = torch.sigmoid(view.logit), agrees(view, boxes, present)
    wrong = F.binary_cross_entropy_with_logits(maps[:, 0], score, reduction="none") * known
    at = torch.arange(score.shape[-1], device=score.device) / score.shape[-1]
    x, y = torch.meshgrid(at, at, indexing="xy")
    signs = torch.tensor([-1.0, -1.0, 1.0, 1.0], device=score.device)
    corners = torch.stack((x, y, x, y), -1) + signs * maps[:, 1:].permute(0, 2, 3, 1)
    weight = score * known * (score > 0.3) * (trusted * present)[:, None, None]
    distance = ((corners - view.boxes).abs().mean(-1) * weight).sum() / weight.sum().clamp(min=1e-6)
    alike = F.cosine_similarity(features, view.features, dim=1)
    return {
        "features": FEATURES * (1 - alike).mean(),
        "score": SCORE * (wrong.sum((1, 2)) * trusted).sum() / trusted.sum().clamp(min=1),
        "box": BOX * distance,
    }


def agrees(view: View, boxes: Tensor, present: Tensor) -> Tensor:
    """(B,), 1 if the teacher agrees with the label (see `AGREES`), else 0. Its maps are only learnt where it agrees."""
    box, probability = view.best
    same = iou(box.clamp(0, 1), label_corners(boxes)) > AGREES
    return torch.where(present.bool(), same, probability < 0.5).float()


def _crop(patch: npt.NDArray[np.uint8], side: int) -> Array:
    """RGB (S, S, 3) uint8 -> BGR (1, 3, side, side), 0..255."""
    return np.ascontiguousarray(patch[:side, :side, ::-1].transpose(2, 0, 1)[None], np.float32)


def _read(path: Path, ends: tuple[str, ...]) -> onnx.ModelProto:
    try:
        model = onnx.load(path)
    except FileNotFoundError:
        raise UserError(f"no teacher in '{path.parent}': {path.name} is missing") from None
    except DecodeError:
        raise UserError(f"'{path}' is not an ONNX graph: give the folder of a released NanoTrack pair") from None
    found = tuple(tensor.name for tensor in (*model.graph.input, *model.graph.output))
    if found != ends:
        raise UserError(f"'{path}' has {', '.join(found)} where NanoTrack's graph has {', '.join(ends)}")
    return model


def _free_the_size(graph: onnx.ModelProto) -> None:
    """Make height and width of inputs and outputs dynamic: the graph was exported for 255 pixels and must take 127."""
    for tensor in (*graph.graph.input, *graph.graph.output):
        for axis in (2, 3):
            tensor.type.tensor_type.shape.dim[axis].dim_param = f"side_{axis}_{tensor.name}"
