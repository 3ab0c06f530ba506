"""Endpoint rules for the AWS CLI: without them, version 1 sends `aws rds` to AWS although AWS_ENDPOINT_URL names the region.

For some services version 1 sets `--endpoint-url` itself to a host name of AWS (`awscli/customizations/overridesslcommonname.py`,
version 1.46), which takes precedence over AWS_ENDPOINT_URL, over profiles and over `services` sections. botocore then
resolves every endpoint by the service's rule set, which it loads from the first directory of AWS_DATA_PATH that has one.
The rule sets written here replace exactly that host name by the region's endpoint and keep every other endpoint that is given, so that
`--endpoint-url`, boto3's `endpoint_url` and AWS_ENDPOINT_URL (version 2, boto3) work as before.

`docs/decisions/endpoint-rules.md` says what was turned down.
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
    """Write the rule sets for the region at `endpoint` below its state directory; returns the directory for AWS_DATA_PATH."""
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
    """Whether AWS_DATA_PATH can name the directory: botocore splits the variable at colons and expands `$` in it."""
    return not any(character in str(root) for character in (os.pathsep, "$"))


def rule_set(endpoint: str, host: str) -> dict[str, Any]:
    """A rule set in botocore's format: the given endpoint, or the region's where `https://HOST` or no endpoint is given."""
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
