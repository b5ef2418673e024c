"""Chooses engine, precision and number of threads from the measurements of `sot-tracker tune` on this machine.

Measurements are stored in the user's cache, by processor, runtimes and model files; after a change of any of them they
are not used. `loading` calls `settled` to fill in the options that are `auto` (0 for threads); it measures nothing.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sot_tracker import cpus, user_cache
from sot_tracker.atomic import write_text
from sot_tracker.config import Config
from sot_tracker.errors import UserError
from sot_tracker.manifest import BF16
from sot_tracker.model_folder import Source

log = logging.getLogger(__name__)

MIN_AGREEMENT = 0.97
"""A precision is only chosen automatically if the mean overlap of its boxes with those of fp32 is at least this."""
WORTH = 0.95
"""More threads are only used if the time is less than this share of the time with fewer."""
_FOLDER = "tune"


@dataclass(frozen=True, slots=True)
class Guess:
    """The choice without measurements, on a processor with one of `features` (`cpus.FEATURES`), for a model folder
    whose manifest shows that the boxes in that precision agree with those of fp32.
    """

    features: tuple[str, ...]
    engine: str
    precision: str


GUESSES = (Guess(("AMX", "bf16"), "openvino", BF16),)
"""Tried in this order. bf16 takes 0.52 to 0.61 of the time of the fastest fp32 (docs/experiments.md). No other feature
is known to help every network."""
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "openvino", "torch")


@dataclass(frozen=True, slots=True)
class Run:
    """A measured configuration.

    ms: total time per frame (`bench.measure`). agreement: mean overlap (IoU) of its boxes with those of fp32, 1 for
    fp32 itself.
    """

    engine: str
    precision: str
    threads: int
    ms: float
    agreement: float = 1.0

    def __str__(self) -> str:
        return f"{self.engine} in {self.precision} with {self.threads} thread{'s' * (self.threads > 1)}"


def pick(runs: list[Run], config: Config) -> Run | None:
    """The fastest run that fits the options and agrees with fp32; None if there is none.

    If several runs are almost as fast, the one with the fewest threads: other programs need the processor too.
    """
    able = [
        run
        for run in runs
        if config.engine in ("auto", run.engine)
        and (config.precision == run.precision or (config.precision == "auto" and run.agreement >= MIN_AGREEMENT))
        and config.threads in (0, run.threads)
    ]
    if not able:
        return None
    fastest = min(able, key=lambda run: run.ms)
    return min((run for run in able if run.ms * WORTH <= fastest.ms), key=lambda run: (run.threads, run.ms))


def settled(config: Config, source: Source) -> Config:
    """The options with `auto` replaced by the measured best, or by a guess; unchanged if nothing is `auto` or known.

    Logs the choice.
    """
    is_open = config.engine == "auto" or config.precision == "auto" or config.threads == 0
    if source.manifest is None or not is_open or config.device not in ("auto", "cpu"):
        return config
    runs = read(source)
    run = pick(runs, config)
    if run is None:
        return config if runs else guessed(config, source)
    log.info("%s: %s, %.1f ms per frame when `sot-tracker tune` measured %d ways", config.model, run, run.ms, len(runs))
    return replace(config, engine=run.engine, precision=run.precision, threads=run.threads, device="cpu")


def guessed(config: Config, source: Source) -> Config:
    """The options with the first of `GUESSES` that fits; unchanged if none fits. Logs the choice."""
    assert source.manifest is not None
    there = cpus.features()
    for guess in GUESSES:
        feature = next((name for name in guess.features if name in there), None)
        variant = source.manifest.variants.get(guess.precision)
        proven = variant is not None and variant.overlap >= config.min_agreement
        wanted = config.engine in ("auto", guess.engine) and config.precision == "auto"
        if feature is None or variant is None or not (proven and wanted) or find_spec(guess.engine) is None:
            continue
        if config.device == "auto" and "onnxruntime-gpu" in _versions():
            continue
        log.info(
            "%s: %s in %s, a guess: the processor has %s, and the boxes overlap those of fp32 by %.3f; "
            "`sot-tracker tune` measures it",
            config.model,
            guess.engine,
            guess.precision,
            feature,
            variant.overlap,
        )
        return replace(config, engine=guess.engine, precision=guess.precision, device="cpu")
    return config


def read(source: Source) -> list[Run]:
    """The measurements of these model files on this machine; empty if there are none."""
    assert source.manifest is not None
    files = user_cache.place(_FOLDER).glob(f"{source.manifest.model}-*.json")
    if not any(files):  # saves 15 ms for reading the versions of the runtimes
        return []
    path = _file(source)
    try:
        runs = [Run(**run) for run in json.loads(path.read_text(encoding="utf-8"))["runs"]]
        return [run for run in runs if _is_usable(run)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s cannot be read (%s): run `sot-tracker tune` again", path, error)
        return []


def require_writable() -> None:
    """Raise UserError where `store` could not write, before minutes of measuring."""
    folder = user_cache.place(_FOLDER)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f"the result cannot be stored in {folder}: {error.strerror}; set XDG_CACHE_HOME to a folder that you may"
            " write to"
        ) from None


def store(source: Source, runs: list[Run]) -> Path:
    """Store the measurements. Returns the file. Raises UserError if it cannot be written."""
    path = _file(source)
    values = {"machine": _machine(), "runs": [dataclasses.asdict(run) for run in runs]}
    write_text(path, json.dumps(values, indent=1) + "\n")
    return path


def candidates_of_threads(usable: int) -> list[int]:
    """Numbers of threads to measure: 1, 2, 4 and 8 up to the number of cores, and that number if it is below 8."""
    return sorted({n for n in (1, 2, 4, 8, min(usable, 8)) if n <= usable})


def _is_usable(run: Run) -> bool:
    texts = isinstance(run.engine, str) and isinstance(run.precision, str)
    numbers = isinstance(run.threads, int) and all(isinstance(v, (int, float)) for v in (run.ms, run.agreement))
    return texts and numbers and run.threads > 0 and math.isfinite(run.ms) and run.ms > 0


def _file(source: Source) -> Path:
    assert source.manifest is not None
    digests = {name: variant.files for name, variant in source.manifest.variants.items()}
    key = {"machine": _machine(), "files": digests}
    return user_cache.keyed_file(_FOLDER, source.manifest.model, key, ".json")


def _machine() -> dict[str, Any]:
    """The properties of this machine on which speeds depend."""
    return {"processor": cpus.processor(), "usable": cpus.usable(), **_versions()}


def _versions() -> dict[str, str]:
    import importlib.metadata

    found = {}
    for name in _RUNTIMES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
