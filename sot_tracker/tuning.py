"""Which engine, precision and threads are fastest here: what `sot-tracker tune` measured, and what follows from it.

Measurements are kept in the user's cache by processor, runtimes and model files: after an update of any of them they no
longer count. `loading` asks here for every option that is `auto` (0 for threads); nothing is measured then.
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
"""Mean overlap with the boxes of fp32 below which a precision is not taken by itself."""
WORTH = 0.95
"""A run with more threads counts as faster below this share of the milliseconds of one with fewer."""
_FOLDER = "tune"


@dataclass(frozen=True, slots=True)
class Guess:
    """What is taken where nothing was measured, on a processor with one of `features` (`cpus.FEATURES`), for a model
    folder whose manifest shows that its boxes in that precision are those of fp32.
    """

    features: tuple[str, ...]
    engine: str
    precision: str


GUESSES = (Guess(("AMX", "bf16"), "openvino", BF16),)
"""In the order in which they are tried. bf16 takes 0.52 to 0.61 of the time of the fastest fp32 (docs/experiments.md);
of no other feature a gain is known that holds for every network."""
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "openvino", "torch")


@dataclass(frozen=True, slots=True)
class Run:
    """One configuration as it was measured.

    ms: per frame in all (`bench.measure`). agreement: mean overlap (IoU) of its boxes with those of fp32, 1 for fp32
    itself.
    """

    engine: str
    precision: str
    threads: int
    ms: float
    agreement: float = 1.0

    def __str__(self) -> str:
        return f"{self.engine} in {self.precision} with {self.threads} thread{'s' * (self.threads > 1)}"


def pick(runs: list[Run], config: Config) -> Run | None:
    """The fastest run that does what the options ask and agrees with fp32; None where none does.

    Of runs that are almost as fast the one with the fewest threads: other programs need the processor too.
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
    """The options with what was measured in place of `auto`; as they are where nothing was measured or nothing is open.

    Logs what it took and why.
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
    """The options with the first of `GUESSES` that fits; as they are where none does. Logs what it took and why."""
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
    """What was measured of these model files on this machine; empty where nothing was."""
    assert source.manifest is not None
    files = user_cache.place(_FOLDER).glob(f"{source.manifest.model}-*.json")
    if not any(files):  # then the versions of the runtimes, which take 15 ms, are not needed
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
    """Keep the measurements; the file they are in. Raises UserError if it cannot be written."""
    path = _file(source)
    values = {"machine": _machine(), "runs": [dataclasses.asdict(run) for run in runs]}
    write_text(path, json.dumps(values, indent=1) + "\n")
    return path


def candidates_of_threads(usable: int) -> list[int]:
    """Numbers of threads worth measuring: 1, 2, 4 and so on, at most 8, and all that there are where they are few."""
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
    """What decides how fast something runs here."""
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
