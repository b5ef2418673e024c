"""Checks the user's `params_file` in a launch file, before ROS reads it.

ROS silently ignores three things:

1. a section for another node, as `tracker_node:` for `/drone/tracker_node`. The launch warns; for follow, view and
   mavlink only if the file names that node.
2. a launch argument, if the section of exactly this node sets the same parameter with a type that comes earlier in
   bool, int, float, text.
3. a launch argument, if a matching section with a wildcard sets the same parameter after the section of exactly this
   node, to which ROS adds the arguments.

In the cases 2 and 3 the launch stops with an error, as it does for some of what ROS's own reader refuses.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sot_tracker.errors import UserError

TRACKER, BESIDE = "tracker_node", ("follow", "view", "mavlink")
"""Names of our nodes in the launch files."""
_PARAMETERS = "ros__parameters"
_TYPES = (bool, int, float)
_FORM = f"write '/**:', in the next line '  {_PARAMETERS}:', and below it, further in, the parameters"


def sections(path: str) -> dict[str, dict[str, Any]]:
    """Names of nodes, as "/**" or "/left/tracker_node", and their parameters, in the order of the file.

    Raises UserError for a file that cannot be read as parameters.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise UserError(
                f"params_file '{path}' uses an alias (*name), which ROS does not read: write the values out"
            )
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, OSError, ValueError) as error:  # ValueError: no UTF-8, or a date that does not exist
        raise UserError(f"params_file '{path}' cannot be read: {' '.join(str(error).split())}") from None
    found: dict[str, dict[str, Any]] = {}
    for document in documents:
        _collect({} if document is None else document, "", path, found)
    return found


def fitted(path: str, node: str, given: Mapping[str, Any]) -> tuple[list[str], str]:
    """[path] if that node is to be given the file, else []; and a warning for the user, or "".

    path: "" without a file. node: full name of the node that starts. given: its parameters by launch argument.
    The tracker node is given every file. The other nodes are given it only if a section that matches them ends in their
    own name, such as `view:`. A section `/**` alone is not enough: it is usually meant for the tracker node, and the
    others would warn about parameters that they do not have.
    Raises UserError for an argument without effect and for a file that cannot be read as parameters, RuntimeError for a
    file that does not exist.
    """
    if not path:
        return [], ""
    if not Path(path).is_file():
        raise RuntimeError(f"params_file '{path}' does not exist")
    found = sections(path)
    is_tracker = _own_name(node) == TRACKER
    named = [name for name in found if _own_name(name) == _own_name(node)]
    if any(matches(name, node) for name in (found if is_tracker else named)):
        _require_effect(path, node, found, given)
        return [path], ""
    is_meant = named or (is_tracker and {_own_name(name) for name in found}.isdisjoint(BESIDE))
    return [path] * is_tracker, _nothing_for(path, node, found) if is_meant else ""


def matches(section: str, node: str) -> bool:
    """Whether ROS gives a section to the node of that full name: * stands for one part of a name, ** for any number."""
    wildcards = {"*": r"/\w+", "**": r"(/\w+)*"}
    parts = section.strip("/").split("/")
    return re.fullmatch("".join(wildcards.get(part, f"/{re.escape(part)}") for part in parts), node) is not None


def of_launch(given: Mapping[str, str], name: str, values: Mapping[str, Any]) -> tuple[list[str], str]:
    """`fitted` for a node of that name, from the configurations of a launch."""
    node = full_name(given.get("ros_namespace", ""), given["namespace"], name)
    return fitted(given["params_file"], node, values)


def _own_name(node: str) -> str:
    return node.rpartition("/")[2]


def _require_effect(path: str, node: str, found: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> None:
    for name, section, value in _stronger(node, found, given):
        raise UserError(
            f"{name}:={given[name]} would have no effect: params_file '{path}' has {name}: {value} for {section}, which"
            " ROS prefers: leave out one of them"
        )


def _stronger(
    node: str, found: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> Iterator[tuple[str, str, Any]]:
    """Names of arguments that lose against the file, and section and value that win."""
    is_later = False  # than the section of the node itself, to which ROS adds the arguments
    for section, parameters in found.items():
        for name in given.keys() & parameters.keys() if matches(section, node) else ():
            if is_later or (section == node and _rank(parameters[name]) < _rank(given[name])):
                yield name, section, parameters[name]
        is_later = is_later or section == node


def _nothing_for(path: str, node: str, found: Collection[str]) -> str:
    others = f", only for {', '.join(found)}" if found else ""
    return f"params_file '{path}' has nothing for {node}{others}: it changes nothing; {_FORM}"


def full_name(base: str, namespace: str, name: str) -> str:
    """Of a node that starts in this namespace, in a group with the namespace `base` (PushRosNamespace)."""
    parts = [namespace] if namespace.startswith("/") else [base, namespace]
    return "/" + "/".join(part.strip("/") for part in (*parts, name) if part.strip("/"))


def _collect(tree: Any, node: str, path: str, found: dict[str, dict[str, Any]]) -> None:
    if not isinstance(tree, Mapping):
        raise UserError(f"params_file '{path}' is not a file of parameters: {_FORM}")
    for key, value in tree.items():
        if key == _PARAMETERS:
            if not node or (value is not None and not isinstance(value, Mapping)):
                raise UserError(f"params_file '{path}' is not a file of parameters: {_FORM}")
            if value is None:
                raise UserError(
                    f"params_file '{path}' has no parameters for {node}: leave this section out, or fill it"
                )
            _require_values(value, path)
            found[node] = {**found.get(node, {}), **value}
        elif isinstance(value, Mapping):
            _collect(value, f"{node}/{str(key).strip('/')}", path, found)
        else:
            raise UserError(f"params_file '{path}': {key} stands outside of {_PARAMETERS}: {_FORM}")


def _require_values(parameters: Mapping[Any, Any], path: str) -> None:
    for name, value in parameters.items():
        if value is None or value == {}:
            raise UserError(f"params_file '{path}' has {name} without a value: leave it out, or give one")
        if isinstance(value, Mapping):
            _require_values(value, path)
        elif isinstance(value, list) and _is_mixed(value):
            raise UserError(f"params_file '{path}' has {name}: {value}: write plain values of one type in the list")


def _is_mixed(values: list[Any]) -> bool:
    """Whether ROS refuses the list: for lists in it, or values of two types.

    Text that could be a number fits any type, since ROS takes 1e3 for a number and PyYAML for text.
    """
    kinds = {type(value) if isinstance(value, _TYPES) else str for value in values if not _may_be_number(value)}
    return len(kinds) > 1 or any(isinstance(value, (list, Mapping)) for value in values)


def _may_be_number(value: Any) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _rank(value: Any) -> int:
    """Place of a parameter's type, or of its elements': of one parameter in two types, ROS takes the lower one."""
    kind = type(value[0]) if isinstance(value, list) and value else type(value)
    return _TYPES.index(kind) if kind in _TYPES else len(_TYPES)
