"""`sot-tracker completion SHELL`: the script that makes a shell complete commands, options, models and file names."""

from __future__ import annotations

import argparse
from typing import Any

from sot_tracker.catalog import MODELS
from sot_tracker.errors import MissingPackage

SHELLS = ("bash", "zsh", "tcsh")
_PATHS = {
    *("cache", "checkpoint", "csv", "data", "exclude", "files", "init", "json", "matting", "out", "pack", "pictures"),
    *("save", "save_bag", "source", "split", "unpack", "val", "video", "weights"),
}
"""Arguments whose value is a file or folder, by their name in the parser."""
_MODELS = "_sot_tracker_models"
_PREAMBLE: Any = {
    "bash": f"{_MODELS}() {{ compgen -W '{' '.join(MODELS)}' -- \"$1\"; }}",
    "zsh": f"{_MODELS}() {{ compadd {' '.join(MODELS)} }}",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Example: sot-tracker completion bash > ~/.local/share/bash-completion/completions/sot-tracker, or for this "
        'shell alone: eval "$(sot-tracker completion bash)"'
    )
    parser.add_argument("shell", choices=SHELLS)


def run(args: argparse.Namespace) -> int:
    """Raises MissingPackage without shtab."""
    try:
        import shtab
    except ModuleNotFoundError:
        raise MissingPackage("shtab", "shell completion", "pip install shtab") from None
    parser = args.whole_parser()
    for action in _actions(parser):
        if action.dest == "model":
            action.complete = {"bash": _MODELS, "zsh": _MODELS, "tcsh": f"(({' '.join(MODELS)}))"}
        elif action.dest in _PATHS:
            action.complete = shtab.FILE
    print(shtab.complete(parser, args.shell, preamble=_PREAMBLE))
    return 0


def _actions(parser: argparse.ArgumentParser) -> list[Any]:
    """The options of the parser and of its subparsers that take a value."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [inner for sub in action.choices.values() for inner in _actions(sub)]
        elif action.nargs != 0 and not action.choices:
            found.append(action)
    return found
