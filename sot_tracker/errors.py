"""The exception for everything that a user can fix, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

USER_ERROR, INTERRUPTED, TERMINATED = 2, 130, 143
"""Exit statuses of the command line: a user's mistake, Ctrl-C, SIGTERM."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, in a command that ends on it as on Ctrl-C."""


class UserError(Exception):
    """A user's mistake, or something that is missing, in one line: what is wrong, which value, what to do.

    The command line prints it and exits with status 2; the node logs it and continues. It is never shown as a
    traceback. Line breaks in the text (from a quoted name, value or message field) are escaped, see `one_line`.
    """

    def __init__(self, text: object) -> None:
        super().__init__(one_line(str(text)))


def one_line(text: str) -> str:
    """The text with everything that is not printable, such as line breaks and control characters, escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class MissingPackage(UserError):  # noqa: N818
    """An optional Python package that the chosen feature needs is not installed."""

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        super().__init__(f"{needed_for} needs the Python package '{package}': install it with `{install}`")

    def __reduce__(self) -> tuple[type[UserError], tuple[object, ...]]:
        """Pickled as a plain UserError with the same text."""
        return UserError, self.args


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of an error message, "; did you mean X?" with the most similar known name; "" if none is similar."""
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(given.casefold(), list(names), n=1)
    return f"; did you mean {names[near[0]]}?" if near else ""
