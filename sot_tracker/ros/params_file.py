"""What a launch file can tell of the user's `params_file` before ROS reads it, which ignores without a word:

- sections for other nodes than the one that starts, as `tracker_node:` for `/drone/tracker_node`;
- a launch argument, where the file has the same parameter for that very node in another type: the first of truth value,
  whole number, fraction and text counts then, not the last one that was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sot_tracker.errors import UserError

_PARAMETERS = "ros__parameters"
_FORM = f"write '/**:', in the next line '  {_PARAMETERS}:', and below it, further in, the parameters"


def sections(path: str) -> dict[str, dict[str, Any]]:
    """Names of nodes, as "/**" or "/left/tracker_node", and their parameters. Raises UserError for any other file."""
    try:
        document = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"params_file '{path}' cannot be read: {' '.join(str(error).split())}") from None
    found: dict[str, dict[str, Any]] = {}
    _collect({} if document is None else document, "", path, found)
    return found


def complaint(path: str, node: str, given: Mapping[str, Any]) -> str:
    """What the user should know of the file; "" where it fits. node: full name of the one that starts.

    given: its parameters by launch argument. Raises UserError where one of them would have no effect.
    """
    found = sections(path)
    for name, value in found.get(node, {}).items():
        if name in given and _kind(value) is not _kind(given[name]):
            raise UserError(
                f"{name}:={given[name]} would have no effect: params_file '{path}' has {name}: {value} for {node}, of"
                " another type: leave out one of them"
            )
    if node in found or any("*" in name for name in found):
        return ""
    others = f", only for {', '.join(found)}" if found else ""
    return f"params_file '{path}' has nothing for {node}{others}: it changes nothing; {_FORM}"


def full_name(base: str, namespace: str, name: str) -> str:
    """Of a node that starts in this namespace, in a group with the namespace `base` (PushRosNamespace)."""
    parts = [namespace] if namespace.startswith("/") else [base, namespace]
    return "/" + "/".join(part.strip("/") for part in (*parts, name) if part.strip("/"))


def _collect(tree: Any, node: str, path: str, found: dict[str, dict[str, Any]]) -> None:
    if not isinstance(tree, Mapping):
        raise UserError(f"params_file '{path}' is no file of parameters: {_FORM}")
    for key, value in tree.items():
        if key == _PARAMETERS:
            if value is not None and not isinstance(value, Mapping):
                raise UserError(f"params_file '{path}' is no file of parameters: {_FORM}")
            found[node] = dict(value or {})
        elif isinstance(value, Mapping):
            _collect(value, f"{node}/{str(key).strip('/')}", path, found)
        else:
            raise UserError(f"params_file '{path}': {key} stands outside of {_PARAMETERS}: {_FORM}")


def _kind(value: Any) -> type:
    return type(value[0]) if isinstance(value, list) and value else type(value)
