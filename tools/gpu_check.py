#!/usr/bin/env python3
"""Measure every model that ships on this machine's GPU and compare boxes with PyTorch on the same device.

    python tools/gpu_check.py                                  # CUDA; about ten minutes at most; JSON on stdout
    python tools/gpu_check.py --device cpu --model lite --runs 2    # dry run without a GPU

It needs a checkout with models/, and the packages torch, safetensors, onnxruntime-gpu (TensorRT if it is there).
No data is read. Each part that cannot run says why in "error", and the others go on. "x4" is four targets in one frame.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sot_tracker.agreement import agreement
from sot_tracker.bench import make_clip
from sot_tracker.box import Box
from sot_tracker.catalog import MODELS, ModelSpec, spec
from sot_tracker.config import Config
from sot_tracker.cpus import processor
from sot_tracker.engines.network import Network
from sot_tracker.errors import UserError
from sot_tracker.loading import load_network
from sot_tracker.model_folder import find_weights, shipped_folder

TARGETS = 4
WARM_UP = 5
WAYS = {
    "torch eager": {"engine": "torch"},
    "torch": {"engine": "torch"},
    "torch fp16": {"engine": "torch", "precision": "fp16"},
    "torch compiled": {"engine": "torch"},
    "onnx": {"engine": "onnx"},
    "tensorrt fp16": {"engine": "onnx", "device": "tensorrt", "precision": "fp16"},
}
"""Name -> options; the first is what the others are compared with. All but it replay a CUDA graph in PyTorch."""
EAGER = next(iter(WAYS))


def main() -> int:
    args = _arguments()
    begin = time.monotonic()
    clip = make_clip(20, 640, 480)
    found: dict[str, Any] = {"device": _device(args.device), "runs": args.runs, "models": {}}
    for name in args.model or [name for name in MODELS if shipped_folder(name)]:
        rows: dict[str, Any] = {}
        reference: Network | None = None
        for way, options in WAYS.items():
            if args.way and way not in (*args.way, EAGER):
                continue
            if time.monotonic() - begin > args.seconds:
                rows[way] = {"error": f"left out: {args.seconds} s are over"}
                continue
            try:
                network = _load(spec(name), way, {"device": args.device, **options}, args.device)
                rows[way] = _measured(spec(name), network, args.runs)
                if reference is not None:
                    rows[way]["agreement"] = _agreement(spec(name), reference, network, clip)
                reference = reference or network
            except (UserError, RuntimeError, ImportError) as error:
                rows[way] = {"error": " ".join(str(error).split())[:300]}
        for row in rows.values():
            if "ms" in row and "ms" in rows[EAGER]:
                row["times as fast as eager"] = round(rows[EAGER]["ms"] / row["ms"], 2)
        found["models"][name] = rows
        print(f"{name}: {json.dumps(rows)}", file=sys.stderr)
    found["seconds"] = round(time.monotonic() - begin, 1)
    print(json.dumps(found, indent=1))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", action="append", metavar="NAME", help="repeat for several (default: all that ship)")
    parser.add_argument("--way", action="append", choices=list(WAYS), help="repeat for several (default: all)")
    parser.add_argument("--runs", type=int, default=200, metavar="N", help="searches measured (default: 200)")
    parser.add_argument("--seconds", type=float, default=540, help="nothing new is begun after these (default: 540)")
    return parser.parse_args()


def _device(device: str) -> str:
    if device == "cpu":
        return processor()
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"


def _load(model: ModelSpec, way: str, options: dict[str, Any], device: str) -> Network:
    """Raises UserError where that way cannot run here."""
    if device == "cpu" and options["device"] == "tensorrt":
        raise UserError("left out: a dry run on the CPU")
    config = Config(model=model.name, max_targets=TARGETS, **options)
    if options["device"] == "tensorrt":
        from sot_tracker.engines.onnx import build_tensorrt

        for _ in build_tensorrt(model, find_weights(model, ""), config):
            pass
    network = load_network(model, config)
    if way.startswith("torch ") and device == "cuda":
        _changed(network, way)
    elif way in ("torch fp16", "torch compiled"):
        raise UserError("left out: a dry run on the CPU")
    return network


def _changed(network: Any, way: str) -> None:
    """The network's search without a CUDA graph, or with a graph of what torch.compile makes of it."""
    import torch

    from sot_tracker.engines.cuda_graphs import Replayed

    if way == EAGER:
        network._run = network._search
    elif way == "torch compiled":
        network._run = Replayed(torch.compile(network._search, dynamic=False))


def _measured(model: ModelSpec, network: Network, runs: int) -> dict[str, Any]:
    """Median milliseconds of a search of one target and of `TARGETS`, copies to and from the device included."""
    assert model.network is not None
    rng, sides = np.random.default_rng(0), (model.network.template_size, model.network.search_size)
    z, x = (rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in sides)
    cached = network.template(z)
    one = _median(lambda: network.search(cached, x), runs)
    many = _median(lambda: network.search_many([(cached, x)] * TARGETS), runs)
    return {"runtime": network.description, "ms": one, f"x{TARGETS} ms": many, f"x{TARGETS} cost": round(many / one, 2)}


def _median(call: Callable[[], Any], runs: int) -> float:
    taken = []
    for number in range(runs + WARM_UP):
        begin = time.perf_counter()
        call()
        if number >= WARM_UP:
            taken.append(1e3 * (time.perf_counter() - begin))
    return round(statistics.median(taken), 3)


def _agreement(model: ModelSpec, exact: Network, other: Network, clip: Any) -> dict[str, float]:
    assert model.network is not None
    frames, boxes = list(clip.frames), [Box.from_xywh(box) for box in clip.boxes]
    pairs = list(zip(frames[1:], boxes[1:], boxes[:-1], strict=True))
    return agreement(model.network, exact, other, pairs, frames, boxes[0])


if __name__ == "__main__":
    sys.exit(main())
