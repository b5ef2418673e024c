"""The command line: `sot-tracker COMMAND ...`. Every command is a module of `sot_tracker.commands`, imported when used.

A command module has `add_arguments(parser)` and `run(args) -> int`; it raises `UserError` for a user's mistake.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from sot_tracker import opencv_environment
from sot_tracker.config import OPTIONS
from sot_tracker.errors import INTERRUPTED, TERMINATED, USER_ERROR, MissingPackage, Terminated, UserError, did_you_mean
from sot_tracker.options import Scope

COMMANDS: dict[str, tuple[str, str]] = {
    "track": ("track", "track one target (or several) in a video, a folder of pictures, a recording or a camera"),
    "view": ("view", "track on a web page: watch live, draw the target, stop, record"),
    "mavlink": ("mavlink", "track as a MAVLink camera that ground stations find and control"),
    "demo": ("demo", "generate a clip with exact boxes and track it over ROS 2"),
    "eval": ("eval", "evaluate models on annotated sequences (one pass)"),
    "calibrate": (
        "calibrate",
        "learn how probable it is that a network's box is right, and store that in its model folder",
    ),
    "models": ("models", "list the models, and which weights are installed"),
    "bench": ("bench", "measure the speed of each stage"),
    "tune": ("tune", "measure which engine, precision and threads are fastest here; `auto` then uses them"),
    "export": ("export", "convert weights to a model folder (ONNX)"),
    "prepare": ("prepare", "build TensorRT engines ahead of time"),
    "import": ("import_checkpoint", "convert a published checkpoint to .safetensors"),
    "train": ("train", "train a network"),
    "label": ("label", "label unlabelled video with trackers, for training"),
    "average": ("average", "write the mean of several trained weights"),
    "synth": ("synth", "generate sequences with exact boxes"),
    "range": ("range", "simulate a camera that obeys rate commands in front of moving targets"),
    "completion": ("completion", "print the script for Tab completion of these commands in a shell"),
    "doctor": ("doctor", "check this installation and explain what is wrong"),
}
_FAULTS = "is out of range|is not possible|has the wrong type|cannot be|needs "
_PIP_NAMES = {"cv2": "opencv-contrib-python", "skimage": "scikit-image", "yaml": "PyYAML", "PIL": "pillow"}


class Help(argparse.HelpFormatter):
    """Keeps paragraphs, and breaks no line within `sot-tracker` or an option, so that examples can be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        wrap = textwrap.TextWrapper(
            width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
        paragraphs = text.strip().split("\n\n")
        return "\n\n".join(wrap.fill(" ".join(paragraph.split())) for paragraph in paragraphs)


def _path(text: str) -> Path:
    if not text.strip():  # for example an empty variable in a shell script; as a path it would be the current folder
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


class Parser(argparse.ArgumentParser):
    """Reports mistakes as `UserError`, so that there is one form of error line, with a suggestion where one is near."""

    def __init__(self, *args: Any, **facts: Any) -> None:
        super().__init__(*args, **facts)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}{self._suggestion(message)} (see `{self.prog} --help`)")

    def _suggestion(self, message: str) -> str:
        """What was probably meant: the nearest choice or option, or `--box=-5,0,9,9` for a value that begins with -."""
        if option := re.search(r"argument (?:\S+/)*(--\S+): expected one argument$", message):
            return f"; a value that begins with '-' is written {option[1]}=-5,..."
        if choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            given, known = choice[1], re.findall(r"[\w.-]+", choice[2])
        elif unknown := re.search(r"unrecognized arguments: (--[^\s=]+)", message):
            given, known = unknown[1], list(self._option_string_actions)
        else:
            return ""
        return did_you_mean(given, known)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0, 2 after a user's mistake (one line on stderr), 130 after Ctrl-C, 143 after SIGTERM."""
    opencv_environment.prepare()
    logging.basicConfig(format="sot-tracker: %(message)s")
    logging.getLogger("sot_tracker").setLevel(logging.INFO)  # which engine and device were taken is said
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except ModuleNotFoundError as error:
        return _report(_missing(error))
    except UserError as error:
        return _report(error)
    except KeyboardInterrupt as ended:
        terminated = isinstance(ended, Terminated)
        print(f"sot-tracker: {'terminated' if terminated else 'interrupted'}", file=sys.stderr)
        return TERMINATED if terminated else INTERRUPTED
    except BrokenPipeError:  # `sot-tracker models | head`; the interpreter must not complain when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a name that is too long, a file that may not be read
        return _report(UserError(f"{error.strerror or error}" + (f": '{error.filename}'" if error.filename else "")))


def _run(arguments: list[str]) -> int:
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    parser, commands, modules = _parser({wanted} & set(COMMANDS))
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        commands[args.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    args.whole_parser = lambda: _parser(set(COMMANDS))[0]
    return int(modules[args.command].run(args))


def _parser(wanted: set[str | None]) -> tuple[Parser, dict[str, Parser], dict[str, ModuleType]]:
    """The parser, and by command its own parser and module; only the wanted commands are imported and have options."""
    parser = Parser(prog="sot-tracker", description="Single-object tracking for ROS 2 and plain Python.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show program's version number and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    modules: dict[str, ModuleType] = {}
    for name, (module, text) in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", formatter_class=Help)
        if name in wanted:
            modules[name] = importlib.import_module(f"sot_tracker.commands.{module}")
            modules[name].add_arguments(sub)
    return parser, dict(commands.choices), modules


def _report(error: UserError) -> int:
    print(f"sot-tracker: error: {in_flags(' '.join(str(error).split()))}", file=sys.stderr)
    return USER_ERROR


def in_flags(text: str) -> str:
    """Options as they are written here: "device=cuda is not for ..." becomes "--device cuda is not for ..."."""
    names = "|".join(name for name, facts in OPTIONS.items() if facts.scope is Scope.TRACKER)
    named = rf"(?<![-\w])({names})=(?=[\w'\"-])"
    at_fault = rf"^(\w+)=(?=\S+ (?:{_FAULTS}))"  # an option of another group: "port=99999 is out of range"
    return re.sub(f"{named}|{at_fault}", lambda found: f"--{(found[1] or found[2]).replace('_', '-')} ", text)


def _missing(error: ModuleNotFoundError) -> MissingPackage:
    """What to install for a package that a command missed; a missing module of our own is a bug and raised again."""
    package = str(error.name).partition(".")[0]
    if package in ("sot_tracker", "None"):
        raise error
    return MissingPackage(package, "this command", f"pip install {_PIP_NAMES.get(package, package)}")


class _Version(argparse.Action):
    """Looks the version up when it is asked for, not at every start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"sot-tracker {version('sot_tracker')}")
        except PackageNotFoundError:
            print("sot-tracker (not installed, run from its source folder)")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
