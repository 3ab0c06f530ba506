"""Identifiers have AWS's formats."""

from __future__ import annotations

import random

import pytest

from zonal.foundation.identifiers import arn, parse_arn, resource_id


def test_an_id_is_a_prefix_and_seventeen_digits_and_repeatable_from_a_seed() -> None:
    assert resource_id("vpc", random.Random(1)) == resource_id("vpc", random.Random(1))
    prefix, _, digits = resource_id("vpc").partition("-")
    assert (prefix, len(digits), int(digits, 16) > 0) == ("vpc", 17, True)


def test_an_arn_reads_back() -> None:
    assert parse_arn(arn("rds", "db:orders")) == ("rds", "us-east-1", "000000000000", "db:orders")
    assert parse_arn("arn:aws:s3:::bucket/key") == ("s3", "", "", "bucket/key")


@pytest.mark.parametrize("text", ["", "orders", "arn:aws:rds", "arn:aws:rds:us-east-1:12:db:x"])
def test_text_that_is_not_an_arn_is_not_parsed(text: str) -> None:
    assert parse_arn(text) is None
