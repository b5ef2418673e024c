"""`load` and `load_many`: create a tracker from a model's name and options."""

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
from sot_tracker.config import DEFAULTS, OPTIONS, RENAMED, Config
from sot_tracker.engines.network import ENGINES, Network
from sot_tracker.errors import MissingPackage, UserError, did_you_mean
from sot_tracker.manifest import DEFAULT_VARIANT, INT8, export_hint
from sot_tracker.model_folder import Source, find_weights
from sot_tracker.opencv import PLAIN, OpenCVTracker
from sot_tracker.options import Scope
from sot_tracker.tracker import Policy, Tracker
from sot_tracker.tracking.feature_network import FeatureNetwork
from sot_tracker.tracking.many import MultiTracker
from sot_tracker.tracking.network_tracker import NetworkTracker
from sot_tracker.tracking.realtime import RealtimeTracker

log = logging.getLogger(__name__)


def load(name: str, *, realtime: bool = False, **options: Any) -> Tracker:
    """Create a tracker, ready for `init`. `options` are the fields of `config.Config` (engine, device, weights, ...).

    realtime: give every frame a box within milliseconds, by optical flow if the tracker is slower than the frames
        arrive (`tracking/realtime.py`). Otherwise `update` waits for the tracker, and equal frames give equal boxes.

    Raises UserError for an unknown name or option, missing weights or a missing package.
    """
    require_tracker_options(name, options)
    (tracker,) = load_trackers(Config.from_mapping({**options, "model": name}), realtime)
    return tracker


def load_many(name: str, max_targets: int, *, realtime: bool = False, **options: Any) -> MultiTracker:
    """Like `load`, for up to `max_targets` targets in the same frames (see `MultiTracker.start`, `stop`, `update`).

    The network is loaded once. All targets of a frame are searched for together: in parallel threads, or on a GPU as
    one batch (docs/engines.md). With `realtime` or `max_search_rate` they are searched for one after the other.

    Raises UserError as `load`, and for a number of targets out of range.
    """
    require_tracker_options(name, options)
    trackers = load_trackers(Config.from_mapping({**options, "model": name, "max_targets": max_targets}), realtime)
    return MultiTracker(trackers)


def load_trackers(config: Config, realtime: bool = False) -> list[Tracker]:
    """Create `config.max_targets` trackers that share one network. Raises UserError as `load`.

    Without `realtime`, `max_search_rate` gives trackers in lock-step, which wait for every search.
    """
    if config.max_search_rate and config.propagate == "off":
        raise UserError(
            f"max_search_rate={config.max_search_rate:g} needs optical flow between two searches, which propagate:=off "
            "turns off: leave out one of the two"
        )
    model, count, rate = spec(config.model), config.max_targets, config.max_search_rate
    trackers: list[Tracker]
    if model.network is None:
        if config.second_opinion == "on":
            raise UserError(f"second_opinion works only with networks of this project, not {model.name}: leave it out")
        _warn_of_no_effect(config)
        options = (model.name, config.threads, config.weights, config.lost_threshold, config.max_coast)
        trackers = [OpenCVTracker(*options) for _ in range(count)]
    else:
        one_by_one = realtime or rate > 0
        shared = load_network_tracker(model, replace(config, max_targets=1) if one_by_one else config)
        trackers = [shared, *(shared.another() for _ in range(count - 1))]
    if realtime:
        executor = ThreadPoolExecutor(1, thread_name_prefix="search")
        return [RealtimeTracker(tracker, executor, max_search_rate=rate) for tracker in trackers]
    return [RealtimeTracker(tracker, max_search_rate=rate, lockstep=True) for tracker in trackers] if rate else trackers


def _warn_of_no_effect(config: Config) -> None:
    """Warn of options without effect: OpenCV's trackers run on the CPU only, without the loop around a network.

    This is no error, since `eval` gives the same options to all models.
    """
    given = {name: getattr(config, name) for name in ("engine", "device", "precision")}
    given = {name: value for name, value in given.items() if value not in ("auto", "cpu", "fp32")}
    loop = ["lost_threshold"] * (config.model in PLAIN and config.lost_threshold >= 0)
    loop += ["reacquire_positions", "init_size_correction", "size_smoothing", "search_around"]
    given |= {name: value for name in loop if (value := getattr(config, name)) != DEFAULTS[name]}
    without = [f"{name}={value}" for name, value in given.items()]
    if without:
        verb = "has" if len(without) == 1 else "have"
        log.warning("%s runs in OpenCV on the CPU: %s %s no effect", config.model, " and ".join(without), verb)


def require_tracker_options(name: object, options: Iterable[str]) -> None:
    """Raise UserError if the name is not a string, or for an option that is unknown or only for the ROS node."""
    if not isinstance(name, str):
        raise UserError(f"model {name!r:.40} is not a name: give one of {', '.join(MODELS)}")
    known = [option for option, facts in OPTIONS.items() if facts.scope is Scope.TRACKER and option != "model"]
    for option in options:
        if option in OPTIONS and option not in known:
            raise UserError(f"option {option} is only for the ROS node: leave it out here")
        if option not in known and option not in RENAMED:
            raise UserError(f"unknown option '{option}'{did_you_mean(option, known)}; known are {', '.join(known)}")


def load_network_tracker(model: ModelSpec, config: Config) -> NetworkTracker:
    """Create the tracker of that catalogue row, with the engine, device, precision and weights of `config`.

    Raises UserError for missing weights, a missing package or a model without a network.
    """
    if model.network is None:
        raise UserError(f"model '{model.name}' has no network")
    network = load_network(model, config)
    calibration = network.facts.calibration
    features = _second_opinion(model, network, config)
    return NetworkTracker(model.name, model.network, network, Policy.of(config), False, calibration, features)


def _second_opinion(model: ModelSpec, network: Network, config: Config) -> FeatureNetwork | None:
    """Load the features if the option `second_opinion` requires them. If "auto" cannot load them, log a warning."""
    if config.second_opinion == "off" or (config.second_opinion == "auto" and not model.second_opinion):
        return None
    try:
        return load_features(model, network, config)
    except UserError as error:  # an older export of lite, or lite's weights are missing
        if config.second_opinion == "on":
            raise
        log.warning("running without second_opinion: %s", error)
        return None


def load_features(model: ModelSpec, network: Network, config: Config) -> FeatureNetwork:
    """The features for a second opinion: the network's own, or those of `FEATURE_MODEL` with the weights that ship.

    Raises UserError as `load_network`, and if the weights provide no features.
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
    """Options for `FEATURE_MODEL` when it runs beside `network`: the same engine, its fp32 or bf16, and one thread.

    One thread, because threads spin while they wait: those of two networks would take processor time from each other.
    With torch it is the same number as for `network`, because all torch networks share one setting.
    """
    facts = network.facts
    return replace(
        config,
        model=FEATURE_MODEL,
        weights="",
        engine=facts.engine,
        device="cuda" if config.device == "tensorrt" else config.device,  # CUDA needs no `sot-tracker prepare`
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
    if config.threads == 0 and cpus.is_restricted():  # by default ONNX Runtime takes every core of the machine
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


def int8_variant(model: ModelSpec, source: Source, min_agreement: float) -> Source:
    """The int8 variant of those weights. Raises UserError if there is none, or if it agrees too little with fp32."""
    if source.manifest is None or INT8 not in source.manifest.variants:
        raise UserError(
            f"precision=int8, but {source.name} has no int8 variant: make one with `sot-tracker export --model"
            f" {model.name} --weights DIR --precision int8 --data PICTURES --out DIR`"
        )
    require_agreement(source, INT8, min_agreement)
    return replace(source, variant=INT8)


def require_agreement(source: Source, name: str, min_agreement: float) -> None:
    """Raise UserError if the boxes of that variant overlap those of fp32 too little."""
    assert source.manifest is not None
    variant = source.manifest.variants[name]
    if variant.precision != DEFAULT_VARIANT and variant.overlap < min_agreement:
        raise UserError(
            f"the boxes of the {name} variant of {source.name} overlap those of fp32 by only {variant.overlap:.3f},"
            f" min_agreement is {min_agreement:g}: choose precision=fp32, export it again with more pictures, or lower"
            " min_agreement"
        )


def choose_engine(model: ModelSpec, source: Source, config: Config) -> str:
    """The requested engine; for "auto" the first installed one that supports the weights, the device and the precision.

    Raises UserError if the engine cannot read the weights, MissingPackage if it is not installed.
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
    """Whether `auto` may choose this engine for the requested precision and device, and for random weights."""
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
