"""`sot-tracker models [NAME]`: which models there are and which to take; with a name, everything known of one."""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from pathlib import Path

from sot_tracker import tuning
from sot_tracker.catalog import MODELS, ModelSpec, spec
from sot_tracker.config import DEFAULTS, Config
from sot_tracker.errors import UserError
from sot_tracker.manifest import read_manifest
from sot_tracker.model_folder import find_weights, shipped_folder
from sot_tracker.tables import table

HEAD = ("name", "weights", "params", "AUC", "good for", "licence")
OPENCV_LICENCE = "Apache-2.0"
WIDTH = 100

_OPENCV = {
    "csrt": "no weights wanted, steady motion",
    "kcf": "very small targets; the fastest",
    "mil": "comparison; its results are random",
    "nanotrack": "accuracy in little time",
    "vittrack": "comparison",
    "dasiamrpn": "comparison",
}

AUC = {
    **{"lite": 0.652, "fermt": 0.553, "smat": 0.618, "mvt": 0.549, "hcat": 0.540, "hit_tiny": 0.533},
    **{"csrt": 0.508, "mil": 0.458, "kcf": 0.405, "nanotrack": 0.647},
}
"""Success AUC on the 14 real sequences of docs/benchmarks.md; a test compares them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="print all facts about this model")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.epilog = (
        "Licence is that of the weights, and for OpenCV's trackers that of OpenCV. Example: sot-tracker models fermt"
    )


def run(args: argparse.Namespace) -> int:
    """Raises UserError for an unknown name."""
    if args.json:
        found = [_facts(model) for model in ([spec(args.name)] if args.name else MODELS.values())]
        print(json.dumps(found[0] if args.name else found, indent=1))
        return 0
    if args.name:
        print("\n".join(_details(_facts(spec(args.name)))))
        return 0
    _print_all({name: ms for name, model in MODELS.items() if (ms := _measured_ms(model)) is not None})
    return 0


def _print_all(ms: dict[str, float]) -> None:
    """ms: milliseconds per frame of the models that were measured; they then stand in place of the parameters."""
    head, rows = list(HEAD), [list(_row(model)) for model in MODELS.values()]
    if ms:
        head[2] = "ms"
        for name, row in zip(MODELS, rows, strict=True):
            row[2] = f"{ms[name]:.1f}" if name in ms else "-"
    print(table(head, rows, right={*head[2:4]}))
    print("\nAUC: accuracy on 14 real sequences, 0 to 1, see docs/benchmarks.md")
    print(
        "ms: per frame, as `sot-tracker tune` measured here" if ms else "`sot-tracker tune` measures ms per frame here"
    )
    print("* the default. All facts about a model, with its whole licence: sot-tracker models NAME")


def _measured_ms(model: ModelSpec) -> float | None:
    """Milliseconds per frame of the weights that ship, None where `tune` has not run on this machine."""
    if shipped_folder(model.name) is None:
        return None
    try:
        run = tuning.pick(tuning.read(find_weights(model, "")), Config(model=model.name))
    except UserError:  # damaged, which the table says
        return None
    return None if run is None else run.ms


def _row(model: ModelSpec) -> tuple[str, ...]:
    name = f"{model.name} *" if model.name == DEFAULTS["model"] else model.name
    auc = f"{AUC[model.name]:.3f}" if model.name in AUC else "-"
    if model.opencv_weights:
        return name, "yours", "-", auc, _OPENCV.get(model.name, ""), "authors'"
    if model.network is None:
        return name, "needs none", "-", auc, _OPENCV.get(model.name, ""), OPENCV_LICENCE
    folder = shipped_folder(model.name)
    if folder is None:
        return name, "missing", "-", "-", "with weights of your own", "-"
    try:
        parameters = _millions(read_manifest(folder, model).parameters)
    except UserError:
        return name, "DAMAGED", "-", "-", _of_card(folder, "good for"), _short_licence(folder)
    return name, "here", parameters, auc, _of_card(folder, "good for"), _short_licence(folder)


def _facts(model: ModelSpec) -> dict[str, str]:
    """All that is known of a model, in the order in which it is printed."""
    facts = {"model": model.name, "title": model.title, "source": model.source}
    if model.name in AUC:
        facts["success AUC"] = f"{AUC[model.name]:.3f} on 14 real sequences"
    if (ms := _measured_ms(model)) is not None:
        facts["ms per frame"] = f"{ms:.1f} on this machine"
    folder = shipped_folder(model.name)
    if model.opencv_weights:
        facts |= {"weights": "files of its authors: give --weights", "licence": "its authors'"}
    elif model.network is None:
        facts |= {"weights": "needs none", "good for": _OPENCV.get(model.name, ""), "licence": OPENCV_LICENCE}
    elif folder is None:
        facts |= {"weights": "missing: give --weights FILE or DIR; train, import or export makes one"}
    else:
        facts |= {"good for": _of_card(folder, "good for"), "weights": str(folder)}
        try:
            manifest = read_manifest(folder, model)
        except UserError as error:
            facts["weights"] = str(error)
        else:
            facts["parameters"] = f"{_millions(manifest.parameters)}, stored in {manifest.storage}"
            facts["macs"] = f"{manifest.macs['search'] / 1e9:.2f} G per frame"
            facts["variants"] = ", ".join(manifest.variants)
            facts["lost_threshold"] = f"{manifest.lost_threshold:g}"
        facts |= {"licence": _of_card(folder, "licen[cs]e"), "more": str(folder / "card.md")}
    return facts


def _details(facts: dict[str, str]) -> list[str]:
    """One line per fact, wrapped to `WIDTH`."""
    wide = max(map(len, facts)) + 2
    return [
        textwrap.fill(f"{name + ':':{wide}}{value}", WIDTH, subsequent_indent=" " * wide, break_on_hyphens=False)
        for name, value in facts.items()
    ]


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.2f} M"


def _short_licence(folder: Path) -> str:
    """The licence without what is in brackets."""
    return _of_card(folder, "licen[cs]e").partition(" (")[0].replace("research and non-commercial use", "research")


def _of_card(folder: Path, title: str) -> str:
    """What the model's card says after that title, which is a regular expression."""
    card = folder / "card.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    found = re.search(rf"^\W*{title}\W*[:|]\W*(.+?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else "see card.md"
