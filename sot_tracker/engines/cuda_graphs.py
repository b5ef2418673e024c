"""Runs a network as a CUDA graph, which is recorded once for each set of input shapes and then replayed.

A small network consists of a few hundred short kernels. Launching them one by one from Python takes longer than running
them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before recording, in which cuDNN and cuBLAS choose their kernels and allocate their memory."""

Call = Callable[[tuple[Tensor, ...], Tensor], dict[str, Tensor]]


class Replayed:
    """Replays `call`. Arguments are on a CUDA device; results are copied to the CPU, in float32.

    It may be used from several threads, each under `torch.inference_mode`. `call` must not wait for the GPU and must
    not copy from CPU memory: CUDA cannot record this, and the first call with new shapes would raise RuntimeError.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._recorded: dict[tuple[torch.Size, ...], _Recording] = {}
        self._lock = threading.Lock()  # a recording has only one set of input and output buffers

    def __call__(self, cached: tuple[Tensor, ...], patches: Tensor) -> dict[str, Tensor]:
        shapes = tuple(value.shape for value in (*cached, patches))
        with self._lock:
            if shapes not in self._recorded:
                self._recorded[shapes] = _Recording(self._call, cached, patches)
            results = self._recorded[shapes].replay(cached, patches)
            return {name: value.float().cpu() for name, value in results.items()}


class _Recording:
    def __init__(self, call: Call, cached: tuple[Tensor, ...], patches: Tensor) -> None:
        self._inputs = [value.clone() for value in (*cached, patches)]
        self._graph = torch.cuda.CUDAGraph()
        *first, last = self._inputs
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                call(tuple(first), last)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):  # others may use the GPU meanwhile
            self._outputs = call(tuple(first), last)

    def replay(self, cached: tuple[Tensor, ...], patches: Tensor) -> dict[str, Tensor]:
        for own, value in zip(self._inputs, (*cached, patches), strict=True):
            own.copy_(value)
        self._graph.replay()
        return self._outputs
