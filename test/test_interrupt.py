"""Ctrl-C from the first moment on: one line, whatever is being imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "sot-tracker"
CTRL_C = """
import importlib.abc, runpy, sys

class CtrlC(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
sys.argv = ["sot-tracker", "models"]
{run}
"""
RUNS = {
    "module": "runpy.run_module('sot_tracker', run_name='__main__')",
    "script": f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')",
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("module", ["numpy", "sot_tracker.cli", "sot_tracker.commands.models"])
def test_ctrl_c_during_an_import_is_one_line(run: str, module: str) -> None:
    code = CTRL_C.format(module=module, run=RUNS[run])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "sot-tracker: interrupted\n")


def test_the_public_names_are_there() -> None:
    import sot_tracker

    assert all(getattr(sot_tracker, name) is not None for name in sot_tracker.__all__)
    assert set(sot_tracker.__all__) <= set(dir(sot_tracker))
    with pytest.raises(AttributeError, match="no attribute 'Trakcer'"):
        sot_tracker.Trakcer  # noqa: B018
