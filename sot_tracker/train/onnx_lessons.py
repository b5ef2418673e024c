"""Distillation from released ONNX trackers: the student also learns to predict their maps and features.

With n teachers, each one is used for every n-th pair of a batch. The layers for the predictions are added to the
network during training (`Taught`) and not stored with its weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sot_tracker.catalog import network_spec
from sot_tracker.errors import UserError
from sot_tracker.nets.family import Family
from sot_tracker.train import features
from sot_tracker.train.onnx_teacher import CPU, GRID, STRIDE, Distillation, OnnxTeacher, lesson
from sot_tracker.train.recipe import Recipe

SIZES = (8 * STRIDE, GRID * STRIDE)
"""Sizes of template and search patch, pixels, for which the released graphs are made (with crop factors 2 and 4)."""


class Taught(nn.Module):
    """A network with the layers that predict each teacher's view. It is called like the network alone.

    trained: the network, or the module that other losses have put around it. net: the network itself.
    """

    def __init__(self, trained: nn.Module, net: nn.Module, family: Family, widths: list[int]) -> None:
        super().__init__()
        self.taps = family.backbone_features, family.head_features
        self.trained = trained
        self._net = [net]  # in a list: its parameters are those of `trained` and must not be counted twice
        seen, fused = (features.width(net, SIZES, tap) for tap in self.taps)
        self.lessons = nn.ModuleList(Distillation(seen, fused, width) for width in widths)

    def forward(self, z: Tensor, x: Tensor) -> dict[str, Any]:
        """The network's maps, and as "lessons" its predictions for each teacher's pairs."""
        (net,) = self._net
        with features.tapped(net, self.taps[0]) as seen, features.tapped(net, self.taps[1]) as fused:
            maps = self.trained(z, x)
        turns = len(self.lessons)
        lessons = [learn(seen[-1][k::turns], fused[-1][k::turns]) for k, learn in enumerate(self.lessons)]
        return {**maps, "lessons": lessons}


class OnnxTeachers:
    """The released pairs in these folders. device: of the student and the teachers.

    Raises UserError for a folder without a pair, a network with other patches than theirs, and batches with fewer pairs
    than teachers.
    """

    def __init__(self, folders: tuple[Path, ...], model: str, recipe: Recipe, device: torch.device = CPU) -> None:
        spec, sizes = network_spec(model), (recipe.template_size, recipe.search_size)
        if sizes != SIZES or (spec.template_factor, spec.search_factor) != (2.0, 4.0):
            given = f"{sizes[0]} and {sizes[1]} at {spec.template_factor:g} and {spec.search_factor:g}"
            raise UserError(
                f"--teacher onnx:{folders[0]} takes patches of {SIZES[0]} and {SIZES[1]} pixels at factors 2 and 4, "
                f"and {model} takes {given}: leave the sizes as published, or choose another teacher"
            )
        if recipe.batch < len(folders):
            raise UserError(f"batch={recipe.batch} is less than a pair for each of {len(folders)} teachers: give more")
        self.teachers = [OnnxTeacher(folder, torch.get_num_threads(), device) for folder in folders]

    def around(self, trained: nn.Module, net: nn.Module, family: Family) -> Taught:
        """The module to train: `trained` with the layers for these teachers."""
        return Taught(trained, net, family, [teacher.width for teacher in self.teachers])

    def losses(
        self, lessons: list[tuple[Tensor, Tensor]], z: Tensor, x: Tensor, boxes: Tensor, present: Tensor
    ) -> dict[str, Tensor]:
        """Weighted losses, means over the teachers. lessons: of `Taught`; z, x: patches (B, 3, S, S) in 0..1;
        boxes, present: the batch's labels.
        """
        pixels, turns = [(255 * patches).round().byte().permute(0, 2, 3, 1) for patches in (z, x)], len(lessons)
        total: dict[str, Tensor] = {}
        for k, (teacher, predicted) in enumerate(zip(self.teachers, lessons, strict=True)):
            mine = slice(k, None, turns)
            view = teacher(*(patches[mine] for patches in pixels))
            for name, value in lesson(predicted, view, boxes[mine], present[mine]).items():
                total[name] = total.get(name, 0.0) + value / turns
        return {f"onnx_{name}": value for name, value in total.items()}
