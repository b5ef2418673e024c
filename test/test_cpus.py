import os
import platform
import subprocess
import sys

import pytest

from sot_tracker import cpus, loading
from sot_tracker.catalog import spec
from sot_tracker.config import Config


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is set on Linux only")
def test_affinity_counts():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from sot_tracker import cpus; print(cpus.usable())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("allowed", "threads", "given"),
    [(2, 0, 2), (8, 0, 0), (2, 5, 5)],
    ids=["fewer than the machine has", "all of them", "the user's choice"],
)
def test_engines_get_as_many_threads_as_the_affinity_allows(monkeypatch, allowed, threads, given):
    monkeypatch.setattr(cpus.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    seen = []

    class Stop(Exception):  # noqa: N818
        pass

    def load(name, model, source, config):
        seen.append(config.threads)
        raise Stop

    monkeypatch.setattr(loading, "_load", load)
    with pytest.raises(Stop):
        loading.load_network(spec("smat"), Config(model="smat", engine="onnx", threads=threads))
    assert seen == [given]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: Fast\nflags\t: avx2 avx512_vnni avx_vnni\n\nmodel name: Other\n", "Fast (AVX2, VNNI)"),
        ("Features\t: fp asimd asimddp\n", f"{platform.machine()} (NEON, dot product)"),
        ("", platform.machine()),
    ],
)
def test_processor(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert cpus.processor(tmp_path / "cpuinfo") == expected
    assert cpus.processor(tmp_path / "none") == platform.machine()
