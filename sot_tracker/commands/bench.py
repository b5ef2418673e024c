"""`sot-tracker bench`: milliseconds by stage for models, engines, precisions and thread counts."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

import sot_tracker
from sot_tracker import cpus
from sot_tracker.bench import Row, make_clip, measure_apart, measure_pipeline
from sot_tracker.catalog import MODELS, ModelSpec, spec
from sot_tracker.commands.bench_against import compare, measure_checkout, print_rows, require_checkout
from sot_tracker.commands.termination import sigterm_as_ctrl_c
from sot_tracker.commands.writable import require_writable
from sot_tracker.config import DEFAULTS, OPTIONS, Config
from sot_tracker.cpus import processor
from sot_tracker.errors import UserError
from sot_tracker.manifest import SEARCH
from sot_tracker.model_folder import find_weights, shipped_folder
from sot_tracker.options import check
from sot_tracker.tables import table

_BASELINES = ("csrt", "kcf")
_MANY = ("engine", "precision", "threads")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Example: sot-tracker bench --model lite --model smat --threads 1 --threads 2"
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="model to measure; repeat for several (default: all networks, csrt and kcf)",
    )
    for name in _MANY:
        facts = OPTIONS[name]
        parser.add_argument(
            f"--{name}",
            action="append",
            type=type(DEFAULTS[name]),
            choices=facts.choices,
            metavar=None if facts.choices else "N",
            help=f"{facts.help} Repeat for several. (default: {DEFAULTS[name]!r})",
        )
    parser.add_argument(
        "--targets",
        action="append",
        type=int,
        metavar="N",
        help="number of targets in the same frames; repeat for several (default: 1)",
    )
    parser.add_argument(
        "--device", choices=OPTIONS["device"].choices, default=DEFAULTS["device"], help=OPTIONS["device"].help
    )
    parser.add_argument(
        "--weights",
        default="",
        help="as for `track`; default: the weights that ship, else random ones (speed does not depend on them)",
    )
    parser.add_argument(
        "--frames", type=int, default=100, metavar="N", help="number of frames to measure (default: 100)"
    )
    parser.add_argument(
        "--size", default="1280x720", metavar="WxH", help="size of the generated clip (default: 1280x720)"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="print JSON instead of tables; with FILE, print the tables and write the JSON into FILE",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="compare with the build of another checkout: run both in alternation and print the ratios of their times",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="with --against: number of pairs of runs (default: 5)"
    )
    parser.add_argument(
        "--no-pipeline", action="store_true", help="leave out the second table (cropping and decoding alone)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the tables; returns 0, or 2 if a configuration could not run."""
    width, height = _size(args.size)
    if args.frames < 1:
        raise UserError(f"--frames {args.frames}: give at least 1")
    models = [spec(name) for name in args.model or [*(m for m in MODELS if MODELS[m].network), *_BASELINES]]
    if args.json not in (None, "-"):
        require_writable("--json", Path(args.json))
    if args.against is not None:
        return _run_against(args, models)
    rows, mistakes = [], []
    with sigterm_as_ctrl_c(), tempfile.TemporaryDirectory(prefix="sot_tracker-") as place:
        clip = Path(place) / "clip.npz"
        make_clip(args.frames, width, height).save(clip)
        jobs = [options for model in models for options in _jobs(model, args)]
        for options in (bar := tqdm(jobs, unit="run", disable=None)):
            bar.set_description(f"{options['model']} {options.get('engine', '')}")
            try:
                rows.append(measure_apart(clip, _with_weights(options, Path(place))))
            except UserError as error:
                mistakes.append(f"{options['model']} {options.get('engine', '')}: {error}")

    def show() -> None:
        _print_rows(rows, f"{args.frames} frames of {width}x{height}")
        if not args.no_pipeline:
            _print_pipeline(measure_pipeline())

    _tell(args.json, rows, show)
    for line in mistakes:
        print(f"sot-tracker: error: {line}", file=sys.stderr)
    return 2 if mistakes else 0


def _run_against(args: argparse.Namespace, models: Sequence[ModelSpec]) -> int:
    """Raises UserError where one of the builds cannot run."""
    if args.rounds < 1:
        raise UserError(f"--rounds {args.rounds}: give at least 1")
    require_checkout(args.against)
    names = {"max_targets": "targets"}
    jobs = [{names.get(k, k): v for k, v in job.items()} for model in models for job in _jobs(model, args)]
    machine = f"{processor()}, {cpus.usable()} usable; {args.frames} frames of {args.size}"
    print(machine, file=sys.stderr if args.json == "-" else sys.stdout)
    here, there = Path(sot_tracker.__file__).resolve().parents[1], args.against.resolve()
    with (
        sigterm_as_ctrl_c(),
        tempfile.TemporaryDirectory(prefix="sot_tracker-") as place,
        tqdm(total=2 * args.rounds * len(jobs), unit="run", disable=None) as bar,
    ):

        def measure(checkout: Path, job: dict[str, Any]) -> float:
            return measure_checkout(checkout, job, args.frames, args.size, Path(place) / "rows.json")

        rows = compare(here, there, jobs, args.rounds, measure, bar.update)
    _tell(args.json, {"processor": processor(), "rows": rows}, lambda: print_rows(rows, args.rounds))
    return 0


def _tell(to: str | None, found: Any, show: Callable[[], None]) -> None:
    """Show the tables or, for `--json` without a file, print JSON alone; write it where a file is named."""
    text = json.dumps(found, indent=1)
    if to == "-":
        print(text)
    else:
        show()
    if to not in (None, "-"):
        Path(to).write_text(text + "\n", encoding="utf-8")


def _jobs(model: ModelSpec, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Options of every run of that model; what OpenCV runs only varies in threads."""
    threads = [check("threads", value, Config) for value in args.threads or [DEFAULTS["threads"]]]
    targets = [_targets(value) for value in args.targets or [1]]
    if model.network is None:
        given = {"weights": args.weights} if model.takes_weights else {}
        return [{"model": model.name, "threads": n, "max_targets": t, **given} for n in threads for t in targets]
    weights = args.weights or ("" if shipped_folder(model.name) else "random")
    jobs = []
    many = args.engine or ["auto"], args.precision or ["auto"], threads, targets
    for engine, precision, n, t in itertools.product(*many):
        run = {"model": model.name, "engine": engine, "precision": precision, "threads": n, "max_targets": t}
        jobs.append({**run, "device": args.device, "weights": weights})
    return jobs


def _targets(value: int) -> int:
    """Checked as `max_targets`, named as the flag."""
    try:
        return int(check("max_targets", value, Config))
    except UserError as error:
        raise UserError(str(error).replace("max_targets", "targets")) from None


def _with_weights(options: dict[str, Any], place: Path) -> dict[str, Any]:
    """The options with a model folder where the engine cannot run random weights by itself."""
    if options.get("weights") != "random" or options["engine"] not in ("onnx", "openvino"):
        return options
    return {**options, "weights": _exported(spec(options["model"]), place)}


def _exported(model: ModelSpec, place: Path) -> str:
    """One folder of random weights per model, so that its runs neither trace again nor need torch."""
    out = place / model.name
    if not (out / SEARCH).exists():
        from sot_tracker.export import export

        print(f"{model.name}: no weights here, exporting random ones for the benchmark", file=sys.stderr)
        export(model, find_weights(model, "random"), out)
    return str(out)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise UserError(f"--size '{text}' is not WIDTHxHEIGHT: give for example 640x480") from None
    return width, height


_STAGES = "total", "flow", "crop", "search", "opinion", "decode", "template"
_HEAD = ("model", "engine", "precision", "threads", "fps", *_STAGES, "params", "GMAC", "MB")
_LEGEND = """
Times in milliseconds: mean without the slowest twentieth of the frames / 95th percentile.
total: one frame. It includes flow (optical flow, to predict the target's place), crop (cutting out the search
region), search (the network), opinion (second opinion) and decode (from the network's maps to a box).
template: once per target. fps: 1000 / total. params: parameters of the network in millions. GMAC: billions of
multiply-accumulates of one search. MB: growth of resident memory by loading and running."""


def _print_rows(rows: Sequence[Row], title: str) -> None:
    print(f"\n{title}\n")
    print(table(list(_HEAD), [_cells(row) for row in rows], right=_HEAD[3:]))
    print(_LEGEND)


def _cells(row: Row) -> list[str]:
    total, several = row["total_ms"], f" x{row['targets']}" if row["targets"] > 1 else ""
    return [
        f"{row['model']}{several}{' RANDOM WEIGHTS' if row['random'] else ''}",
        row["engine"],
        row["precision"] or "-",
        str(row["threads"] or "auto"),
        f"{1000 / total:.1f}" if total else "-",
        *(_pair(row, stage) for stage in _STAGES),
        _scaled(row["parameters"], 1e6),
        _scaled(row["macs"], 1e9),
        _scaled(row["memory_mb"], 1, 0),
    ]


def _pair(row: Row, stage: str) -> str:
    if row[f"{stage}_ms"] is None:
        return "-"
    return f"{row[f'{stage}_ms']:.2f} / {row[f'{stage}_p95']:.2f}"


def _scaled(value: float | None, unit: float, digits: int = 2) -> str:
    return "-" if value is None else format(value / unit, f".{digits}f")


def _print_pipeline(rows: Sequence[Row]) -> None:
    print("\ncrop and decode without network, 1280x720; milliseconds, median / 95th percentile")
    for row in rows:
        print(f"{row['decoding']:<11} box {row['box']:<22} {row['ms']:.3f} / {row['p95']:.3f}")
