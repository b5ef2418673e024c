"""Batches by number: batch k of rank r holds fixed pairs, so that a resumed run sees what an unbroken one would."""

from __future__ import annotations

import signal
from collections.abc import Generator
from typing import TypedDict

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sot_tracker.train.sampling import PairSampler


class Batch(TypedDict):
    """template, search: (B, S, S, 3) uint8 RGB. boxes: (B, 4) x, y, w, h fractions. present: (B,) bool."""

    template: Tensor
    search: Tensor
    boxes: Tensor
    present: Tensor


class Batches(Dataset[Batch]):
    """Batch `step` of this rank: pairs (step * ranks + rank) * size onward."""

    def __init__(self, pairs: PairSampler, size: int, rank: int = 0, ranks: int = 1) -> None:
        self.pairs, self.size, self.rank, self.ranks = pairs, size, rank, ranks

    def __getitem__(self, step: int) -> Batch:
        cv2.setNumThreads(1)
        first = (step * self.ranks + self.rank) * self.size
        drawn = [self.pairs.pair(first + i) for i in range(self.size)]
        return Batch(
            template=torch.from_numpy(np.stack([p.template for p in drawn])),
            search=torch.from_numpy(np.stack([p.search for p in drawn])),
            boxes=torch.from_numpy(np.stack([p.box for p in drawn])),
            present=torch.tensor([p.present for p in drawn]),
        )


def loader(batches: Batches, first: int, last: int, workers: int, pin: bool = False) -> Generator[Batch, None, None]:
    """Batches first .. last - 1 in order, made ahead by `workers` processes (0: none, in this one).

    To be closed: that ends the processes, also after an error. Python itself would wait for them for ever when it
    exits, since they ignore the SIGTERM that it sends.
    """
    made = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=pin,
        worker_init_fn=_leave_signals_to_the_trainer,
    )
    running = iter(made)
    try:
        yield from running
    finally:
        del running  # DataLoader has no public way to end its processes


def _leave_signals_to_the_trainer(_worker: int) -> None:
    """Ctrl-C and torchrun's SIGTERM go to the whole group; without its workers the trainer could not end its step and
    save.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
