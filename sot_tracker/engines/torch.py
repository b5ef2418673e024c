"""The PyTorch engine, for CPU and CUDA; it reads model folders, .safetensors files and seeds.

`FromTemplatePatch` and `FromSearchPatch` add the normalisation of patches to a network. They are also what is exported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sot_tracker.catalog import ModelSpec, NetworkSpec, network_spec
from sot_tracker.checkpoints import load_state_dict
from sot_tracker.config import Config
from sot_tracker.engines.cuda_graphs import Call, Replayed
from sot_tracker.engines.network import Facts, Maps, Network, Patch
from sot_tracker.errors import UserError
from sot_tracker.manifest import WEIGHTS
from sot_tracker.model_folder import Source
from sot_tracker.nets import build

SEED = 0
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class _FromPatch(nn.Module):
    """Converts patches, B x S x S x 3 grey levels, to the B x 3 x S x S normalised input of the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, spec: NetworkSpec) -> None:
        super().__init__()
        mean, std = spec.normalization
        self.net = net
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, 3, 1, 1), persistent=False)

    def normalise(self, patch: Tensor) -> Tensor:
        return (patch.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std


class FromTemplatePatch(_FromPatch):
    """The network's `template`, with a patch as input."""

    def forward(self, patch: Tensor) -> tuple[Tensor, ...]:
        cached: tuple[Tensor, ...] = self.net.template(self.normalise(patch))  # type: ignore[operator]
        return cached


class FromSearchPatch(_FromPatch):
    """The network's `search`, with a patch as input."""

    def forward(self, cached: tuple[Tensor, ...], patch: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = self.net.search(cached, self.normalise(patch))  # type: ignore[operator]
        return maps


class TorchNetwork(Network):
    """A network in PyTorch. bf16 and fp16 use autocast, which keeps norms and softmax in fp32. On CUDA a search is a
    CUDA graph (`cuda_graphs.py`).
    """

    def __init__(self, net: nn.Module, spec: NetworkSpec, facts: Facts) -> None:
        super().__init__(facts)
        self._device = torch.device(facts.device)
        self._template = FromTemplatePatch(net, spec).eval().to(self._device)
        self._search = FromSearchPatch(net, spec).eval().to(self._device)
        self._run: Call = Replayed(self._search) if self._device.type == "cuda" else self._search

    def template(self, patch: Patch) -> tuple[Tensor, ...]:
        with torch.inference_mode(), self._arithmetic():
            cached: tuple[Tensor, ...] = self._template(self._tensor(patch))
            return cached

    def search(self, cached: tuple[Tensor, ...], patch: Patch) -> Maps:
        with torch.inference_mode(), self._arithmetic():
            maps = self._run(cached, self._tensor(patch))
            return {name: value[0].float().cpu().numpy() for name, value in maps.items()}

    def search_many(self, inputs: Sequence[tuple[tuple[Tensor, ...], Patch]]) -> list[Maps]:
        """See `Network.search_many`; the searches run as one batch."""
        cached = tuple(torch.cat(values) for values in zip(*(cached for cached, _ in inputs), strict=True))
        patches = torch.from_numpy(np.stack([patch for _, patch in inputs])).to(self._device)
        with torch.inference_mode(), self._arithmetic():
            maps = {name: value.float().cpu().numpy() for name, value in self._run(cached, patches).items()}
        return [{name: value[i] for name, value in maps.items()} for i in range(len(inputs))]

    def _tensor(self, patch: Patch) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(patch))[None].to(self._device)

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        if self.facts.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, _DTYPES[self.facts.precision], cache_enabled=False)


def load(model: ModelSpec, source: Source, config: Config) -> TorchNetwork:
    """Raises UserError for weights that do not fit, a device that is not there, or fp16 on a CPU.

    `threads` above 0 sets torch's threads for the whole process, which is the only way torch offers.
    """
    if config.precision == "int8":
        raise UserError("precision=int8 is not for the torch engine: choose engine=onnx or engine=openvino")
    device = _device(config.device)
    if config.precision == "fp16" and device == "cpu":
        raise UserError("precision=fp16 needs a GPU with the torch engine: choose fp32 or bf16 on a CPU")
    if config.threads:
        torch.set_num_threads(config.threads)
    net = load_module(model, source)
    facts = Facts.of(
        source,
        engine="torch",
        runtime=f"torch {torch.__version__}",
        device=device,
        precision="fp32" if config.precision == "auto" else config.precision,
        threads=torch.get_num_threads(),
    )
    return TorchNetwork(net, network_spec(model.name), facts)


def load_module(model: ModelSpec, source: Source) -> nn.Module:
    """The network with its weights, fp32, in eval mode. Random weights are the same in every process."""
    if source.is_seed:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            return build(model.name).eval()
    net = build(model.name)
    path = source.folder / source.files.path(WEIGHTS) if source.folder else source.file
    assert path is not None  # a Source is a folder, a file or random
    load_state_dict(path, net, model.name)
    return net.eval()


def _device(wanted: str) -> str:
    if wanted == "tensorrt":
        raise UserError("device=tensorrt is not for the torch engine: choose engine=onnx, or device=cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda, but torch finds no CUDA device: choose device=cpu, or install torch with CUDA")
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"
