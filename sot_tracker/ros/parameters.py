"""ROS parameters made from option groups (`sot_tracker.options`), so that no option is defined twice."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sot_tracker.config import RENAMED, renaming
from sot_tracker.errors import UserError, did_you_mean
from sot_tracker.options import Option, Options, check, defaults_of, options_of

Group = TypeVar("Group", bound=Options)


def describe(facts: Option, default: Any, read_only: bool) -> ParameterDescriptor:
    """Description, range, choices and read-only flag of one option.

    Floats, boxes and strings are declared with dynamic typing, so that `init_box:=[310,120,48,96]` is accepted as well
    as `[310.0, ...]`, and `source:=0` for the first camera. `options.check` then refuses unsuitable values.
    """
    descriptor = ParameterDescriptor(
        description=facts.help,
        read_only=read_only,
        dynamic_typing=isinstance(default, (float, tuple, str)),
        additional_constraints=f"one of: {', '.join(facts.choices)}" if facts.choices else "",
    )
    if facts.low is not None and facts.high is not None:
        if isinstance(default, int):
            bounds = IntegerRange(from_value=int(facts.low), to_value=int(facts.high), step=0)
            descriptor.integer_range = [bounds]
        else:
            descriptor.floating_point_range = [FloatingPointRange(from_value=facts.low, to_value=facts.high, step=0.0)]
    return descriptor


def declare(node: Node, group: type[Group], read_only: Collection[str] = ()) -> Group:
    """Declare every option of the group on the node and return the values given at start.

    Logs a warning about given parameters that do not exist. Raises UserError naming the parameter, its value and what
    is allowed.
    """
    defaults = defaults_of(group)
    for name, facts in options_of(group).items():
        # ROS has no empty array of numbers, so such a parameter is left unset.
        value = None if defaults[name] == () else defaults[name]
        try:
            old = _given_by_old_name(node, name)
            value = value if old is None else old
            node.declare_parameter(name, value, describe(facts, defaults[name], name in read_only), old is not None)
        except ParameterException as error:
            raise UserError(f"parameter {name}: {' '.join(str(error).split())}") from None
    _warn_of_unknown(node, options_of(group))
    with explained(node, group):
        return read(node, group)


def read(node: Node, group: type[Group]) -> Group:
    """The current values of the node's parameters as that option group. Raises UserError."""
    return group.from_mapping({name: _plain(node.get_parameter(name).value) for name in options_of(group)})


def value_of(node: Node, name: str, group: type[Options]) -> Any:
    """The current value of one option, in its own type. Raises UserError."""
    return check(name, _plain(node.get_parameter(name).value), group)


def check_change(node: Node, changes: list[Parameter], group: type[Options], frozen: bool) -> SetParametersResult:
    """Refuse invalid values with the reason, and log valid changes; for `add_on_set_parameters_callback`.

    frozen: whether the node is configured, so that only live options can still be changed.
    """
    options = options_of(group)
    wanted: dict[str, Any] = {}
    try:
        for name, value in ((change.name, change.value) for change in changes if change.name in options):
            if value is None:  # `ros2 param delete`: without the parameter nothing could be configured any more
                shown = [*default] if isinstance(default := defaults_of(group)[name], tuple) else default
                raise UserError(f"{name} cannot be deleted: set it to another value, or to {shown!r}, its default")
            wanted[name] = check(name, _plain(value), group)
            if frozen and not options[name].live:
                raise UserError(f"{name} is read when the node is configured: deactivate and clean it up first")
    except UserError as error:
        return SetParametersResult(successful=False, reason=str(error))
    for name, new in wanted.items():
        if (old := _plain(node.get_parameter(name).value)) != new:
            node.get_logger().info(f"parameter {name} changed from {old!r} to {new!r}")
    return SetParametersResult(successful=True)


@contextmanager
def explained(node: Node, group: type[Options]) -> Iterator[None]:
    """Extend the message of a UserError by a hint if ROS converted a string in it: `weights:=010` arrives as 8."""
    try:
        yield
    except UserError as error:
        facts = options_of(group)
        texts = [name for name, default in defaults_of(group).items() if isinstance(default, str)]
        named = [name for name in texts if name in str(error) and facts[name].choices is None]
        values = {name: _plain(node.get_parameter(name).value) for name in named}
        hints = [
            f"; {name} was read as {value!r} and not as a text: to keep the text, quote it twice, -p {name}:=\"'...'\""
            for name, value in values.items()
            if not isinstance(value, str)
        ]
        if not hints:
            raise
        raise UserError(f"{error}{''.join(hints)}") from None


def _warn_of_unknown(node: Node, options: Collection[str]) -> None:
    # rclpy has no public function for the parameters given on the command line or in a file.
    for name in getattr(node, "_parameter_overrides", {}):
        if node.has_parameter(name) or name.startswith("qos_overrides."):
            continue
        advice = did_you_mean(name, options) or f": known are {', '.join(options)}"
        node.get_logger().warning(f"there is no parameter '{name}'{advice}")


def _given_by_old_name(node: Node, name: str) -> Any:
    """The value that was given under the parameter's old name, with a warning; else None.

    It overrides a value that was given under the present name, for example in a file of all defaults.
    """
    for old in (old for old, new in RENAMED.items() if new == name):
        node.declare_parameter(old, None, ParameterDescriptor(description=renaming(old), dynamic_typing=True))
        value = node.get_parameter(old).value
        if value is not None:
            node.get_logger().warning(renaming(old))
            return value
        node.undeclare_parameter(old)
    return None


def _plain(value: Any) -> Any:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (list, array)) else value
