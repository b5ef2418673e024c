#!/usr/bin/env bash
# Package:  openvino 2026.4.1, CPU on x86-64 (needs Python 3.11 or later)
# Expected: a model in the cache (CACHE_DIR) whose file was damaged is noticed and compiled again.
# Observed: a file that was cut short is made again, but of one with flipped bits among the weights every later start
#           computes with the damaged weights, without a word; LOADED_FROM_CACHE is True. Keep a checksum beside what
#           export_model gives, and use import_model after checking it.
# Output:   first start 6.0014, from the cache: False
#           second start 6.0014, from the cache: True
#           one bit flipped 4.278e+37, from the cache: True
#           cut in half 6.0014, from the cache: False
# Date:     2026-11-27

set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet 'openvino==2026.4.1' 'numpy==2.4.6'
cat > "$tmp/run.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as ops

told, cache = sys.argv[1], Path(sys.argv[2])
weights = np.random.default_rng(0).normal(0, 1, (256, 256)).astype(np.float32)
for blob in cache.glob("*.blob"):
    data = bytearray(blob.read_bytes())
    if told == "one bit flipped":
        data[data.index(weights.tobytes()[:64]) + 3] ^= 0x40
    elif told == "cut in half":
        del data[len(data) // 2 :]
    blob.chmod(0o600)
    blob.write_bytes(data)
given = ops.parameter([1, 256], np.float32)
model = openvino.Model([ops.matmul(given, ops.constant(weights), False, False)], [given])
options = {"CACHE_DIR": str(cache), "INFERENCE_PRECISION_HINT": "f32"}
compiled = openvino.Core().compile_model(model, "CPU", options)
found = float(compiled(np.ones((1, 256), np.float32))[0][0, 0])
print(f"{told} {found:.4f}" if found < 1e6 else f"{told} {found:.3e}", end=", ")
print("from the cache:", compiled.get_property("LOADED_FROM_CACHE"))
sys.exit(0 if (found > 1e6) == (told == "one bit flipped") else 1)
PY
for told in 'first start' 'second start' 'one bit flipped' 'cut in half'; do
  "$tmp/venv/bin/python" "$tmp/run.py" "$told" "$tmp/cache"
done
