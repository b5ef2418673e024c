"""The one exception for what a user can mend."""

from __future__ import annotations

USER_ERROR, INTERRUPTED = 2, 130
"""Exit statuses of the command line: a user's mistake, Ctrl-C."""


class UserError(Exception):
    """A user's mistake or a missing piece, in one line: what is wrong, which value, what to do.

    The command line prints it and exits with status 2; the node logs it and lives on. Never shown as a traceback.
    """


class MissingPackage(UserError):  # noqa: N818
    """An optional Python package that the chosen feature needs is not installed."""

    def __init__(self, package: str, needed_for: str, install: str) -> None:
        super().__init__(f"{needed_for} needs the Python package '{package}': install it with `{install}`")

    def __reduce__(self) -> tuple[type[UserError], tuple[object, ...]]:
        """Crosses processes as a plain UserError with the same line."""
        return UserError, self.args
