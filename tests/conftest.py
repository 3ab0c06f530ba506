"""Fixtures: one running region that tests share, and a new region for tests that kill or stop it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.running_region import RunningRegion

settings.register_profile("zonal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zonal")  # No property depends on time, and the machine may be busy.


@pytest.fixture(scope="session")
def region() -> Iterator[RunningRegion]:
    """A region that the tests of a session share. A test removes what it creates and recovers the zones that it fails."""
    yield from _region()


@pytest.fixture
def own_region() -> Iterator[RunningRegion]:
    """A region for one test, which may kill, stop and start it."""
    yield from _region()


def _region() -> Iterator[RunningRegion]:
    state = Path(tempfile.mkdtemp(prefix="zonal-test-"))
    running = RunningRegion(state)
    try:
        running.start()
        yield running
    finally:
        running.zonal("stop", check=False)
        shutil.rmtree(state)
