"""What a second opinion (`second_opinion.py`) sees of search patches: features of a network that gives them."""

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
    """A network whose search maps hold `FEATURES`, which depend on the search patch alone.

    Raises UserError where its maps do not.
    """

    def __init__(self, network: Network, spec: NetworkSpec) -> None:
        self._network, self._size = network, spec.search_size
        self._anything = network.template(_grey(spec.template_size))
        if FEATURES not in network.search(self._anything, _grey(spec.search_size)):
            raise UserError(f"{network.facts.weights} gives no features, which second_opinion needs: export it again")

    def of(self, patches: Sequence[npt.NDArray[np.generic]]) -> list[Array]:
        """C x g x g of each search patch (S x S x 3, RGB), which is brought to the size of this network."""
        looks = [(self._anything, self._readable(patch)) for patch in patches]
        maps = [self._network.search(*looks[0])] if len(looks) == 1 else self._network.search_many(looks)
        return [each[FEATURES] for each in maps]

    def _readable(self, patch: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        values = np.ascontiguousarray(patch, np.uint8)
        if len(values) == self._size:
            return values
        return np.asarray(cv2.resize(values, (self._size, self._size)), np.uint8)


def _grey(size: int) -> npt.NDArray[np.uint8]:
    return np.full((size, size, 3), 127, np.uint8)
