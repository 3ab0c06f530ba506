"""Tags: each service's checks, in its order and with its errors."""

from __future__ import annotations

from typing import Any

import pytest

from zonal.dynamo.items import validation
from zonal.foundation.errors import AwsError
from zonal.services.common.tags import MOST_TAGS, TagRules, is_reserved, shown, without
from zonal.services.dynamodb import tags as dynamodb
from zonal.services.ec2 import tags as ec2
from zonal.services.rds import tags as rds
from zonal.services.s3 import tags as s3

Tag = dict[str, Any]
MANY = [{"Key": f"k{number}", "Value": ""} for number in range(MOST_TAGS + 1)]
LONG_KEY, LONG_VALUE = {"Key": "k" * 129, "Value": ""}, {"Key": "k", "Value": "v" * 257}
TWICE = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
RESERVED = {"Key": "AWS:x", "Value": ""}


@pytest.mark.parametrize(
    ("tags", "code", "message"),
    [
        (MANY, "TagLimitExceeded", "The maximum number of Tags for a resource has been reached."),
        ([{"Key": "", "Value": "x"}], "InvalidParameterValue", "Tag key cannot be empty."),
        ([LONG_KEY], "InvalidParameterValue", f"Tag key exceeds the maximum length of 128 characters: '{'k' * 129}'"),
        ([LONG_VALUE], "InvalidParameterValue", f"Tag value exceeds the maximum length of 256 characters: '{'v' * 257}'"),
        ([RESERVED], "InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use: 'AWS:x'"),
        (TWICE, "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive."),
        ([*TWICE, RESERVED], "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive."),
    ],
)
def test_ec2_rejects_with_its_messages(tags: list[Tag], code: str, message: str) -> None:
    with pytest.raises(AwsError) as error:
        ec2.merged({}, tags)
    assert (error.value.code, error.value.message) == (code, message)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (MANY, "A resource can have at most 50 tags."),
        ([{"Value": "x"}], "Tag keys have 1 to 128 characters and values at most 256: ''"),
        ([LONG_KEY], f"Tag keys have 1 to 128 characters and values at most 256: '{'k' * 129}'"),
        ([LONG_VALUE], "Tag keys have 1 to 128 characters and values at most 256: 'k'"),
        ([RESERVED], "Tag keys that begin with 'aws:' are reserved: 'AWS:x'"),
    ],
)
def test_rds_rejects_with_its_messages(tags: list[Tag], message: str) -> None:
    with pytest.raises(AwsError) as error:
        rds.merged({}, tags)
    assert (error.value.code, error.value.message) == ("InvalidParameterValue", message)


def test_the_last_of_two_tags_with_the_same_key_applies_in_rds() -> None:
    assert rds.merged({"a": "0", "b": "1"}, TWICE) == {"a": "2", "b": "1"}


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (MANY, "Number of Tags exceed the current limit for the provided ResourceArn"),
        ([{"Value": "x"}], "The Tag Key provided is invalid, Key: null"),
        ([{"Key": "a"}], "The Tag Value provided is invalid, Value: null"),
        ([LONG_KEY], f"The Tag Key provided is invalid, Key: {'k' * 129}"),
        ([LONG_VALUE], f"The Tag Value provided is invalid, Value: {'v' * 257}"),
        ([{"Key": "a;b", "Value": ""}], "The Tag Key provided is invalid, Key: a;b"),
        ([RESERVED], "Tag Key cannot be prefixed with aws:, Key: AWS:x"),
        (TWICE, "Duplicate Tag Keys provided as input: Duplicate Tag Key found a"),
        ([*TWICE, RESERVED], "Duplicate Tag Keys provided as input: Duplicate Tag Key found a"),
        ([RESERVED, *MANY], "Tag Key cannot be prefixed with aws:, Key: AWS:x"),
    ],
)
def test_dynamodb_rejects_with_its_messages(tags: list[Tag], message: str) -> None:
    with pytest.raises(AwsError) as error:
        dynamodb.tags_of(tags)
    assert (error.value.code, error.value.message) == (validation("").code, message)


@pytest.mark.parametrize(
    ("tags", "limit", "code", "message"),
    [
        (MANY, 50, "InvalidTag", "Bucket tags cannot be greater than 50"),
        ([*MANY[:10], RESERVED], 10, "BadRequest", "Object tags cannot be greater than 10"),
        ([RESERVED], 50, "InvalidTag", "System tags cannot be added/updated by requester"),
        ([RESERVED], 10, "InvalidTag", "Your TagKey cannot be prefixed with aws:"),
        ([LONG_KEY], 10, "InvalidTag", "The TagKey you have provided is invalid"),
        ([{"Key": "", "Value": ""}], 10, "InvalidTag", "The TagKey you have provided is invalid"),
        ([LONG_VALUE], 10, "InvalidTag", "The TagValue you have provided is invalid"),
        ([{"Key": "a", "Value": "b;c"}], 10, "InvalidTag", "The TagValue you have provided is invalid"),
        (TWICE, 50, "InvalidTag", "Cannot provide multiple Tags with the same key"),
    ],
)
def test_s3_rejects_with_its_messages(tags: list[Tag], limit: int, code: str, message: str) -> None:
    with pytest.raises(AwsError) as error:
        s3.checked_tags(tags, limit)
    assert (error.value.code, error.value.message) == (code, message)


def test_tags_of_the_maximum_sizes_are_accepted_everywhere() -> None:
    tags = [{"Key": f"{number:02}{'k' * 126}", "Value": "v" * 256} for number in range(MOST_TAGS)]
    expected = {tag["Key"]: tag["Value"] for tag in tags}
    assert ec2.merged({}, tags) == rds.merged({}, tags) == dynamodb.tags_of(tags) == s3.checked_tags(tags, MOST_TAGS) == expected


def test_existing_tags_count_towards_the_limit_and_are_replaced() -> None:
    rules = TagRules(checks=(), too_many=lambda count: AwsError("Many", str(count)), most=2)
    assert rules.merged({"a": "1", "b": "2"}, [{"Key": "b", "Value": "3"}]) == {"a": "1", "b": "3"}
    with pytest.raises(AwsError, match="3"):
        rules.merged({"a": "1", "b": "2"}, [{"Key": "c"}])


def test_tags_are_rendered_in_order_and_removed_by_key() -> None:
    assert shown({"b": "2", "a": "1"}) == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    assert without({"a": "1", "b": "2"}, ["b", "c"]) == {"a": "1"}
    assert is_reserved("aWs:x") and not is_reserved("awsx")
