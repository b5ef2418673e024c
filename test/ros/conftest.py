"""Real processes over real DDS, in a domain of their own; see `talker.py`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ros_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """rclpy in a domain that nobody else uses, in this process and its children; skips where ROS is missing."""
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not here: `make test` brings it")
    pytest.importorskip("sot_tracker.msg", reason="sot_tracker.msg was not built: `make test` does")
    from domain_coordinator import domain_id

    with domain_id() as number:
        saved = dict(os.environ)
        os.environ.update(
            ROS_DOMAIN_ID=str(number),
            ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
            ROS_LOG_DIR=str(tmp_path_factory.mktemp("roslog")),
            OMP_NUM_THREADS="1",
        )
        rclpy.init(args=[])
        yield
        rclpy.try_shutdown()
        os.environ.clear()
        os.environ.update(saved)
