#!/usr/bin/env bash
# moto 5.2.5 (boto3 1.44.8): DELETE on a DynamoDB number set compares its members as text.
#
# Guess:     numbers are compared as numbers everywhere, as in DynamoDB: `DELETE s :v` with {"NS": ["1.0", "2"]} takes 1 and 2 out of
#            {1, 2, 3}, as `contains(s, 3.0)` holds and a key written as 7.0 is found as 7.
# Behaviour: keys and contains() compare numbers; DELETE compares text: it takes 2 out and leaves 1, without an error.
# Follows:   code that formats numbers in two ways (1 and 1.0, 0.5 and 5E-1) leaves members behind on moto and not on AWS.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q --disable-pip-version-check install "moto[dynamodb]==5.2.5" boto3==1.44.8 botocore==1.44.8 2>"$work/pip.log" || { cat "$work/pip.log"; exit 1; }
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1
"$work/venv/bin/python" - <<'PY'
import boto3
from moto import mock_aws

with mock_aws():
    dynamodb = boto3.client("dynamodb")
    dynamodb.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "N"}],
        BillingMode="PAY_PER_REQUEST",
    )
    key = {"p": {"N": "7.0"}}
    dynamodb.put_item(TableName="t", Item={**key, "s": {"NS": ["1", "2", "3"]}})
    by_key = [name for name in ("7", "7.0", "7.00") if "Item" in dynamodb.get_item(TableName="t", Key={"p": {"N": name}})]
    held = dynamodb.query(
        TableName="t",
        KeyConditionExpression="p = :p",
        FilterExpression="contains(s, :three)",
        ExpressionAttributeValues={":p": {"N": "7.0"}, ":three": {"N": "3.0"}},
    )["Count"]
    dynamodb.update_item(TableName="t", Key=key, UpdateExpression="DELETE s :v", ExpressionAttributeValues={":v": {"NS": ["1.0", "2"]}})
    left = sorted(dynamodb.get_item(TableName="t", Key=key)["Item"]["s"]["NS"])
print("seen: found by", by_key, "contains", held, "left", left)
assert (by_key, held, left) == (["7", "7.0", "7.00"], 1, ["1", "3"])
PY
