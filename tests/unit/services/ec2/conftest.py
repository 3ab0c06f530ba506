"""What EC2's unit tests share."""

from __future__ import annotations

import pytest

from .harness import Ec2


@pytest.fixture
def ec2() -> Ec2:
    """A fresh account: its default VPC and nothing else."""
    return Ec2()
