"""Network outputs and intermediate arrays against the stored ones."""

from dataclasses import dataclass

import cases
import numpy as np
import pytest
import torch
from probes import OUTPUTS, probes_of


def assert_close(name: str, ours: np.ndarray, expected: np.ndarray, limit: float) -> None:
    assert np.isfinite(ours).all(), name
    difference = float(np.abs(ours.reshape(expected.shape) - expected).max())
    assert difference <= limit, f"{name} differs by {difference:.2e}, allowed are {limit:.1e}"


@dataclass(frozen=True)
class Run:
    """Maps of one case's network, and what came out of its modules on the way: `cases.recorded`."""

    maps: dict[str, torch.Tensor]
    record: dict[str, list[tuple[object, object]]]


@pytest.fixture(scope="module")
def uncached(output_case: cases.Case) -> Run:
    net, names = cases.net_of(output_case), {probe.module for probe in probes_of(output_case.model)}
    with torch.no_grad(), cases.recorded(net, names) as record:
        return Run(net(*cases.input_pair(output_case)), record)


def test_outputs(output_case: cases.Case, uncached: Run, difference) -> None:
    check_maps(output_case, uncached.maps, difference)


@torch.no_grad()
def test_outputs_with_a_cached_template(output_case: cases.Case, difference) -> None:
    net = cases.net_of(output_case)
    z, x = cases.input_pair(output_case)
    check_maps(output_case, net.search(net.template(z), x), difference)


def check_maps(output_case: cases.Case, maps: dict[str, torch.Tensor], difference) -> None:
    assert set(maps) == set(OUTPUTS[output_case.family])
    for name, (key, tolerance) in OUTPUTS[output_case.family].items():
        expected = output_case.arrays[key]
        ours = maps[name].numpy()
        off = float(np.abs(ours.reshape(expected.shape) - expected).max())
        difference(output_case.model, "outputs", off / max(1.0, float(np.abs(expected).max())))
        assert_close(key, ours, expected, tolerance.of(expected))


def test_intermediate_arrays(output_case: cases.Case, uncached: Run) -> None:
    probes = probes_of(output_case.model)
    assert probes
    for probe in probes:
        expected = output_case.arrays[probe.key]
        assert_close(probe.key, probe.read(uncached.record[probe.module]), expected, probe.tolerance.of(expected))


@torch.no_grad()
def test_flat_patches(fermt_case: cases.Case) -> None:
    """A pair of one grey level, which shows a wrong epsilon in the layer norms."""
    z, x = (cases.normalise(fermt_case.model, np.full((side, side, 3), 116, np.uint8)) for side in (128, 256))
    maps = cases.net_of(fermt_case)(z, x)
    for name, (key, tolerance) in OUTPUTS["fermt"].items():
        expected = fermt_case.arrays[f"flat_{key}"]
        assert_close(f"flat_{key}", maps[name].numpy(), expected, tolerance.of(expected))


@pytest.mark.parametrize(
    ("key", "buffer", "side", "cells"),
    [("pos_template", "position_z", 8, (0, 7)), ("pos_search", "position_x", 16, (0, 5, 10, 15))],
)
def test_position_tables(hcat_case: cases.Case, key: str, buffer: str, side: int, cells: tuple[int, ...]) -> None:
    table = cases.net_of(hcat_case).get_buffer(buffer)
    grid = table.numpy().reshape(side, side, -1).transpose(2, 0, 1)
    assert_close(key, grid[:, cells][:, :, cells], hcat_case.arrays[key], 1e-6)
