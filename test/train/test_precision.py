"""Which arithmetic "auto" takes, on machines that this one need not be."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sot_tracker.train import precision  # noqa: E402

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def machine(monkeypatch, kind="AVX512", **capabilities):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: kind)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize(
    ("kind", "capabilities", "chosen"),
    [
        ("AVX2", {"avx2": True}, "fp32"),
        ("AVX512", {"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ("AVX512", {"avx512_bf16": True}, "bf16"),
        ("AVX512", {"amx_bf16": True}, "bf16"),
        ("AVX2", {"avx512_bf16": True}, "fp32"),  # held down by ATEN_CPU_CAPABILITY
        ("SVE256", {"bf16": True}, "bf16"),
        ("DEFAULT", {"neon": True, "bf16": False}, "fp32"),
    ],
)
def test_a_processor_decides_by_its_instructions(kind, capabilities, chosen, monkeypatch, caplog):
    machine(monkeypatch, kind, **capabilities)
    with caplog.at_level("INFO"):
        assert precision.resolve("auto", CPU) == chosen
    (record,) = caplog.records
    assert f"training in {chosen}" in record.message


@pytest.mark.parametrize("name", ["_is_avx512_bf16_supported", "_is_amx_tile_supported"])
def test_older_torch_is_asked_in_its_own_way(name, monkeypatch):
    machine(monkeypatch)
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    for query in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, query, lambda answer=query == name: answer, raising=False)
    assert precision.has_bfloat16(CPU)
    monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert not precision.has_bfloat16(CPU)


@pytest.mark.parametrize(("native", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_must_not_emulate(native, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    assert precision.resolve("auto", CUDA) == chosen


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_what_is_asked_for_is_taken(wanted, monkeypatch, caplog):
    machine(monkeypatch, "AVX2")
    assert precision.resolve(wanted, CPU) == wanted
    assert not caplog.records
