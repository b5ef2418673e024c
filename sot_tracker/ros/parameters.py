"""ROS parameters made from option groups (`sot_tracker.config`): nothing about an option is written twice."""

from __future__ import annotations

from array import array
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from sot_tracker.config import RENAMED, Option, Options, check, defaults_of, options_of, renaming
from sot_tracker.errors import UserError

Group = TypeVar("Group", bound=Options)


def describe(facts: Option, default: Any) -> ParameterDescriptor:
    """Description, range, choices and read-only flag of one option.

    Numbers with a fraction, boxes and texts are typed by their value, so that `init_box:=[310,120,48,96]` is accepted
    as well as `[310.0, ...]`, and `source:=0` for the first camera; `config.check` keeps out what does not fit.
    """
    descriptor = ParameterDescriptor(
        description=facts.help,
        read_only=not facts.live,
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


def declare(node: Node, group: type[Group]) -> Group:
    """Declare every option of the group on the node and return the values given at start.

    Raises UserError naming the parameter, its value and what is allowed.
    """
    defaults = defaults_of(group)
    for name, facts in options_of(group).items():
        # ROS knows no empty array of numbers: an option without numbers is a parameter that is not set.
        value = None if defaults[name] == () else defaults[name]
        try:
            old = _given_by_old_name(node, name)
            value = value if old is None else old
            node.declare_parameter(name, value, describe(facts, defaults[name]), old is not None)
        except ParameterException as error:
            raise UserError(f"parameter {name}: {error}") from None
    return read(node, group)


def read(node: Node, group: type[Group]) -> Group:
    """The node's present parameters as that option group. Raises UserError."""
    return group.from_mapping({name: _plain(node.get_parameter(name).value) for name in options_of(group)})


def judge(parameters: list[Parameter], group: type[Options]) -> SetParametersResult:
    """For `add_on_set_parameters_callback`: refuse, with the reason, what the group does not allow."""
    try:
        for parameter in parameters:
            if parameter.name in options_of(group):
                check(parameter.name, _plain(parameter.value), group)
    except UserError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)


def _given_by_old_name(node: Node, name: str) -> Any:
    """The value that was given to the parameter's old name, with a warning; else None.

    It wins over the present name, to which the launch file gives the default.
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
