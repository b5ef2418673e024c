"""Every network through export and all engines: slow, so `-m slow` runs it. What ships is checked in every run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sot_tracker import catalog
from sot_tracker.box import Box
from sot_tracker.config import Config
from sot_tracker.crop import crop_black
from sot_tracker.engines.network import ENGINES
from sot_tracker.loading import load, load_network
from sot_tracker.model_folder import shipped_folder
from sot_tracker.synth import ClipConfig, procedural_pictures, render
from sot_tracker.tracking.network_tracker import NetworkTracker

NETWORKS = [name for name, model in catalog.MODELS.items() if model.network]
SHIPPED = [name for name in NETWORKS if shipped_folder(name)]


@pytest.fixture(scope="module")
def clip() -> tuple[list[Any], list[Box]]:
    config = ClipConfig(frames=101, width=320, height=240, events=("scale", "blur"), target_size=(0.2, 0.4))
    shown = list(render(config, procedural_pictures(1)))
    return [item.image for item in shown], [item.box or Box(140, 100, 40, 40) for item in shown]


def boxes(name: str, engine: str, weights: str, frames: list[Any], forced: list[Box]) -> list[Box]:
    """What the tracker finds in each frame, its search window put on a given box each time."""
    network = load_network(catalog.spec(name), Config(model=name, engine=engine, weights=weights))
    tracker = NetworkTracker(name, catalog.network_spec(name), network)
    tracker.init(frames[0], forced[0])
    found = []
    for frame, box in zip(frames[1:], forced, strict=False):
        tracker.recenter(box)
        found.append(tracker.update(frame).box)
    return found


def check_agreement(name: str, weights: str, frames: list[Any], forced: list[Box]) -> None:
    engines = [engine for engine, package in ENGINES.items() if importlib.util.find_spec(package)]
    first, *others = (boxes(name, engine, weights, frames, forced) for engine in engines)
    assert np.std([box.xywh for box in first], axis=0).max() > 1, "the network answers to the frames"
    for engine, found in zip(engines[1:], others, strict=True):
        assert min(a.iou(b) for a, b in zip(first, found, strict=True)) > 0.999, engine


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_model_in_all_engines(name: str, clip: tuple[list[Any], list[Box]]) -> None:
    frames, forced = clip
    check_agreement(name, "", frames[:8], forced[:8])


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_model_follows(name: str, clip: tuple[list[Any], list[Box]]) -> None:
    frames, truth = clip
    assert max(truth[0].iou(box) for box in truth[60:71]) < 0.3, "a box that stands still has lost it"
    tracker = load(name)
    tracker.init(frames[0], truth[0])
    overlaps = [tracker.update(frame).box.iou(box) for frame, box in zip(frames[2:71:2], truth[2:71:2], strict=True)]
    assert min(overlaps) > 0.5


def temper(name: str, weights: Path, frames: list[Any], forced: list[Box]) -> None:
    """Bring HiT's corner logits on this clip to a spread of 1, in the weights file.

    The seeded ones reach tens of thousands, where a softmax turns the last bits of float32 into pixels: with hit_base
    all engines, torch included, are 1e-5 of that away from float64.
    """
    from safetensors.torch import load_file, save_file

    network = load_network(catalog.spec(name), Config(model=name, engine="torch", weights=str(weights)))
    cached = network.template(crop_black(frames[0], forced[0], 2.0, 128).patch)
    patches = [crop_black(frame, box, 4.0, 256).patch for frame, box in zip(frames[1::10], forced[::10], strict=False)]
    maps = [network.search(cached, patch) for patch in patches]
    state = load_file(weights)
    for corner in ("tl", "br"):
        for kind in ("weight", "bias"):
            state[f"box_head.conv5_{corner}.{kind}"] /= max(float(found[corner].std()) for found in maps)
    save_file(state, weights, {"model": name})


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_network_in_all_engines(name: str, clip: tuple[list[Any], list[Box]], tmp_path: Path) -> None:
    """Exported (which compares graphs and torch within 1e-4), then IoU above 0.999 over 100 frames, fp32.

    Weights as in the parity tests: all activations are alive, so that a wrong graph cannot hide.
    """
    pytest.importorskip("torch")
    from sot_tracker.checkpoints import save_state_dict
    from sot_tracker.export import export
    from sot_tracker.model_folder import find_weights

    spec = importlib.util.spec_from_file_location("cases", Path(__file__).parent.parent / "parity" / "cases.py")
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = cases  # dataclasses look their module up
    spec.loader.exec_module(cases)
    net = cases.load_net(name, 0, cases.DATA / name.partition("_")[0] / f"{name}.manifest.json")
    weights = tmp_path / "seeded.safetensors"
    save_state_dict(weights, name, net.state_dict(), {})
    if catalog.network_spec(name).decoding == "corner":
        temper(name, weights, *clip)
    source = find_weights(catalog.spec(name), str(weights))
    export(catalog.spec(name), source, tmp_path / name)
    check_agreement(name, str(tmp_path / name), *clip)
