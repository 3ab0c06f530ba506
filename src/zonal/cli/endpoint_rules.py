"""Endpoint rules for the AWS CLI: without them, version 1 sends `aws rds` to AWS although AWS_ENDPOINT_URL names the region.

For some services version 1 sets `--endpoint-url` itself to a host name of AWS's (`awscli/customizations/overridesslcommonname.py`; seen
with 1.46), which takes precedence over AWS_ENDPOINT_URL, over profiles and over `services` sections. The next stage can still be changed:
botocore resolves every endpoint by the service's rule set, and takes the rule set from the first directory of AWS_DATA_PATH that has one.
The rule sets written here replace exactly that host name by the region's endpoint and keep every other endpoint that is given, so that
`--endpoint-url`, boto3's `endpoint_url` and AWS_ENDPOINT_URL (version 2, boto3) work as before.

Turned down: a shell function (scripts do not inherit it), and a program `aws` of the region's in front of PATH: whoever activates an
environment puts another one before it, and `python -m awscli` never finds it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zonal.foundation.files import replace_file

DIRECTORY = "aws-endpoint-rules"
RULE_SET = "endpoint-rule-set-1.json"

FIXED_HOSTS = {
    "docdb/2014-10-31": "rds.amazonaws.com",
    "health/2016-08-04": "health.us-east-1.amazonaws.com",
    "neptune/2014-10-31": "rds.amazonaws.com",
    "rds/2014-10-31": "rds.amazonaws.com",
    "sqs/2012-11-05": "queue.amazonaws.com",
}
"""The services, with their API version, for which the AWS CLI 1 sets the endpoint in us-east-1 itself, and to which host."""


def write_endpoint_rules(state: Path, endpoint: str) -> Path:
    """Write the rule sets for the region at `endpoint` below its state directory; the directory that AWS_DATA_PATH is to name."""
    root = state / DIRECTORY
    for service, host in FIXED_HOSTS.items():
        path = root / service / RULE_SET
        content = json.dumps(rule_set(endpoint, host), indent=1)
        if not path.exists() or path.read_text() != content:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, content, durable=False)
    return root


def data_path(root: Path, environment: Mapping[str, str]) -> str:
    """AWS_DATA_PATH with `root` first, and without the directory of another region."""
    others = [each for each in environment.get("AWS_DATA_PATH", "").split(os.pathsep) if each and Path(each).name != DIRECTORY]
    return os.pathsep.join([str(root), *others])


def can_be_in_data_path(root: Path) -> bool:
    """botocore splits AWS_DATA_PATH at colons and expands variables in it, so not every directory can be named there."""
    return not any(character in str(root) for character in (os.pathsep, "$"))


def rule_set(endpoint: str, host: str) -> dict[str, Any]:
    """A rule set in botocore's format: the given endpoint, but the region's in place of `https://HOST` or of none."""
    is_set: dict[str, Any] = {"fn": "isSet", "argv": [{"ref": "Endpoint"}]}
    is_fixed: dict[str, Any] = {"fn": "stringEquals", "argv": [{"ref": "Endpoint"}, f"https://{host}"]}
    here = {"url": endpoint, "properties": {}, "headers": {}}
    given = {"url": {"ref": "Endpoint"}, "properties": {}, "headers": {}}
    return {
        "version": "1.0",
        "parameters": {
            "Region": _parameter("AWS::Region", "string"),
            "UseDualStack": _parameter("AWS::UseDualStack", "boolean", default=False),
            "UseFIPS": _parameter("AWS::UseFIPS", "boolean", default=False),
            "Endpoint": _parameter("SDK::Endpoint", "string"),
        },
        "rules": [
            {"conditions": [is_set, is_fixed], "endpoint": here, "type": "endpoint"},
            {"conditions": [is_set], "endpoint": given, "type": "endpoint"},
            {"conditions": [], "endpoint": here, "type": "endpoint"},
        ],
    }


def _parameter(built_in: str, type_name: str, *, default: bool | None = None) -> dict[str, Any]:
    required = {"required": False} if default is None else {"required": True, "default": default}
    return {"builtIn": built_in, "type": type_name, "documentation": built_in} | required
