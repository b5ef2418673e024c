"""`sot-tracker tune`: measure what is fastest on this machine, for `auto` to follow."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sot_tracker import cpus, tuning
from sot_tracker.agreement import agreement
from sot_tracker.bench import Clip, make_clip, measure_apart
from sot_tracker.box import Box
from sot_tracker.catalog import ModelSpec, network_spec, spec
from sot_tracker.commands.termination import sigterm_as_ctrl_c
from sot_tracker.config import Config
from sot_tracker.engines.network import ENGINES
from sot_tracker.errors import UserError
from sot_tracker.loading import load_network
from sot_tracker.manifest import INT8
from sot_tracker.model_folder import Source, find_weights
from sot_tracker.tuning import Run

_ROUNDS, _FRAMES = 2, 20
_BF16 = ("bf16", "AMX")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Example: sot-tracker tune --model lite --model smat"
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help=f"model to measure; repeat for several (default: {Config().model})",
    )
    parser.add_argument("--weights", default="", help="model folder, as for `track` (default: the weights that ship)")
    parser.add_argument(
        "--engine",
        action="append",
        choices=list(ENGINES),
        help="measure only this engine; repeat for several (default: all installed)",
    )
    parser.add_argument("--json", action="store_true", help="print the measurements as JSON")


def run(args: argparse.Namespace) -> int:
    """Measure, print, store. Raises UserError where nothing could be measured."""
    machine = f"{cpus.processor()}, {cpus.usable()} usable"
    if not args.json:
        print(machine)
    found = {}
    for name in args.model or [Config().model]:
        runs, chosen, stored = tune(spec(name), args.weights, args.engine or _installed())
        found[name] = {"chosen": asdict(chosen), "runs": [asdict(run) for run in runs], "stored": str(stored)}
        if not args.json:
            _report(spec(name), runs, chosen, stored)
    if args.json:
        print(json.dumps({"processor": machine, "models": found}, indent=1))
    return 0


def _installed() -> list[str]:
    return [engine for engine, package in ENGINES.items() if find_spec(package)]


def tune(model: ModelSpec, weights: str, engines: Sequence[str]) -> tuple[list[Run], Run, Path]:
    """What was measured, what `auto` takes from now on, and the file that says so.

    Raises UserError for weights that are not a model folder.
    """
    network_spec(model.name)
    source = find_weights(model, weights)
    if source.manifest is None:
        raise UserError(f"{source.name} is not a model folder: `sot-tracker tune` measures model folders")
    tuning.require_writable()
    ways = list(itertools.product(engines, tuning.candidates_of_threads(cpus.usable())))
    jobs = [Run(e, p, n, 0.0) for e, n in ways for p in _precisions(e, source)]
    with sigterm_as_ctrl_c(), tempfile.TemporaryDirectory(prefix="sot_tracker-") as place:
        path = Path(place) / "clip.npz"
        clip = make_clip(_FRAMES, 640, 480)
        clip.save(path)
        runs = _measured(model, weights, jobs, path)
    if not runs:
        raise UserError(f"{model.name}: no engine could run it, see above")
    runs = _with_agreement(model, weights, runs, clip)
    stored = tuning.store(source, runs)
    chosen = tuning.pick(runs, Config(model=model.name))
    assert chosen is not None  # fp32 of some engine agrees with itself
    return runs, chosen, stored


def _precisions(engine: str, source: Source) -> list[str]:
    assert source.manifest is not None
    has_bf16 = any(name in cpus.features() for name in _BF16)
    bf16 = ["bf16"] if has_bf16 and engine == "openvino" else []
    int8 = ["int8"] if INT8 in source.manifest.variants and engine != "torch" else []
    return ["fp32", *bf16, *int8]


def _measured(model: ModelSpec, weights: str, jobs: Sequence[Run], clip: Path) -> list[Run]:
    """Every job `_ROUNDS` times in turn, the best time of each; those that cannot run are left out with a warning."""
    times: dict[Run, list[float]] = {job: [] for job in jobs}
    for job in (bar := tqdm([*jobs] * _ROUNDS, unit="run", disable=None)):
        bar.set_description(f"{model.name} {job}")
        if job not in times:
            continue
        try:
            times[job].append(measure_apart(clip, _options(model, weights, job))["total_ms"])
        except UserError as error:
            print(f"sot-tracker: {job} is left out: {error}", file=sys.stderr)
            del times[job]
    return [replace(job, ms=min(taken)) for job, taken in times.items()]


def _options(model: ModelSpec, weights: str, job: Run) -> dict[str, Any]:
    options = {"engine": job.engine, "precision": job.precision, "threads": job.threads, "device": "cpu"}
    return {"model": model.name, "weights": weights, "min_agreement": 0.0, **options}


def _with_agreement(model: ModelSpec, weights: str, runs: list[Run], clip: Clip) -> list[Run]:
    """The runs, those in another precision than fp32 with what their boxes have in common with fp32's."""
    known: dict[tuple[str, str], float] = {}
    boxes = [Box.from_xywh(box) for box in clip.boxes]
    assert model.network is not None
    for run in runs:
        if run.precision != "fp32" and (run.engine, run.precision) not in known:
            exact, other = (
                load_network(model, Config(**_options(model, weights, replace(run, precision=p))))
                for p in ("fp32", run.precision)
            )
            pairs = list(zip(clip.frames[1:], boxes[1:], boxes[:-1], strict=True))
            measures = agreement(model.network, exact, other, pairs, list(clip.frames), boxes[0])
            known[run.engine, run.precision] = min(measures["pairs"], measures["clip"])
    return [replace(run, agreement=known.get((run.engine, run.precision), 1.0)) for run in runs]


def _report(model: ModelSpec, runs: Sequence[Run], chosen: Run, stored: Path) -> None:
    print(f"\n{model.name}: milliseconds per frame in all, 640x480, best of {_ROUNDS} runs")
    print(f"{'engine':<9} {'prec.':<5} {'thr.':>4} {'ms':>8}  overlap with fp32's boxes (IoU)")
    for run in sorted(runs, key=lambda run: run.ms):
        mark = "  <- auto takes this" if run == chosen else ""
        refused = ", too little for auto" if run.agreement < tuning.MIN_AGREEMENT else ""
        print(f"{run.engine:<9} {run.precision:<5} {run.threads:>4} {run.ms:8.2f}  {run.agreement:.3f}{refused}{mark}")
    print(f"auto takes {chosen}: the fastest, or within {1 - tuning.WORTH:.0%} of it with fewer threads")
    print(f"stored in {stored}")
