"""`sot-tracker models`: the catalogue, and which weights are here."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from sot_tracker.catalog import MODELS, ModelSpec
from sot_tracker.errors import UserError
from sot_tracker.model_folder import Manifest, read_manifest, shipped_folder

HEAD = ("name", "title", "kind", "weights", "parameters", "licence", "source")
OPENCV_LICENCE = "Apache-2.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Licence is that of the weights, and for OpenCV's trackers that of OpenCV."


def run(args: argparse.Namespace) -> int:
    from sot_tracker.evaluate.report import table

    print(table(list(HEAD), [list(_row(model)) for model in MODELS.values()], right={"parameters"}))
    return 0


def _row(model: ModelSpec) -> tuple[str, ...]:
    if model.opencv_weights:
        return model.name, model.title, "OpenCV", "yours: --weights", "-", "its authors'", model.source
    if model.network is None:
        return model.name, model.title, "OpenCV", "needs none", "-", OPENCV_LICENCE, model.source
    folder = shipped_folder(model.name)
    if folder is None:
        return model.name, model.title, "network", "missing: --weights", "-", "-", model.source
    try:
        weights, parameters = "here", _millions(read_manifest(folder, model))
    except UserError as error:
        weights, parameters = f"damaged: {error}", "-"
    return model.name, model.title, "network", weights, parameters, _licence(folder), model.source


def _millions(manifest: Manifest) -> str:
    return f"{manifest.parameters / 1e6:.2f} M"


def _licence(folder: Path) -> str:
    """What the model's card says after "Licence:"."""
    card = folder / "card.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    found = re.search(r"^\W*licen[cs]e\W*[:|]\W*(.+?)\W*$", text, re.IGNORECASE | re.MULTILINE)
    return found.group(1)[:40] if found else "see card.md"
