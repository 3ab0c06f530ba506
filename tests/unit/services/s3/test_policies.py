"""Bucket policies: evaluation and validation."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.foundation.clock import RegionClock
from zonal.foundation.credentials import Accounts
from zonal.foundation.errors import AwsError
from zonal.foundation.settings import Settings
from zonal.services.s3.access import actions_for
from zonal.services.s3.policies import AuthorizationRequest, PolicyDecision, check, decide, is_public
from zonal.services.s3.policy_vocabulary import BUCKET_ACTIONS, OBJECT_ACTIONS
from zonal.services.s3.service import open_s3

ME, OTHER = "000000000000", "111122223333"


def statement(effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"} | more


def asked(account: str | None = None, action: str = "GetObject", key: str = "k", **context: str) -> AuthorizationRequest:
    keys = {name.replace("__", ":").replace("_", "-"): [value] for name, value in context.items()}
    return AuthorizationRequest(
        Accounts().of(account) if account else None, f"s3:{action}", f"arn:aws:s3:::b/{key}" if key else "arn:aws:s3:::b", keys
    )


def says(*statements: dict[str, Any], request: AuthorizationRequest) -> PolicyDecision:
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    check(json.dumps(policy), "b")
    return decide(policy, request)


def test_a_deny_outweighs_every_allow() -> None:
    assert says(statement(), statement("Deny", Resource="arn:aws:s3:::b/k"), request=asked()) is PolicyDecision.DENY
    assert says(statement(), statement("Deny", Resource="arn:aws:s3:::b/other"), request=asked()) is PolicyDecision.ALLOW


@given(st.permutations([statement(), statement("Deny", Action="s3:Get*"), statement(Action="s3:*"), statement(Principal={"AWS": OTHER})]))
def test_the_order_of_statements_does_not_matter(statements: list[dict[str, Any]]) -> None:
    assert decide({"Statement": statements}, asked()) is PolicyDecision.DENY


def test_a_principal_is_everybody_an_account_or_its_root() -> None:
    for principal in ({"AWS": OTHER}, {"AWS": f"arn:aws:iam::{OTHER}:root"}, {"AWS": [ME, OTHER]}):
        assert says(statement(Principal=principal), request=asked(OTHER)) is PolicyDecision.ALLOW
        assert says(statement(Principal=principal), request=asked()) is PolicyDecision.SILENT
    assert says(statement(Principal={"AWS": "*"}), request=asked()) is PolicyDecision.ALLOW
    not_other = {"Effect": "Deny", "NotPrincipal": {"AWS": OTHER}, "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}
    assert says(not_other, request=asked(ME)) is PolicyDecision.DENY
    assert says(not_other, request=asked(OTHER)) is PolicyDecision.SILENT


def test_actions_and_resources_have_wildcards_and_actions_ignore_case() -> None:
    assert says(statement(Action="S3:getobj*"), request=asked()) is PolicyDecision.ALLOW
    assert says(statement(Action="s3:Put*"), request=asked()) is PolicyDecision.SILENT
    assert says(statement(Resource="arn:aws:s3:::b/a/?.jpg"), request=asked(key="a/1.jpg")) is PolicyDecision.ALLOW
    assert says(statement(Resource="arn:aws:s3:::b/A/*"), request=asked(key="a/1")) is PolicyDecision.SILENT
    assert says(statement(Action="s3:*", Resource="arn:aws:s3:::b"), request=asked()) is PolicyDecision.SILENT
    other = statement(NotAction="s3:Delete*")
    del other["Action"]
    assert says(other, request=asked()) is PolicyDecision.ALLOW


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
    decision = says(statement(Action="s3:*", Condition={operator: tests}), request=asked(**context))
    assert decision is (PolicyDecision.ALLOW if holds else PolicyDecision.SILENT)


NO_JSON_OBJECT = "Policies must be valid JSON and the first byte must be '{'"
NO_JSON = "This policy contains invalid Json"


def policy(effect: str = "Allow", **more: Any) -> str:
    return json.dumps({"Statement": [statement(effect, **more)]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", NO_JSON_OBJECT),
        ("[]", NO_JSON_OBJECT),
        ("false", NO_JSON_OBJECT),
        ("{", NO_JSON),
        ("{true}", NO_JSON),
        ('{"Principal": "*" ', NO_JSON),
        ("{}", "Missing required field Statement"),
        ('{"Statement": 1}', "Missing required field Statement"),
        ('{"Statement": []}', "Could not parse the policy: Statement is empty!"),
        ('{"Version": "2020-01-01", "Statement": [{}]}', "The policy must contain a valid version string"),
        ('{"Version": "", "Statement": [{}]}', "The policy must contain a valid version string"),
        (policy("Perhaps"), "Invalid effect: Perhaps"),
        (policy(Resource="arn:aws:s3:::other/*"), "Policy has invalid resource"),
        (policy(Resource=""), "Policy has invalid resource"),
        (policy(Resource=[]), "Policy has invalid resource"),
        (policy(Resource="arn:aws:iam:::b"), "Policy has invalid resource"),
        (policy(Principal={"AWS": "somebody"}), "Invalid principal in policy"),
        (policy(Principal={"AWS": ""}), "Invalid principal in policy"),
        (policy(Principal={"AWS": []}), "Invalid principal in policy"),
        (policy(Principal=["*"]), "Invalid policy syntax."),
        (policy(Condition={"StringMatches": {"aws:UserAgent": "b"}}), "Invalid Condition type : StringMatches"),
        (policy(Condition={"stringequals": {"aws:UserAgent": "b"}}), "Invalid Condition type : stringequals"),
        (policy(Condition={"NullIfExists": {"aws:UserAgent": "true"}}), "Invalid Condition type : NullIfExists"),
        (policy(Condition={"ForSome:StringEquals": {"aws:UserAgent": "b"}}), "Invalid Condition type : ForSome:StringEquals"),
        (policy(Condition=[]), "Condition must be an object"),
        (policy(Extra=1), "Unknown field Extra"),
        (policy(Resource="arn:aws:s3:::b/" + "x" * 21_000), "Policies must not exceed 20 KB in size"),
    ],
)
def test_an_invalid_policy_is_rejected_with_s3s_message(text: str, message: str) -> None:
    assert refusal(text) == message


def refusal(text: str) -> str:
    with pytest.raises(AwsError) as refused:
        check(text, "b")
    assert refused.value.code == "MalformedPolicy"
    return refused.value.message


@pytest.mark.parametrize(
    "action",
    [
        *("", "invalid", "s3", "s3:", "s4:GetObject", "ec2:RunInstances", ":GetObject", "s3GetObject", "*GetObject", "s3::GetObject"),
        *("s3:Put-Object", "s3:*:", "s3:GetObjects", "s3:????", "s3:Abort?", "s3:*Obj??ect*", "s3:CreateBucket", "s3:ListAllMyBuckets"),
    ],
)
def test_an_unknown_action_is_rejected(action: str) -> None:
    assert refusal(policy(Action=action)) == "Policy has invalid action"
    assert refusal(policy(Action=["s3:GetObject", action])) == "Policy has invalid action"


BUCKET, OBJECTS = "arn:aws:s3:::b", "arn:aws:s3:::b/*"


@pytest.mark.parametrize(
    ("resource", "action"),
    [(BUCKET, each) for each in ("s3:GetObject", "s3:PutObjectTagging", "s3:GetObjec?", "s3:Abort*", "s3:???Object", "s3:ReplicateTags")]
    + [(OBJECTS, each) for each in ("s3:ListBucket", "s3:GetBucketTagging", "s3:???BucketVersioning", "s3:*Bucket*Tag*", "s3:GetBucket*")],
)
def test_an_action_must_apply_to_a_resource_of_its_statement(resource: str, action: str) -> None:
    assert refusal(policy(Action=action, Resource=resource)) == "Action does not apply to any resource(s) in statement"
    assert refusal(policy(Action=["s3:*", action], Resource=resource)) == "Action does not apply to any resource(s) in statement"
    for both in ([BUCKET, OBJECTS], "arn:aws:s3:::b*", "arn:aws:s3:::*"):
        check(policy(Action=action, Resource=both), "b")


def test_a_wildcard_may_match_actions_that_do_not_apply() -> None:
    for action in ("*", "s3:*", "s3:Get*", "s3:*Tagging"):
        for resource in (BUCKET, OBJECTS):
            check(policy(Action=action, Resource=resource), "b")


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"s3:NoSuchKey": "a"}},
        {"NumericEquals": {"s3:ifmatch": "5"}},
        {"StringEquals": {"s3:ExistingObjectTag": "a"}},
        {"IpAddress": {"aws:NoSuchKey": "10.0.0.0/8"}},
        {"StringEquals": {"prefix": "a"}},
    ],
)
def test_an_unknown_condition_key_is_rejected(condition: dict[str, Any]) -> None:
    assert refusal(policy(Condition=condition)) == "Policy has an invalid condition key"


@pytest.mark.parametrize(
    ("action", "key", "applies"),
    [
        ("s3:GetObject", "s3:prefix", False),
        ("s3:ListBucket", "S3:Prefix", True),
        ("s3:ListBucketMultipartUploads", "s3:prefix", False),
        ("s3:GetObject", "s3:VersionId", False),
        ("s3:GetObjectVersion", "s3:VersionId", True),
        ("s3:DeleteObject", "s3:if-match", True),
        ("s3:DeleteObject", "s3:if-none-match", False),
        (["s3:GetObject", "s3:PutObject"], "s3:x-amz-acl", False),
        (["s3:PutBucketAcl", "s3:PutObject"], "s3:x-amz-acl", True),
        (["s3:*"], "s3:x-amz-acl", True),
        ("s3:PutObject*", "s3:x-amz-copy-source", True),
        ("s3:GetObject", "s3:ExistingObjectTag/team", True),
        ("s3:PutObject", "s3:ExistingObjectTag/team", False),
        ("s3:PutObject", "s3:RequestObjectTag/team", True),
        ("s3:GetObject", "aws:PrincipalTag/team", True),
        ("s3:GetObject", "token.actions.githubusercontent.com:sub", True),
    ],
)
def test_every_named_action_must_support_a_statements_condition_keys(action: Any, key: str, applies: bool) -> None:
    text = policy(Action=action, Resource=[BUCKET, OBJECTS], Condition={"StringEquals": {key: "x"}})
    if applies:
        check(text, "b")
    else:
        assert refusal(text) == "Conditions do not apply to combination of actions and resources in statement"


@pytest.mark.parametrize("value", ["not-an-ip", "300.1.1.1/40", "true", 7, ["10.0.0.0/8", "x"]])
def test_an_invalid_address_in_a_condition_is_rejected(value: Any) -> None:
    assert refusal(policy(Condition={"NotIpAddress": {"aws:SourceIp": value}})) == "Invalid IP address in Conditions"
    check(policy(Condition={"IpAddress": {"AWS:SourceIp": ["10.1.2.3", "10.0.0.1/8", "2001:db8::/32"]}}), "b")


def test_every_action_that_zonal_evaluates_is_valid_in_a_policy(tmp_path: Path) -> None:
    s3 = open_s3(tmp_path, RegionClock(1.0), Settings())
    actions = OBJECT_ACTIONS | BUCKET_ACTIONS
    everything = {"VersionId": "1", "ACL": "private", "Tagging": "a=b", "ObjectLockMode": "GOVERNANCE", "ObjectLockLegalHoldStatus": "ON"}
    for name in s3.handlers.keys() - {"ListBuckets", "CreateBucket"}:
        assert set(actions_for(name, {})) | set(actions_for(name, everything)) <= actions, name
    asyncio.run(s3.store.close())


def test_a_policy_for_everybody_is_public_unless_a_condition_restricts_it() -> None:
    assert is_public({"Statement": [statement()]})
    assert not is_public({"Statement": [statement(Principal={"AWS": OTHER})]})
    assert not is_public({"Statement": [statement("Deny")]})
    assert not is_public({"Statement": [statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})]})
    assert is_public({"Statement": [statement(Condition={"StringLike": {"aws:Referer": "x"}})]})
    assert decide({"Statement": [statement()]}, asked(), public=False) is PolicyDecision.SILENT
