#!/usr/bin/env bash
# Package:  vot-toolkit 0.9.0 with attributee 0.1.10, the version that pip takes for it
# Expected: after `pip install vot-toolkit`, `import vot` works.
# Observed: on Python 3.11 and later the import ends in a TypeError. attributee imports
#           typing.dataclass_transform under the name of a plain decorator and uses it without the call that
#           it needs. On Python 3.10 the name does not exist, its fallback is taken, and all is well.
#           attributee 0.1.8 works everywhere.
# Output:   TypeError: dataclass_transform() takes 0 positional arguments but 1 was given
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'vot-toolkit==0.9.0' 'attributee==0.1.10'
"$tmp/venv/bin/python" - <<'PY'
import sys

expected = "TypeError" if sys.version_info >= (3, 11) else "imported"
try:
    import vot

    seen = "imported"
except TypeError as error:
    seen = "TypeError"
    print(f"TypeError: {error}")
print(sys.version.split()[0], seen)
sys.exit(0 if seen == expected else 1)
PY
