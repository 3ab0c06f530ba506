"""Fixtures: one running region that tests share, and a new region for tests that kill or stop it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.running_region import RunningRegion, temporary_region

settings.register_profile("zonal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zonal")  # No property depends on time, and the machine may be busy.


@pytest.fixture(scope="session")
def region() -> Iterator[RunningRegion]:
    """A region that the tests of a session share. A test removes what it creates and recovers the zones that it fails."""
    with temporary_region("zonal-test-") as running:
        yield running


@pytest.fixture
def own_region() -> Iterator[RunningRegion]:
    """A region for one test, which may kill, stop and start it."""
    with temporary_region("zonal-test-") as running:
        yield running
