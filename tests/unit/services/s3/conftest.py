"""Fixtures of S3's tests: an endpoint and a client for each module, and a new bucket for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.s3_endpoint import Endpoint


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    endpoint = Endpoint(tmp_path_factory.mktemp("s3"))
    yield endpoint
    endpoint.close()


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> Any:
    return endpoint.client()


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"bucket-{os.urandom(5).hex()}"
    client.create_bucket(Bucket=name)
    return name
