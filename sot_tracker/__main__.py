"""`sot-tracker` and `python -m sot_tracker`: starts the command line.

This module and `sot_tracker/__init__.py` import nothing else of the package, so that Ctrl-C is one line from the first
moment on: the imports of the command line (NumPy alone) take a good part of a second.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""As `errors.INTERRUPTED`, which is not imported yet."""


def main() -> int:
    """See `cli.main`."""
    try:
        from sot_tracker.cli import main as run
    except KeyboardInterrupt:
        print("sot-tracker: interrupted", file=sys.stderr)
        return INTERRUPTED
    return run()


if __name__ == "__main__":
    sys.exit(main())
