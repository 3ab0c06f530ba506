"""The operations that the service offers are the documented ones."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.services.dynamodb.caller import calling
from tests.unit.services.dynamodb.test_transfers import Bucket

DOCS = Path(__file__).parents[4] / "docs"


async def test_the_documented_operations_are_those_of_the_service(tmp_path: Path) -> None:
    documented = dict(re.findall(r"^\| (dynamodb\w*) \| (.+) \|$", (DOCS / "dynamodb.md").read_text(), re.MULTILINE))
    async with calling(tmp_path, objects=Bucket()) as call:
        offered = {service: sorted(handlers) for service, handlers in call.service.handlers.items()}
    assert {service: text.split(", ") for service, text in documented.items()} == offered
