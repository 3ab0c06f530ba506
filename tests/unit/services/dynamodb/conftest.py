from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.services.dynamodb.caller import Caller, calling


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Caller]:
    async with calling(tmp_path) as caller:
        yield caller
