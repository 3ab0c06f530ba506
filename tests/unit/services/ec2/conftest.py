"""Fixtures of EC2's unit tests."""

from __future__ import annotations

import pytest

from .harness import Ec2


@pytest.fixture
def ec2() -> Ec2:
    """A new account: only its default VPC."""
    return Ec2()
