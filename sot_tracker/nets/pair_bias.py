"""HiT's dual-image position encoding (paper, section 3.3; fact sheet, section 4): a learned bias per pair of tokens."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Indices = npt.NDArray[np.int64]


class PairBias(nn.Module):
    """The bias added to the logits of one attention layer; pairs of tokens at equal distance share a parameter.

    `attention_bias_idxs` follows from the grids alone but is stored in checkpoints: one that differs from ours belongs
    to a network that numbers the pairs in another way, and is refused.
    """

    attention_bias_idxs: Tensor

    def __init__(self, heads: int, grids: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.grids, self.stride = grids, stride
        idxs = torch.from_numpy(pair_indices(*grids, stride))
        self.attention_biases = nn.Parameter(torch.zeros(heads, int(idxs.max()) + 1))
        self.register_buffer("attention_bias_idxs", idxs.clone())
        self.register_load_state_dict_pre_hook(_refuse_other_indices)  # type: ignore[no-untyped-call]

    def bias(self) -> Tensor:
        """(heads, N_q, N_k); gathered anew each time, so that it cannot be older than the weights."""
        idxs = self.attention_bias_idxs
        return self.attention_biases.index_select(1, idxs.flatten()).reshape(-1, *idxs.shape)

    def resized(self, biases: Tensor) -> Tensor | None:
        """Our table, (heads, n), from that of grids half or twice as fine: what was learned for a distance on the
        picture serves that distance again. None for a table of any other grids.
        """
        own = torch.from_numpy(pair_distances(*self.grids, self.stride)).float()
        for scale in (0.5, 2.0):
            search, template = (int(scale * side) for side in self.grids)
            theirs = torch.from_numpy(pair_distances(search, template, self.stride)).float()
            if biases.shape == (len(self.attention_biases), len(theirs)):
                return biases[:, torch.cdist(scale * own, theirs).argmin(1)]
        return None


@functools.cache
def pair_indices(search_side: int, template_side: int, stride: int) -> Indices:
    """Which entry of a bias table each (query, key) pair uses, (N_q, N_k) int64.

    The template's grid lies on the diagonal behind the search grid. Pairs of equal (|rows|, |columns|) apart share an
    entry, and entries are numbered by first appearance, walking over all keys of the first query, then of the second.
    stride: 1, or 2 where queries are every second token of each grid (`Shrink`).
    """
    code = _codes(search_side, template_side, stride)
    _, first, entry = np.unique(code.ravel(), return_index=True, return_inverse=True)
    number: Indices = np.argsort(np.argsort(first))  # rank of each distance by where it was first met
    table: Indices = number[entry].reshape(code.shape)
    return table


def pair_distances(search_side: int, template_side: int, stride: int) -> Indices:
    """(|rows|, |columns|) that each entry of the bias table stands for, (n, 2), in the order of `pair_indices`."""
    code = _codes(search_side, template_side, stride).ravel()
    _, first = np.unique(code, return_index=True)
    return np.stack(np.divmod(code[np.sort(first)], 2 * (search_side + template_side)), axis=1)


def _codes(search_side: int, template_side: int, stride: int) -> Indices:
    """One number per distance, (N_q, N_k)."""
    keys = _positions(search_side, template_side)
    queries = keys[(keys[:, 0] % 2 == 0) & (keys[:, 1] % 2 == 0)] if stride == 2 else keys
    distance = np.abs(queries[:, None] - keys[None])  # (N_q, N_k, 2)
    codes: Indices = distance[..., 0] * (2 * (search_side + template_side)) + distance[..., 1]
    return codes


def _positions(search_side: int, template_side: int) -> Indices:
    """Row and column of every token, (N, 2)."""
    sides = ((search_side, 0), (template_side, search_side))
    return np.concatenate([np.indices((side, side)).reshape(2, -1).T + origin for side, origin in sides])


def _refuse_other_indices(module: nn.Module, state: dict[str, Any], prefix: str, *details: Any) -> None:
    errors: list[str] = details[-1]
    name = f"{prefix}attention_bias_idxs"
    own: Any = module.attention_bias_idxs
    if name in state and not torch.equal(torch.as_tensor(state[name]).to(own), own):
        errors.append(f"{name} numbers the pairs of tokens in another way than this network")
