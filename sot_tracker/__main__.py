"""`python -m sot_tracker` is `sot-tracker`."""

import sys

from sot_tracker.cli import main

if __name__ == "__main__":
    sys.exit(main())
