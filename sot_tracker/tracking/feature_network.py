"""Features of search patches, computed by a network, as the input of the filter in `second_opinion.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from sot_tracker.errors import UserError
from sot_tracker.manifest import FEATURES

if TYPE_CHECKING:
    from sot_tracker.catalog import NetworkSpec
    from sot_tracker.engines.network import Network

Array = npt.NDArray[np.float32]


class FeatureNetwork:
    """Computes features with a network whose search maps contain `FEATURES`, which do not depend on the template.

    Raises UserError if the network's maps do not contain them.
    """

    def __init__(self, network: Network, spec: NetworkSpec) -> None:
        self._network, self._size = network, spec.search_size
        self._template = network.template(_grey(spec.template_size))
        if FEATURES not in network.search(self._template, _grey(spec.search_size)):
            raise UserError(f"{network.facts.weights} gives no features, which second_opinion needs: export it again")

    def of(self, patches: Sequence[npt.NDArray[np.generic]]) -> list[Array]:
        """The features (C x g x g) of each search patch (S x S x 3, RGB), resized to this network's input size."""
        inputs = [(self._template, self._resized(patch)) for patch in patches]
        maps = [self._network.search(*inputs[0])] if len(inputs) == 1 else self._network.search_many(inputs)
        return [each[FEATURES] for each in maps]

    def _resized(self, patch: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        values = np.ascontiguousarray(patch, np.uint8)
        if len(values) == self._size:
            return values
        return np.asarray(cv2.resize(values, (self._size, self._size)), np.uint8)


def _grey(size: int) -> npt.NDArray[np.uint8]:
    return np.full((size, size, 3), 127, np.uint8)
