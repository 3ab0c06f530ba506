"""Bucket policies: who is let through, who is not, and what is no policy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.credentials import Accounts
from zonal.foundation.errors import AwsError
from zonal.services.s3.policies import Decision, Question, check, decide, is_public

ME, OTHER = "000000000000", "111122223333"


def statement(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"} | more


def asked(account: str | None = None, action: str = "GetObject", key: str = "k", **context: str) -> Question:
    keys = {name.replace("__", ":").replace("_", "-"): [value] for name, value in context.items()}
    return Question(Accounts().of(account) if account else None, f"s3:{action}", f"arn:aws:s3:::b/{key}" if key else "arn:aws:s3:::b", keys)


def says(*statements: dict[str, Any], question: Question) -> Decision:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    check(json.dumps(policy), "b")
    return decide(policy, question)


def test_a_deny_outweighs_every_allow() -> None:
    assert says(statement(), statement("Deny", Resource="arn:aws:s3:::b/k"), question=asked()) is Decision.DENY
    assert says(statement(), statement("Deny", Resource="arn:aws:s3:::b/other"), question=asked()) is Decision.ALLOW


@given(st.permutations([statement(), statement("Deny", Action="s3:Get*"), statement(Action="s3:*"), statement(Principal={"AWS": OTHER})]))
def test_the_order_of_statements_says_nothing(statements: list[dict[str, Any]]) -> None:
    assert decide({"Statement": statements}, asked()) is Decision.DENY


def test_a_principal_is_everybody_an_account_or_its_root() -> None:
    for principal in ({"AWS": OTHER}, {"AWS": f"arn:aws:iam::{OTHER}:root"}, {"AWS": [ME, OTHER]}):
        assert says(statement(Principal=principal), question=asked(OTHER)) is Decision.ALLOW
        assert says(statement(Principal=principal), question=asked()) is Decision.SILENT
    assert says(statement(Principal={"AWS": "*"}), question=asked()) is Decision.ALLOW
    not_other = {"Effect": "Deny", "NotPrincipal": {"AWS": OTHER}, "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}
    assert says(not_other, question=asked(ME)) is Decision.DENY
    assert says(not_other, question=asked(OTHER)) is Decision.SILENT


def test_actions_and_resources_have_wildcards_and_actions_no_case() -> None:
    assert says(statement(Action="S3:getobj*"), question=asked()) is Decision.ALLOW
    assert says(statement(Action="s3:Put*"), question=asked()) is Decision.SILENT
    assert says(statement(Resource="arn:aws:s3:::b/a/?.jpg"), question=asked(key="a/1.jpg")) is Decision.ALLOW
    assert says(statement(Resource="arn:aws:s3:::b/A/*"), question=asked(key="a/1")) is Decision.SILENT
    assert says({**statement(), "Resource": "arn:aws:s3:::b"}, question=asked()) is Decision.SILENT
    other = statement(NotAction="s3:Delete*")
    del other["Action"]
    assert says(other, question=asked()) is Decision.ALLOW


@pytest.mark.parametrize(
    ("operator", "tests", "context", "holds"),
    [
        ("StringEquals", {"s3:prefix": ["a", "b"]}, {"s3__prefix": "b"}, True),
        ("StringEquals", {"s3:prefix": "a"}, {}, False),
        ("StringEqualsIfExists", {"s3:prefix": "a"}, {}, True),
        ("StringNotEquals", {"s3:prefix": "a"}, {}, True),
        ("StringNotEquals", {"s3:prefix": ["a", "b"]}, {"s3__prefix": "b"}, False),
        ("StringLike", {"aws:Referer": "http://*.example.com/*"}, {"aws__referer": "http://a.example.com/x"}, True),
        ("IpAddress", {"aws:SourceIp": "10.0.0.0/8"}, {"aws__sourceip": "10.1.2.3"}, True),
        ("NotIpAddress", {"aws:SourceIp": "10.0.0.0/8"}, {"aws__sourceip": "10.1.2.3"}, False),
        ("IpAddress", {"aws:SourceIp": "10.0.0.0/8"}, {"aws__sourceip": "nonsense"}, False),
        ("Bool", {"aws:SecureTransport": False}, {"aws__securetransport": "false"}, True),
        ("NumericLessThanEquals", {"s3:max-keys": 10}, {"s3__max_keys": "10"}, True),
        ("NumericLessThanEquals", {"s3:max-keys": 10}, {"s3__max_keys": "11"}, False),
        ("DateLessThan", {"aws:CurrentTime": "2030-01-01T00:00:00Z"}, {"aws__currenttime": "2026-01-01T00:00:00Z"}, True),
        ("Null", {"s3:x-amz-acl": "true"}, {}, True),
        ("Null", {"s3:x-amz-acl": "false"}, {}, False),
        ("ForAllValues:StringEquals", {"s3:prefix": "a"}, {}, True),
        ("ForAnyValue:StringEquals", {"s3:prefix": "a"}, {}, False),
    ],
)
def test_a_condition_holds_or_not(operator: str, tests: dict[str, Any], context: dict[str, str], holds: bool) -> None:
    decision = says(statement(Condition={operator: tests}), question=asked(**context))
    assert decision is (Decision.ALLOW if holds else Decision.SILENT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"Statement": []}',
        '{"Version": "2020-01-01", "Statement": [{}]}',
        json.dumps({"Statement": [statement("Perhaps")]}),
        json.dumps({"Statement": [statement(Action="ec2:Run")]}),
        json.dumps({"Statement": [statement(Resource="arn:aws:s3:::other/*")]}),
        json.dumps({"Statement": [statement(Principal={"AWS": "somebody"})]}),
        json.dumps({"Statement": [statement(Condition={"StringMatches": {"a": "b"}})]}),
        json.dumps({"Statement": [statement(Extra=1)]}),
        json.dumps({"Statement": [statement(Resource="arn:aws:s3:::b/" + "x" * 21_000)]}),
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(AwsError) as refused:
        check(text, "b")
    assert refused.value.code == "MalformedPolicy"


def test_a_policy_for_everybody_is_public_unless_a_condition_narrows_it() -> None:
    assert is_public(statement())
    assert not is_public(statement(Principal={"AWS": OTHER}))
    assert not is_public(statement("Deny"))
    assert not is_public(statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))
    assert is_public(statement(Condition={"StringLike": {"aws:Referer": "x"}}))
    assert decide({"Statement": [statement()]}, asked(), public=False) is Decision.SILENT
