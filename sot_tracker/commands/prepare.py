"""`sot-tracker prepare --model NAME --device tensorrt`: the slow work of a device, done once and not while tracking."""

from __future__ import annotations

import argparse
import contextlib
import threading
from collections.abc import Iterator
from itertools import chain
from typing import Any

from tqdm import tqdm

from sot_tracker.catalog import ModelSpec, network_spec, spec
from sot_tracker.commands.options import add_tracker_options, tracker_options
from sot_tracker.config import OPTIONS, Config
from sot_tracker.engines.network import ENGINES
from sot_tracker.errors import MissingPackage, UserError
from sot_tracker.loading import load_network
from sot_tracker.model_folder import find_weights
from sot_tracker.options import Scope

_SECOND = 1.0
_BUILT_FOR = {"model", "engine", "device", "precision", "threads", "weights"}
_OF_THE_LOOP = {name for name, facts in OPTIONS.items() if facts.scope is Scope.TRACKER} - _BUILT_FOR
"""Options of the loop around the network, for which nothing is prepared."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Example: sot-tracker prepare --model fermt --device tensorrt --precision fp16"
    parser.add_argument("--model", required=True, help="network, see `sot-tracker models`")
    add_tracker_options(parser, without={"model", *_OF_THE_LOOP})


def run(args: argparse.Namespace) -> int:
    """Build TensorRT engines; on any other device, load the network and run it once."""
    network_spec(args.model)
    model, config = spec(args.model), Config(model=args.model, **tracker_options(args, without=_OF_THE_LOOP))
    if config.device == "tensorrt":
        _build(model, config)
    print(f"{model.name}: {load_network(model, config).description}")
    return 0


def _build(model: ModelSpec, config: Config) -> None:
    if config.engine not in ("auto", "onnx"):
        raise UserError(f"device=tensorrt is not for engine={config.engine}: give --engine onnx")
    try:
        from sot_tracker.engines import onnx
    except ModuleNotFoundError:
        raise MissingPackage(ENGINES["onnx"], "TensorRT", "pip install onnxruntime-gpu") from None
    graphs = onnx.build_tensorrt(model, find_weights(model, config.weights), config)
    first = next(graphs)  # a device or folder that will not do is reported before there is a bar
    with tqdm(desc="building TensorRT engines, this takes minutes", unit="graph") as bar, _ticking(bar):
        for graph in chain([first], graphs):
            bar.set_postfix_str(graph.name)
            bar.update()


@contextlib.contextmanager
def _ticking(bar: Any) -> Iterator[None]:
    """Let the clock of the bar run while a single call works."""
    done = threading.Event()

    def tick() -> None:
        while not done.wait(_SECOND):
            bar.refresh()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
