#!/usr/bin/env bash
# Package:  safetensors 0.8.0 (0.7.0 stores such arrays rightly)
# Expected: load_file() gives back the values that save_file() was given.
# Observed: safetensors.numpy writes the memory of an array without looking at its strides. A transposed or
#           Fortran-ordered array (a transposed weight, for
#           example, or what scikit-learn's PCA answers) comes back with the right shape and its values in another order. No error and
#           no warning; the same release of safetensors.torch refuses a tensor of that kind.
# Output:   transposed [[0. 3.] [1. 4.] [2. 5.]] comes back as [[0. 1.] [2. 3.] [4. 5.]]
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'safetensors==0.8.0' 'numpy==2.2.6'
"$tmp/venv/bin/python" - <<'PY'
import sys
import numpy as np
from safetensors.numpy import load, save

cases = {
    "plain": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "Fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
}
same = {}
for name, array in cases.items():
    back = load(save({"w": array}))["w"]
    same[name] = np.array_equal(array, back)
    print(name, str(array).replace("\n", ""), "comes back as", str(back).replace("\n", ""))
sys.exit(0 if same == {"plain": True, "transposed": False, "Fortran order": False} else 1)
PY
