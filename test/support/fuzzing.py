"""Strategies and the invariant of the fuzzers: an input is read, or refused in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from sot_tracker.errors import UserError

NUMBERS = st.one_of(
    st.integers(-5, 400),
    st.sampled_from([0, 1, -1, 2**31, 2**32 - 1, 2**63, 2**80, 10**400]),
    st.floats(),
)
TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(["", "\n", "auto", "0", "NaN", "a" * 5000, "\0", "../x", "\ud800"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=6,
)


@contextlib.contextmanager
def refused_in_one_line() -> Iterator[None]:
    """Lets a UserError pass if its message is one printable line; any other exception fails the test."""
    try:
        yield
    except UserError as error:
        message = str(error)
        assert message
        assert message.splitlines() == [message], repr(message)
        assert message.isprintable()


@st.composite
def damaged(draw: Any, data: bytes) -> bytes:
    """The bytes with a few of them changed, cut, doubled or replaced."""
    found = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "flip", "flip", "cut", "remove", "insert"]))
        if kind == "flip" and found:
            found[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del found[at:]
        elif kind == "remove":
            del found[at : at + draw(st.integers(1, 16))]
        else:
            found[at:at] = draw(st.binary(max_size=16))
    return bytes(found)


@st.composite
def changed(draw: Any, value: Any) -> Any:
    """A JSON value in which one place, drawn along a random path, is replaced, removed or added."""
    if draw(st.integers(0, 4)) == 0 or not isinstance(value, (dict, list)) or not value:
        return draw(JSON)
    if isinstance(value, list):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], draw(changed(value[at])), *value[at + 1 :]]
    key = draw(st.sampled_from(sorted(value, key=str)))
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return {name: item for name, item in value.items() if name != key}
    if kind == 1:
        return {**value, draw(TEXTS): draw(JSON)}
    return {**value, key: draw(changed(value[key]))}
