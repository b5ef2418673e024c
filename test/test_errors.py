"""The text of a UserError is one line, whatever it quotes."""

from __future__ import annotations

import pickle

import pytest

from sot_tracker.errors import MissingPackage, UserError, did_you_mean
from sot_tracker.stream.encodings import FrameError


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        ("größe 猫", "größe 猫"),
        ("a\nb", r"a\nb"),
        ("a\r\x1b[2Jb", r"a\r\x1b[2Jb"),
        ("a\u2028b", r"a\u2028b"),
        ("a\udc80b", r"a\udc80b"),
    ],
)
def test_what_is_not_printable_is_escaped(quoted: str, shown: str) -> None:
    for error in (UserError(f"'{quoted}' is wrong"), FrameError("kind", f"'{quoted}' is wrong")):
        assert str(error) == f"'{shown}' is wrong"
    str(error).encode()  # so that it can be printed


@pytest.mark.parametrize(
    ("given", "message"), [("LITE", "; did you mean lite?"), ("FermT", "; did you mean fermt?"), ("zzz", "")]
)
def test_the_nearest_name_is_suggested_in_any_case(given: str, message: str) -> None:
    assert did_you_mean(given, ["lite", "fermt"]) == message


def test_it_crosses_processes() -> None:
    for error in (UserError("a\nb"), MissingPackage("x", "y", "z")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
