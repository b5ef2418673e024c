"""What a launch file can tell of the user's `params_file` before ROS reads it, which ignores without a word:

- sections for other nodes than the one that starts, as `tracker_node:` for `/drone/tracker_node`;
- a launch argument, where the file has the same parameter for that very node in another type: the first of truth value,
  whole number, fraction and text counts then, not the last one that was given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from sot_tracker.errors import UserError

TRACKER, BESIDE = "tracker_node", ("follow", "view", "mavlink")
"""Names of our nodes in the launch files."""
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


def fitted(path: str, node: str, given: Mapping[str, Any]) -> tuple[list[str], str]:
    """The file as that node should get it, none or one; and what the user should know of it, else "".

    path: "" without a file. node: full name of the one that starts. given: its parameters by launch argument.
    The tracker node gets every file. The others get one that names them: with a section `/**`, which is mostly the
    tracker node's, each would warn of parameters that it does not have.
    Raises UserError where an argument would have no effect, RuntimeError for a file that is not there.
    """
    if not path:
        return [], ""
    if not Path(path).is_file():
        raise RuntimeError(f"params_file '{path}' does not exist")
    found = sections(path)
    is_tracker = _own_name(node) == TRACKER
    names = {_own_name(name) for name in found}
    if node in found or (is_tracker and any("*" in name for name in found)):
        _require_effect(path, node, found.get(node, {}), given)
        return [path], ""
    is_meant = _own_name(node) in names or (is_tracker and names.isdisjoint(BESIDE))
    return [path] * is_tracker, _nothing_for(path, node, found) if is_meant else ""


def of_launch(given: Mapping[str, str], name: str, values: Mapping[str, Any]) -> tuple[list[str], str]:
    """`fitted` for a node of that name, from the configurations of a launch."""
    node = full_name(given.get("ros_namespace", ""), given["namespace"], name)
    return fitted(given["params_file"], node, values)


def _own_name(node: str) -> str:
    return node.rpartition("/")[2]


def _require_effect(path: str, node: str, parameters: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        if name in given and _kind(value) is not _kind(given[name]):
            raise UserError(
                f"{name}:={given[name]} would have no effect: params_file '{path}' has {name}: {value} for {node}, of"
                " another type: leave out one of them"
            )


def _nothing_for(path: str, node: str, found: Collection[str]) -> str:
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
