#!/usr/bin/env bash
# moto 5.2.5 (boto3 1.44.8): the consumed capacity of a query on a global secondary index.
#
# Guess:     ReturnConsumedCapacity=INDEXES of a Query on a GSI reports the index's units under GlobalSecondaryIndexes and 0 for the table
#            ("ConsumedCapacity" in the API Reference), as a GSI has capacity of its own.
# Behaviour: the units stand under LocalSecondaryIndexes with the GSI's name, and the same units once more under Table.
# Follows:   a report that sums Table and indexes counts a GSI's reads twice, and finds none under GlobalSecondaryIndexes.
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
        TableName="Users",
        KeySchema=[{"AttributeName": "UserId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "UserId", "AttributeType": "S"}, {"AttributeName": "Email", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {"IndexName": "ByEmail", "KeySchema": [{"AttributeName": "Email", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}
        ],
    )
    dynamodb.put_item(TableName="Users", Item={"UserId": {"S": "1"}, "Email": {"S": "a@example.com"}})
    seen = dynamodb.query(
        TableName="Users", IndexName="ByEmail", KeyConditionExpression="Email = :e",
        ExpressionAttributeValues={":e": {"S": "a@example.com"}}, ReturnConsumedCapacity="INDEXES",
    )["ConsumedCapacity"]
print("seen:", seen)
assert set(seen["LocalSecondaryIndexes"]) == {"ByEmail"} and "GlobalSecondaryIndexes" not in seen, seen
assert seen["Table"]["CapacityUnits"] == seen["LocalSecondaryIndexes"]["ByEmail"]["CapacityUnits"] == seen["CapacityUnits"], seen
PY
