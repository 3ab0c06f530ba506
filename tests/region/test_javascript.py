"""The AWS SDK for JavaScript v3 against a region."""

from __future__ import annotations

import pytest

from tests.javascript_client import run_javascript
from tests.running_region import RunningRegion


@pytest.mark.parametrize("service", ["dynamodb", "s3"])
def test_the_aws_sdk_for_javascript_works_unchanged(region: RunningRegion, service: str) -> None:
    run_javascript(f"{service}.test.mjs", f"http://127.0.0.1:{region.port}")
