"""Identifiers in AWS's formats: resource ids, ARNs, request ids.

A resource id is a prefix and seventeen hexadecimal digits (`vpc-0a1b…`). A caller that must be reproducible passes a seeded
`random.Random`.
"""

from __future__ import annotations

import itertools
import random
import re
import secrets

ACCOUNT = "000000000000"
"""The account that the default credentials belong to."""

REGION = "us-east-1"
"""The region's name; a process is one region."""


def _uuid_head() -> str:
    """A random UUID without its last twelve digits."""
    digits = secrets.token_hex(9)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-"


_REQUEST_HEAD = _uuid_head()
_REQUESTS = itertools.count(secrets.randbits(46))


def resource_id(prefix: str, source: random.Random | None = None) -> str:
    """A new id, e.g. `resource_id("vpc")` → `vpc-0c5e1b…` (17 hexadecimal digits, the first 0, as AWS makes them)."""
    digits = secrets.token_hex(8) if source is None else f"{source.getrandbits(64):016x}"
    return f"{prefix}-0{digits}"


def request_id() -> str:
    """A new request id, a UUID as AWS sends it. It must be unique, not secret, so a counter follows a random prefix, which is fast."""
    return f"{_REQUEST_HEAD}{next(_REQUESTS):012x}"


def arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    """An Amazon Resource Name, e.g. `arn("rds", "db:orders")`."""
    return f"arn:aws:{service}:{region}:{account}:{resource}"


_ARN = re.compile(r"arn:(aws[\w-]*):([\w.-]*):([\w-]*):(\d{12})?:(.+)", re.DOTALL)


def parse_arn(text: str) -> tuple[str, str, str, str] | None:
    """`(service, region, account, resource)` of an ARN, or None if the text is not an ARN."""
    match = _ARN.fullmatch(text)
    return (match[2], match[3], match[4] or "", match[5]) if match else None
