"""`load`: from a name and options to a tracker that is ready."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sot_tracker import cpus, heap, tuning
from sot_tracker.catalog import FEATURE_MODEL, MODELS, ModelSpec, network_spec, spec
from sot_tracker.config import OPTIONS, RENAMED, Config
from sot_tracker.engines.network import ENGINES, Network
from sot_tracker.errors import MissingPackage, UserError, did_you_mean
from sot_tracker.manifest import DEFAULT_VARIANT, INT8, export_hint
from sot_tracker.model_folder import Source, find_weights
from sot_tracker.opencv import OpenCVTracker
from sot_tracker.options import Scope
from sot_tracker.tracker import Policy, Tracker
from sot_tracker.tracking.feature_network import FeatureNetwork
from sot_tracker.tracking.many import MultiTracker
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.tracking.realtime import RealtimeTracker

log = logging.getLogger(__name__)


def load(name: str, *, realtime: bool = False, **options: Any) -> Tracker:
    """A tracker ready for `init`. `options` are the fields of `config.Config` (engine, device, weights, ...).

    realtime: give every frame a box within milliseconds, by optical flow where the tracker is slower than the frames
        come (`tracking/realtime.py`); without, `update` waits for the tracker, and equal frames give equal boxes.

    Raises UserError for an unknown name or option, missing weights or a missing package.
    """
    require_tracker_options(name, options)
    (tracker,) = load_trackers(Config.from_mapping({**options, "model": name}), realtime)
    return tracker


def load_many(name: str, max_targets: int, *, realtime: bool = False, **options: Any) -> MultiTracker:
    """Like `load`, for up to `max_targets` targets in the same frames: `start`, `stop`, `update`.

    The network is loaded once. Without `realtime` all targets of a frame are searched together, as the engine does it
    best (docs/engines.md): side by side, or on a GPU as one batch. With `realtime` their looks take turns.

    Raises UserError as `load`, and for a number of targets out of range.
    """
    require_tracker_options(name, options)
    trackers = load_trackers(Config.from_mapping({**options, "model": name, "max_targets": max_targets}), realtime)
    return MultiTracker(trackers)


def load_trackers(config: Config, realtime: bool = False) -> list[Tracker]:
    """`config.max_targets` trackers that share one network. Raises UserError as `load`."""
    if config.max_search_rate and not realtime:
        raise UserError(
            f"max_search_rate={config.max_search_rate:g} needs optical flow between two searches (propagate:=auto in "
            "the node, realtime=True in Python, a camera in `track`): leave it out where every frame is searched"
        )
    model, count = spec(config.model), config.max_targets
    trackers: list[Tracker]
    if model.network is None:
        if config.second_opinion == "on":
            raise UserError(f"second_opinion works beside networks of this project, not {model.name}: leave it out")
        _warn_of_no_effect(config)
        options = (model.name, config.threads, config.weights, config.lost_threshold, config.max_coast)
        trackers = [OpenCVTracker(*options) for _ in range(count)]
    else:
        shared = load_network_tracker(model, replace(config, max_targets=1) if realtime else config)
        trackers = [shared, *(shared.another() for _ in range(count - 1))]
    if not realtime:
        return trackers
    executor = ThreadPoolExecutor(1, thread_name_prefix="look")
    return [RealtimeTracker(tracker, executor, max_search_rate=config.max_search_rate) for tracker in trackers]


def _warn_of_no_effect(config: Config) -> None:
    """OpenCV's trackers run on the CPU as they are, also in an evaluation whose other models run elsewhere."""
    given = {"engine": config.engine, "device": config.device, "precision": config.precision}
    without = [f"{name}={value}" for name, value in given.items() if value not in ("auto", "cpu", "fp32")]
    if without:
        log.warning("%s runs in OpenCV on the CPU: no effect of %s", config.model, " and ".join(without))


def require_tracker_options(name: object, options: Iterable[str]) -> None:
    """Raises UserError for a name that is no text, an option of the node alone, and one that does not exist."""
    if not isinstance(name, str):
        raise UserError(f"model {name!r:.40} is no name: give one of {', '.join(MODELS)}")
    known = [option for option, facts in OPTIONS.items() if facts.scope is Scope.TRACKER and option != "model"]
    for option in options:
        if option in OPTIONS and option not in known:
            raise UserError(f"option {option} is for the ROS node alone: leave it out here")
        if option not in known and option not in RENAMED:
            raise UserError(f"unknown option '{option}'{did_you_mean(option, known)}; known are {', '.join(known)}")


def load_network_tracker(model: ModelSpec, config: Config) -> NetworkTracker:
    """A tracker of that catalogue row, its network loaded with the engine, device, precision and weights of `config`.

    Raises UserError for missing weights, a missing package or a model without a network.
    """
    if model.network is None:
        raise UserError(f"model '{model.name}' has no network")
    network = load_network(model, config)
    calibration = network.facts.calibration
    features = _second_opinion(model, network, config)
    return NetworkTracker(model.name, model.network, network, Policy.of(config), False, calibration, features)


def _second_opinion(model: ModelSpec, network: Network, config: Config) -> FeatureNetwork | None:
    """`load_features` where the option asks for it. Where `auto` cannot have it, a warning says why."""
    if config.second_opinion == "off" or (config.second_opinion == "auto" and not model.second_opinion):
        return None
    try:
        return load_features(model, network, config)
    except UserError as error:  # an older export of lite, or weights of lite that are not there
        if config.second_opinion == "on":
            raise
        log.warning("no second opinion: %s", error)
        return None


def load_features(model: ModelSpec, network: Network, config: Config) -> FeatureNetwork:
    """What a second opinion beside that network sees: its own features, or those of `FEATURE_MODEL` as it ships.

    Raises UserError as `load_network`, and for weights that give no features.
    """
    beside = model.name != FEATURE_MODEL
    if beside:
        network = load_network(spec(FEATURE_MODEL), _beside(network, config))
    features = FeatureNetwork(network, network_spec(FEATURE_MODEL))
    if beside:
        network.drop_template()  # features depend on the search patch alone
        heap.give_back()
    return features


def _beside(network: Network, config: Config) -> Config:
    """The options of the network that gives features beside that one: its engine, its fp32 or bf16, and one thread.

    One thread, since those of two networks, which wait by spinning, would keep each other from the processors. In torch
    all networks share their threads, so that one with fewer would slow the others down.
    """
    facts = network.facts
    return replace(
        config,
        model=FEATURE_MODEL,
        weights="",
        engine=facts.engine,
        device="cuda" if config.device == "tensorrt" else config.device,  # which needs nothing prepared
        precision=facts.precision if facts.precision in ("fp32", "bf16") else "auto",
        threads=facts.threads if facts.engine == "torch" else 1,
    )


def load_network(model: ModelSpec, config: Config) -> Network:
    """The network of that model, run once so that the first frame is as fast as the others.

    Raises UserError for missing or damaged weights and for what the machine cannot do; MissingPackage where the engine
    is not installed.
    """
    source = find_weights(model, config.weights)
    config = tuning.settled(config, source)
    if config.precision == INT8:
        source = int8_variant(model, source, config.min_agreement)
    elif source.manifest is not None and config.precision in source.manifest.variants:
        require_agreement(source, config.precision, config.min_agreement)
    if config.threads == 0 and cpus.is_restricted():  # left alone, ONNX Runtime takes every core of the machine
        config = replace(config, threads=cpus.usable())
    name = choose_engine(model, source, config)
    if source.is_seed and name != "torch":
        with tempfile.TemporaryDirectory(prefix="sot_tracker-") as place:
            network = _load(name, model, _exported(model, source, Path(place)), config)
    else:
        network = _load(name, model, source, config)
    if network.facts.random:
        log.warning("%s runs with RANDOM WEIGHTS: its boxes mean nothing, this is for benchmarks only", model.name)
    log.info("%s: %s", model.name, network.description)
    return network


def int8_variant(model: ModelSpec, source: Source, least: float) -> Source:
    """The int8 variant of those weights. Raises UserError where there is none, or one that agrees too little."""
    if source.manifest is None or INT8 not in source.manifest.variants:
        raise UserError(
            f"precision=int8, but {source.name} has no int8 variant: make one with `sot-tracker export --model"
            f" {model.name} --weights DIR --precision int8 --data PICTURES --out DIR`"
        )
    require_agreement(source, INT8, least)
    return replace(source, variant=INT8)


def require_agreement(source: Source, name: str, least: float) -> None:
    """Raises UserError for a variant whose boxes overlap those of fp32 too little."""
    assert source.manifest is not None
    variant = source.manifest.variants[name]
    if variant.precision != DEFAULT_VARIANT and variant.overlap < least:
        raise UserError(
            f"the {name} variant of {source.name} agrees with fp32 by {variant.overlap:.3f} only, min_agreement is"
            f" {least:g}: choose precision=fp32, export it again with more pictures, or lower min_agreement"
        )


def choose_engine(model: ModelSpec, source: Source, config: Config) -> str:
    """The engine asked for, or the first installed one that can read the weights and do what is asked.

    Raises UserError if the weights are not for that engine, MissingPackage if it is not installed.
    """
    wanted = list(ENGINES) if config.engine == "auto" else [config.engine]
    readers = [name for name in wanted if name == "torch" or source.folder or source.is_seed]
    if not readers:
        raise UserError(
            f"engine={config.engine} reads model folders, not {source.name}: run `{export_hint(model)}` first"
        )
    if config.engine == "auto":
        readers = [name for name in readers if _suits(name, source, config)] or readers[:1]
    for name in readers:
        if find_spec(ENGINES[name]) is not None:
            return name
    if config.engine == "auto" and config.device == "cuda":
        raise MissingPackage("onnxruntime-gpu", f"running {model.name} with device=cuda", "pip install onnxruntime-gpu")
    raise MissingPackage(ENGINES[readers[0]], f"running {model.name}", f"pip install 'sot_tracker[{readers[0]}]'")


def _suits(name: str, source: Source, config: Config) -> bool:
    """Whether `auto` should try this engine for the precision and device asked for, and for bare random weights."""
    if name == "torch":
        return config.device != "tensorrt" and config.precision != INT8
    if source.is_seed and config.device != "tensorrt":
        return False
    if name == "openvino":
        return config.device in ("auto", "cpu") and config.precision != "fp16"
    if config.precision == "bf16" or (config.precision == "fp16" and config.device != "tensorrt"):
        return False
    if config.device == "cuda" and find_spec(ENGINES[name]) is not None:
        return "CUDAExecutionProvider" in import_module(ENGINES[name]).get_available_providers()
    return True


def _load(name: str, model: ModelSpec, source: Source, config: Config) -> Network:
    network: Network = import_module(f"sot_tracker.engines.{name}").load(model, source, config)
    assert model.network is not None  # or it would have no weights
    network.warm_up(model.network, config.max_targets)
    heap.give_back()
    return network


def _exported(model: ModelSpec, source: Source, place: Path) -> Source:
    from sot_tracker.export import export

    return export(model, source, place / model.name, storage="fp32")
