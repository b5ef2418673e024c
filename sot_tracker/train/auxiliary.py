"""Auxiliary losses besides those of the boxes: a teacher's maps and features, ImageNet features, a label per cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sot_tracker.catalog import network_spec
from sot_tracker.errors import UserError
from sot_tracker.nets import family_of
from sot_tracker.nets.family import Tap
from sot_tracker.train import aux_cell_loss, distill, features
from sot_tracker.train.batches import Batch
from sot_tracker.train.feed import Feed, Teacher
from sot_tracker.train.labels import inside_cells
from sot_tracker.train.recipe import Recipe

if TYPE_CHECKING:
    from sot_tracker.train.onnx_lessons import OnnxTeachers


class AuxiliaryLosses:
    """The losses that are added to those of the boxes.

    teacher: name and weights of a trained network, or None. teach: what is learnt from it, "maps" and "features".
    imagenet: also learn the features of a network that was trained on ImageNet.
    released: folders of released ONNX trackers, see `onnx_lessons`.

    Raises UserError for a teacher whose weights, cells or patches do not fit, MissingPackage where the ImageNet network
    or ONNX Runtime is not installed.
    """

    def __init__(
        self,
        model: str,
        recipe: Recipe,
        feed: Feed,
        teacher: tuple[str, Path] | None = None,
        teach: tuple[str, ...] = ("maps",),
        imagenet: bool = False,
        released: tuple[Path, ...] = (),
    ) -> None:
        self.family, self.recipe, self.feed, self.teach = family_of(model), recipe, feed, teach
        if teacher is not None and "maps" in teach:
            _require_same_grid(model, teacher[0])
        self.teacher = Teacher(*teacher, recipe, feed.device) if teacher else None
        self.imagenet = features.EfficientNetLite().to(feed.device) if imagenet else None
        self.released = _onnx_teachers(released, model, recipe, feed.device) if released else None

    def around(self, net: nn.Module) -> nn.Module:
        """The network with the additional layers that these losses need. It is called like the network alone."""
        teachers: dict[str, tuple[Tap, int]] = {}
        if self.imagenet is not None:
            teachers["features"] = (self.family.backbone_features, features.EfficientNetLite.WIDTH)
        if self.teacher is not None and "features" in self.teach:
            teachers["teacher"] = (self.family.head_features, self.teacher.width)
        trained = net
        if teachers:
            trained = features.Student(net, (self.recipe.template_size, self.recipe.search_size), teachers)
        if self.recipe.cell_loss > 0 and self.family.cell_taps is not None:
            trained = aux_cell_loss.WithCellLogits(trained, net, self.family.cell_taps(net))
        if self.released is not None:
            trained = self.released.around(trained, net, self.family)
        return trained

    def losses(self, maps: dict[str, Any], batch: Batch, z: Tensor, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yields names and values. maps: of the module of `around`; z, x: its patches (B, 3, S, S) in 0..1."""
        boxes, present = (torch.as_tensor(batch[name]).to(self.feed.device) for name in ("boxes", "present"))
        if "inside" in maps:
            yield "cells", self.recipe.cell_loss * aux_cell_loss.loss(maps["inside"], boxes, present)
        if self.released is not None:
            yield from self.released.losses(maps["lessons"], z, x, boxes, present).items()
        if self.imagenet is not None:
            targets = [self.feed.features(self.imagenet, patches) for patches in (z, x)]
            yield "features", features.loss(maps["features"], targets)
        if self.teacher is not None:
            soft, target = self.teacher(z, x)
            if "maps" in self.teach:
                yield "distill", distill.loss(maps, soft)
            if "features" in self.teach:
                inside = inside_cells(boxes, present, target.shape[-1])
                yield "teacher", features.loss(maps["teacher"], [target], inside)


def _onnx_teachers(folders: tuple[Path, ...], model: str, recipe: Recipe, device: torch.device) -> OnnxTeachers:
    from sot_tracker.train.onnx_lessons import OnnxTeachers  # needs ONNX Runtime, which training otherwise does without

    return OnnxTeachers(folders, model, recipe, device)


def _require_same_grid(model: str, teacher: str) -> None:
    """Raise UserError if the strides differ, since maps are compared cell by cell (except for corner networks)."""
    own, theirs = network_spec(model), network_spec(teacher)
    if own.decoding != "corner" and own.stride != theirs.stride:
        raise UserError(
            f"--teacher {teacher} has a cell every {theirs.stride} pixels and {model} every {own.stride}: "
            "choose --teach features"
        )
