"""Released ONNX trackers of the NanoTrack family as teachers: what they see in our own patches, cell by cell.

A folder holds `backbone.onnx` and `head.onnx`. Their crops have factors 2 and 4 for a square target, as ours, and a
stride of 16: 127 and 255 pixels of our patches of 128 and 256 are what they take. Their cells, counted from the middle
of the crop, then lie half a pixel from ours, cell k of which stands for pixel 16 k.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sot_tracker.errors import MissingPackage, UserError

try:
    import onnx
    import onnxruntime
except ModuleNotFoundError as missing:
    raise MissingPackage(str(missing.name), "--teacher onnx:DIR", "pip install onnx onnxruntime") from None

BACKBONE, HEAD = "backbone.onnx", "head.onnx"
TEMPLATE, SEARCH, STRIDE = 127, 255, 16
GRID = 16
"""Cells of our maps; a head with fewer lacks the first ones of each side."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class View:
    """What a teacher says of a batch of search patches on our grid.

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
        rows, cells = torch.arange(len(flat)), flat.argmax(1)
        return self.boxes.flatten(1, 2)[rows, cells], torch.sigmoid(flat[rows, cells])


class OnnxTeacher:
    """A NanoTrack pair in ONNX Runtime, one pair of patches at a time: its graphs are fixed to a batch of one, which is
    also the fastest on a processor.

    Raises UserError if the folder does not hold such a pair of graphs.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        graphs = [_read(folder / name) for name in (BACKBONE, HEAD)]
        _free_the_size(graphs[0])
        try:
            self.backbone, self.head = (
                onnxruntime.InferenceSession(g.SerializeToString(), options, providers=["CPUExecutionProvider"])
                for g in graphs
            )
            self.width = self.head.get_inputs()[1].shape[1]
            blank = np.zeros((1, 128, 128, 3), np.uint8), np.zeros((1, 256, 256, 3), np.uint8)
            self(*(torch.from_numpy(patch) for patch in blank))
        except (onnxruntime.capi.onnxruntime_pybind11_state.OnnxRuntimeException, IndexError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"'{folder}' does not hold a NanoTrack pair ({reason}): give its folder") from None

    def __call__(self, template: Tensor, search: Tensor) -> View:
        """Patches (B, 128, 128, 3) and (B, 256, 256, 3), uint8 RGB, as our batches hold them."""
        seen = [self._pair(z, x) for z, x in zip(template.numpy(), search.numpy(), strict=True)]
        logits, sides, features = (torch.from_numpy(np.stack(part)) for part in zip(*seen, strict=True))
        missing = GRID - logits.shape[-1]
        at = (torch.arange(missing, GRID) * STRIDE).float()
        x, y = at[None, :] - 0.5, at[:, None] - 0.5
        left, top, right, bottom = sides.unbind(1)
        corners = torch.stack((x - left, y - top, x + right, y + bottom), -1) / (SEARCH + 1)
        pad = (missing, 0, missing, 0)
        known = torch.zeros(GRID, GRID, dtype=torch.bool)
        known[missing:, missing:] = True
        return View(
            logit=torch.nn.functional.pad(logits, pad, value=-20.0),
            boxes=torch.nn.functional.pad(corners, (0, 0, *pad)),
            features=features,
            known=known,
        )

    def _pair(self, template: npt.NDArray[np.uint8], search: npt.NDArray[np.uint8]) -> tuple[Array, Array, Array]:
        """Log-odds (g, g), distances of the box's sides (4, g, g) in pixels, features (C, 16, 16)."""
        z, x = (self.backbone.run(None, {"input": _crop(p, s)})[0] for p, s in ((template, TEMPLATE), (search, SEARCH)))
        classes, sides = self.head.run(None, {"input1": z, "input2": x})
        return classes[0, 1] - classes[0, 0], sides[0], x[0]


def _crop(patch: npt.NDArray[np.uint8], side: int) -> Array:
    """RGB (S, S, 3) uint8 -> BGR (1, 3, side, side), 0..255."""
    return np.ascontiguousarray(patch[:side, :side, ::-1].transpose(2, 0, 1)[None], np.float32)


def _read(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)
    except FileNotFoundError:
        raise UserError(f"no teacher in '{path.parent}': {path.name} is missing") from None
    except Exception as error:  # protobuf's own, which is no public class
        raise UserError(f"'{path}' is no ONNX graph ({type(error).__name__})") from None


def _free_the_size(graph: onnx.ModelProto) -> None:
    """Height and width of input and output without a fixed number: exported for 255 pixels, it must take 127 too."""
    for tensor in (*graph.graph.input, *graph.graph.output):
        for axis in (2, 3):
            tensor.type.tensor_type.shape.dim[axis].dim_param = f"side_{axis}_{tensor.name}"
