"""Tests here run once per file of `--parity-dir`: they ask for one of the fixtures below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cases import Case

NOTE = "parity:"
COLUMNS = {
    "outputs": "of max(1, map)",
    "crops": "grey levels",
    "tracks": "pixels",
    "padding": "of crop side",  # HCAT with its padding rounded to grey levels, which is what a user runs
}

FIXTURES: dict[str, Callable[[Case], bool]] = {
    "output_case": lambda case: case.kind == "output",
    "fermt_case": lambda case: case.kind == "output" and case.family == "fermt",
    "center_case": lambda case: case.kind == "output" and case.family in ("fermt", "smat", "mvt"),
    "hcat_case": lambda case: case.kind == "output" and case.family == "hcat",
    "hit_case": lambda case: case.kind == "output" and case.family == "hit",
    "track_case": lambda case: case.kind == "track" and case.family != "hit",
    "hcat_track_case": lambda case: case.kind == "track" and case.family == "hcat",
    "hit_track_case": lambda case: case.kind == "track" and case.family == "hit",
    "crop_case": lambda case: case.kind == "cases" and case.path.stem == "crop_cases",
    "hcat_crop_case": lambda case: case.family == "hcat" and case.path.stem == "crop_cases",
    "head_case": lambda case: case.kind == "cases" and case.path.stem == "head_cases",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not FIXTURES.keys() & set(metafunc.fixturenames):
        return
    import cases  # not above: it skips the module that imports it where torch is missing

    folder = metafunc.config.getoption("--parity-dir")
    for fixture, wanted in FIXTURES.items():
        if fixture in metafunc.fixturenames:
            found = [case for case in cases.find(folder) if wanted(case)]
            # Module scope makes pytest run all tests of one case together, so that its network is made once.
            metafunc.parametrize(fixture, found, ids=str, scope="module")


@pytest.fixture
def difference(record_property: Callable[[str, object], None]) -> Callable[[str, str, float], None]:
    """difference(model, column, value): note how far off something was, for the table at the end of the run."""
    return lambda model, column, value: record_property(f"{NOTE}{model}:{column}", value)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The largest difference of each model and column; crops are noted per family."""
    largest: dict[str, dict[str, float]] = {}
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name.startswith(NOTE):
                model, column = name.removeprefix(NOTE).split(":")
                row = largest.setdefault(model, {})
                row[column] = max(row.get(column, 0.0), float(value))
    if largest:
        terminalreporter.section("largest differences from the published numbers")
        columns = list(COLUMNS)
        terminalreporter.line(f"{'':14}" + "".join(f"{column:>14}" for column in columns))
        terminalreporter.line(f"{'':14}" + "".join(f"{COLUMNS[column]:>14}" for column in columns))
        for model, row in sorted(largest.items()):
            cells = (f"{row[column]:14.1e}" if column in row else f"{'':14}" for column in columns)
            terminalreporter.line(f"{model:14}" + "".join(cells))


@pytest.fixture(scope="session")
def parity_dir(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.config.getoption("--parity-dir")
    return folder
