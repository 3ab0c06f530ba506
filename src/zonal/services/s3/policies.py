"""Bucket policies: validation and evaluation.

`check` validates a document when it is put. `decide` evaluates it: a statement applies if its principal, action, resource and all its
conditions match; one matching deny outweighs every allow; without a matching statement the policy is silent. (IAM User Guide, "Policy
evaluation logic", "IAM JSON policy elements: Condition operators".)
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Set
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from zonal.foundation.credentials import Account
from zonal.foundation.errors import AwsError
from zonal.services.s3.policy_vocabulary import ADDRESS_KEYS, BUCKET_ACTIONS, OBJECT_ACTIONS, actions_of, actions_with_key
from zonal.services.s3.policy_vocabulary import pattern as _pattern
from zonal.wire.scalars import timestamp

LIMIT_BYTES = 20 * 1024
VERSIONS = ("2008-10-17", "2012-10-17")
ContextValues = Mapping[str, list[str]]


class PolicyDecision(Enum):
    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


class AuthorizationRequest(NamedTuple):
    """An authorization request. `caller` is None if anonymous; `context` has the condition keys in lower case.

    `service` is the service principal if an AWS service calls (`logging.s3.amazonaws.com`), else empty.
    """

    caller: Account | None
    action: str
    resource: str
    context: ContextValues
    service: str = ""


def decide(policy: Mapping[str, Any], request: AuthorizationRequest, *, public: bool = True) -> PolicyDecision:
    """The decision of a policy. With `public=False` public statements do not allow (RestrictPublicBuckets)."""
    allowed = False
    for statement in _listed(policy["Statement"]):
        if not _applies(statement, request):
            continue
        if statement["Effect"] == "Deny":
            return PolicyDecision.DENY
        allowed = allowed or public or not _is_public(statement)
    return PolicyDecision.ALLOW if allowed else PolicyDecision.SILENT


def is_public(policy: Mapping[str, Any]) -> bool:
    """Whether any statement of a policy is public (GetBucketPolicyStatus)."""
    return any(map(_is_public, _listed(policy["Statement"])))


def _is_public(statement: Mapping[str, Any]) -> bool:
    """Whether a statement allows everybody something, without a condition that restricts it to certain callers."""
    if statement["Effect"] != "Allow" or "*" not in _principals(statement.get("Principal", {})):
        return "NotPrincipal" in statement and statement["Effect"] == "Allow"
    narrowing = (
        "aws:sourceip",
        "aws:sourcearn",
        "aws:sourceaccount",
        "aws:principalarn",
        "aws:principalaccount",
        "aws:userid",
        "aws:sourcevpc",
    )
    for operator, tests in statement.get("Condition", {}).items():
        for name, values in tests.items():
            fixed = not any("*" in str(value) for value in _listed(values)) and "0.0.0.0/0" not in _listed(values)
            if name.lower() in narrowing and fixed and "Not" not in operator:
                return False
    return True


def check(text: str, bucket: str) -> dict[str, Any]:
    """The parsed policy. Raises `AwsError` MalformedPolicy if it is not valid for this bucket."""
    if len(text.encode()) > LIMIT_BYTES:
        raise _malformed("Policies must not exceed 20 KB in size")
    if not text.lstrip().startswith("{"):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    try:
        policy: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise _malformed("This policy contains invalid Json") from None
    if unknown := set(policy) - {"Version", "Id", "Statement"}:
        raise _malformed(f"Unknown field {sorted(unknown)[0]}")
    if policy.get("Version", VERSIONS[0]) not in VERSIONS:
        raise _malformed("The policy must contain a valid version string")
    statements = _listed(policy.get("Statement"))
    if "Statement" in policy and not statements:
        raise _malformed("Could not parse the policy: Statement is empty!")
    if not statements or not all(isinstance(each, dict) for each in statements):
        raise _malformed("Missing required field Statement")
    for statement in statements:
        _check_statement(statement, bucket)
    return policy


def _check_statement(statement: dict[str, Any], bucket: str) -> None:
    known = {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
    if unknown := set(statement) - known:
        raise _malformed(f"Unknown field {sorted(unknown)[0]}")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise _malformed(f"Invalid effect: {statement.get('Effect')}" if "Effect" in statement else "Missing required field Effect")
    for name in ("Principal", "Action", "Resource"):
        if name not in statement and f"Not{name}" not in statement:
            raise _malformed(f"Missing required field {name}")
    actions = _strings(statement.get("Action", statement.get("NotAction")), "Policy has invalid action")
    if not all(re.fullmatch(r"s3-object-lambda:[\w*?]+", each, re.IGNORECASE) or actions_of(each) for each in actions):
        raise _malformed("Policy has invalid action")
    _check_principal(statement.get("Principal", statement.get("NotPrincipal")))
    arn = f"arn:aws:s3:::{bucket}"
    resources = _strings(statement.get("Resource", statement.get("NotResource")), "Policy has invalid resource")
    if not all(_pattern(each.partition("/")[0]).fullmatch(arn) for each in resources):
        raise _malformed("Policy has invalid resource")
    # With NotAction or NotResource some action always applies to some resource, so only Action and Resource are compared.
    named = [each for each in actions if each.lower().startswith("s3:")] if "Action" in statement else []
    _check_conditions(statement.get("Condition", {}), [each for each in named if "*" not in each and "?" not in each])
    if "Resource" in statement and not all(actions_of(each) & _for(resources) for each in named):
        raise _malformed("Action does not apply to any resource(s) in statement")


def _for(resources: list[str]) -> Set[str]:
    """The actions that apply to these resources: those of the bucket, of objects, or of both (`bucket*`)."""
    of_objects = any("/" in each or "*" in each for each in resources)
    of_bucket = any("/" not in each for each in resources)
    return (OBJECT_ACTIONS if of_objects else frozenset()) | (BUCKET_ACTIONS if of_bucket else frozenset())


def _check_conditions(conditions: Any, actions: list[str]) -> None:
    """Raises `AwsError` MalformedPolicy for invalid conditions. Each of `actions`, those without wildcards, must support every key."""
    for operator, tests in _mapping(conditions, "Condition").items():
        if _operator(operator) is None:
            raise _malformed(f"Invalid Condition type : {operator}")
        for key, values in _mapping(tests, "Condition").items():
            supporting = actions_with_key(key)
            if supporting is None:
                raise _malformed("Policy has an invalid condition key")
            if not all(actions_of(each) <= supporting for each in actions):
                raise _malformed("Conditions do not apply to combination of actions and resources in statement")
            if key.lower() in ADDRESS_KEYS and not all(map(_is_network, _listed(values))):
                raise _malformed("Invalid IP address in Conditions")


def _is_network(value: Any) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return isinstance(value, str)


def _check_principal(principal: Any) -> None:
    if principal == "*":
        return
    if not isinstance(principal, dict) or not principal:
        raise _malformed("Invalid policy syntax.")
    for kind, values in principal.items():
        if kind not in ("AWS", "Service", "Federated", "CanonicalUser"):
            raise _malformed("Invalid principal in policy")
        for value in _strings(values, "Invalid principal in policy"):
            if kind == "AWS" and value != "*" and not re.fullmatch(r"\d{12}|arn:aws[\w-]*:(iam|sts)::(\d{12})?:.+", value):
                raise _malformed("Invalid principal in policy")


def _applies(statement: Mapping[str, Any], request: AuthorizationRequest) -> bool:
    return (
        _names_caller(statement, request)
        and _names(statement, "Action", request.action, ignore_case=True)
        and _names(statement, "Resource", request.resource, context=request.context)
        and all(_holds(operator, tests, request.context) for operator, tests in statement.get("Condition", {}).items())
    )


def _names_caller(statement: Mapping[str, Any], request: AuthorizationRequest) -> bool:
    named = _principals(statement.get("Principal", statement.get("NotPrincipal", {})))
    found = "*" in named or (request.caller is not None and any(_is_account(each, request.caller) for each in named))
    found = found or (bool(request.service) and request.service in _services(statement))
    return found if "Principal" in statement else not found


def _principals(principal: Any) -> list[str]:
    if principal == "*":
        return ["*"]
    return [str(value) for kind in ("AWS", "CanonicalUser") for value in _listed(principal.get(kind, []))]


def _services(statement: Mapping[str, Any]) -> list[Any]:
    principal = statement.get("Principal", statement.get("NotPrincipal", {}))
    return _listed(principal.get("Service", [])) if isinstance(principal, dict) else []


def _is_account(principal: str, account: Account) -> bool:
    number = account.number
    return principal in (number, f"arn:aws:iam::{number}:root", account.canonical_id) or principal.startswith(
        f"arn:aws:iam::{number}:user/"
    )


def _names(statement: Mapping[str, Any], name: str, value: str, *, ignore_case: bool = False, context: ContextValues | None = None) -> bool:
    patterns = [_with_variables(each, context) for each in _listed(statement.get(name, statement.get(f"Not{name}", [])))]
    found = any(_pattern(each, ignore_case).fullmatch(value) for each in patterns)
    return found if name in statement else not found


def _with_variables(pattern: str, context: ContextValues | None) -> str:
    """A pattern with its policy variables (`${aws:PrincipalAccount}`) replaced by their values."""
    if context is None or "${" not in pattern:
        return pattern
    return re.sub(r"\$\{([^}]+)\}", lambda match: (context.get(match[1].lower()) or [match[0]])[0], pattern)


ConditionTest = Callable[[str, str], bool]


def _holds(operator: str, tests: Mapping[str, Any], context: ContextValues) -> bool:
    """Whether every test of an operator holds. A missing key fails, except in negated, `IfExists`, `ForAllValues` and `Null` tests."""
    found = _operator(operator)
    assert found is not None
    quantifier, base, if_exists = found
    for name, wanted in tests.items():
        given = context.get(name.lower())
        expected = [_text(value) for value in _listed(wanted)]
        if base == "Null":
            if (given is None) != (expected[0].lower() == "true"):
                return False
        elif not _holds_one(quantifier, base, if_exists, given, expected, context):
            return False
    return True


def _holds_one(quantifier: str, base: str, if_exists: bool, given: list[str] | None, expected: list[str], context: ContextValues) -> bool:
    test, negated = _TESTS[base]
    if given is None:
        return if_exists or negated or quantifier == "ForAllValues"

    def matches(value: str) -> bool:
        one = any(_test_or_false(test, value, _with_variables(text, context)) for text in expected)
        return not one if negated else one

    return all(map(matches, given)) if quantifier == "ForAllValues" or (negated and not quantifier) else any(map(matches, given))


def _test_or_false(test: ConditionTest, value: str, expected: str) -> bool:
    try:
        return test(value, expected)
    except ValueError:
        return False


def _operator(text: str) -> tuple[str, str, bool] | None:
    match = re.fullmatch(r"(?:(ForAllValues|ForAnyValue):)?(\w+?)(IfExists)?", text)
    if match is None or (match[2] not in _TESTS and text != "Null"):
        return None
    return match[1] or "", match[2], bool(match[3])


def _in_network(value: str, expected: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(expected, strict=False)


def _when(text: str) -> datetime:
    return timestamp(text)


def _like(value: str, expected: str) -> bool:
    return _pattern(expected).fullmatch(value) is not None


_POSITIVE: dict[str, ConditionTest] = {
    "StringEquals": lambda value, expected: value == expected,
    "StringEqualsIgnoreCase": lambda value, expected: value.lower() == expected.lower(),
    "StringLike": _like,
    "NumericEquals": lambda value, expected: float(value) == float(expected),
    "DateEquals": lambda value, expected: _when(value) == _when(expected),
    "IpAddress": _in_network,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": lambda value, expected: value.lower() == expected.lower(),
    "BinaryEquals": lambda value, expected: value == expected,
    "NumericLessThan": lambda value, expected: float(value) < float(expected),
    "NumericLessThanEquals": lambda value, expected: float(value) <= float(expected),
    "NumericGreaterThan": lambda value, expected: float(value) > float(expected),
    "NumericGreaterThanEquals": lambda value, expected: float(value) >= float(expected),
    "DateLessThan": lambda value, expected: _when(value) < _when(expected),
    "DateLessThanEquals": lambda value, expected: _when(value) <= _when(expected),
    "DateGreaterThan": lambda value, expected: _when(value) > _when(expected),
    "DateGreaterThanEquals": lambda value, expected: _when(value) >= _when(expected),
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
_TESTS: dict[str, tuple[ConditionTest, bool]] = {name: (test, False) for name, test in _POSITIVE.items()} | {
    name: (_POSITIVE[positive], True) for name, positive in _NEGATED.items()
}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _strings(value: Any, otherwise: str) -> list[str]:
    """One string or a list of strings. Raises `AwsError` MalformedPolicy, with the message `otherwise` if it is empty."""
    values = _listed(value)
    if not values or not all(isinstance(each, str) for each in values):
        raise _malformed("Invalid policy syntax." if values else otherwise)
    return values


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(f"{name} must be an object")
    return value


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicy", message)
