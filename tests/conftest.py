"""What tests share: one running region for all that only use it, and a new one for those that break it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.running_region import RunningRegion

settings.register_profile("zonal", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zonal")  # A busy machine is no failure: no property is about time.


@pytest.fixture(scope="session")
def region() -> Iterator[RunningRegion]:
    """A region that the tests of a session share. What a test makes in it, it removes; zones it breaks, it heals."""
    yield from _region()


@pytest.fixture
def own_region() -> Iterator[RunningRegion]:
    """A region of the test's own, to kill, stop and start."""
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
