"""The one exception for what a user can fix, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

USER_ERROR, INTERRUPTED, TERMINATED = 2, 130, 143
"""Exit statuses of the command line: a user's mistake, Ctrl-C, SIGTERM."""


class UserError(Exception):
    """A user's mistake or a missing piece, in one line: what is wrong, which value, what to do.

    The command line prints it and exits with status 2; the node logs it and lives on. Never shown as a traceback.
    What the text quotes may hold line breaks (a name, a value, a message's field): they are escaped, see `one_line`.
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
        """Crosses processes as a plain UserError with the same line."""
        return UserError, self.args


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """ "; did you mean X?" with the nearest of the known names, or "" where none is near: the end of an error line."""
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(given.casefold(), list(names), n=1)
    return f"; did you mean {names[near[0]]}?" if near else ""
