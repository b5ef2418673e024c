"""How many inputs the fuzzers try: a few, always the same, in CI; as many as `--fuzz` says, new ones, by command."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

IN_CI = 100


def pytest_configure(config: pytest.Config) -> None:
    count = config.getoption("--fuzz")
    settings.register_profile(
        "fuzz",
        max_examples=count or IN_CI,
        derandomize=not count,
        deadline=None,
        database=None,
        print_blob=bool(count),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("fuzz")
