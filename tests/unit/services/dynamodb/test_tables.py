from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller

INVALID = "One or more parameter values were invalid: "
A = {"AttributeName": "a", "AttributeType": "S"}
B = {"AttributeName": "b", "AttributeType": "S"}
HASH = {"AttributeName": "a", "KeyType": "HASH"}
RANGE = {"AttributeName": "b", "KeyType": "RANGE"}
ONE = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
ALL = {"ProjectionType": "ALL"}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "The parameter 'TableName' is required but was not present in the request"),
        (
            {"TableName": "a;"},
            "1 validation error detected: Value 'a;' at 'tableName' failed to satisfy constraint:"
            " Member must have length greater than or equal to 3",
        ),
        (
            {"AttributeDefinitions": [], "KeySchema": [HASH]},
            INVALID + "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            {"AttributeDefinitions": [A], "KeySchema": [HASH], "BillingMode": "PAY_PER_REQUEST", "ProvisionedThroughput": ONE},
            INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        ),
        (
            {"AttributeDefinitions": [], "KeySchema": [HASH], "ProvisionedThroughput": {"ReadCapacityUnits": -1, "WriteCapacityUnits": 1}},
            "1 validation error detected: Value '-1' at 'provisionedThroughput.readCapacityUnits' failed to satisfy constraint:"
            " Member must have value greater than or equal to 1",
        ),
        (
            {"AttributeDefinitions": [A], "KeySchema": [HASH], "ProvisionedThroughput": ONE | {"ReadCapacityUnits": 10**12 + 1}},
            "Given value 1000000000001 for ReadCapacityUnits is out of bounds",
        ),
        (
            {"AttributeDefinitions": [B], "KeySchema": [HASH], "ProvisionedThroughput": ONE},
            INVALID + "Some index key attributes are not defined in AttributeDefinitions. Keys: [a], AttributeDefinitions: [b]",
        ),
        (
            {"AttributeDefinitions": [A, B], "KeySchema": [HASH, HASH], "ProvisionedThroughput": ONE},
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ),
        (
            {"AttributeDefinitions": [A, B], "KeySchema": [RANGE, HASH], "ProvisionedThroughput": ONE},
            "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        ),
        (
            {"AttributeDefinitions": [A, B], "KeySchema": [HASH], "ProvisionedThroughput": ONE},
            INVALID + "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        ),
        (
            {"AttributeDefinitions": [A, B], "KeySchema": [HASH], "ProvisionedThroughput": ONE, "LocalSecondaryIndexes": []},
            INVALID + "List of LocalSecondaryIndexes is empty",
        ),
        (
            {
                "AttributeDefinitions": [A, B],
                "KeySchema": [HASH, RANGE],
                "ProvisionedThroughput": ONE,
                "LocalSecondaryIndexes": [
                    {"IndexName": "abc", "KeySchema": [HASH, RANGE], "Projection": {"ProjectionType": "ALL", "NonKeyAttributes": ["c"]}}
                ],
            },
            INVALID + "ProjectionType is ALL, but NonKeyAttributes is specified",
        ),
        (
            {
                "AttributeDefinitions": [A, B],
                "KeySchema": [HASH, RANGE],
                "ProvisionedThroughput": ONE,
                "LocalSecondaryIndexes": [
                    {
                        "IndexName": "abc",
                        "KeySchema": [HASH, RANGE],
                        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["c", "d", "c"]},
                    }
                ],
            },
            INVALID + "Duplicate element in NonKeyAttributes: c",
        ),
        (
            {"AttributeDefinitions": [A, A | {"AttributeType": "N"}], "KeySchema": [HASH], "ProvisionedThroughput": ONE},
            "Attribute Name is duplicated: a",
        ),
        (
            {
                "AttributeDefinitions": [A, B],
                "KeySchema": [HASH],
                "ProvisionedThroughput": ONE,
                "GlobalSecondaryIndexes": [{"IndexName": "abc", "KeySchema": [HASH, RANGE, HASH], "Projection": ALL}],
            },
            "The KeySchema contains multiple key attributes with the same name",
        ),
        (
            {
                "AttributeDefinitions": [A, B],
                "KeySchema": [HASH],
                "ProvisionedThroughput": ONE,
                "GlobalSecondaryIndexes": [{"IndexName": "abc", "KeySchema": [HASH, RANGE], "Projection": ALL}],
            },
            INVALID + "ProvisionedThroughput is not specified for index: abc",
        ),
    ],
)
async def test_invalid_tables_are_rejected_with_awss_messages(call: Caller, request_: dict[str, Any], message: str) -> None:
    name = {} if not request_ or "TableName" in request_ else {"TableName": "abc"}
    assert await call.complaint("CreateTable", **name, **request_) == message


async def test_a_table_is_creating_then_active_then_deleting_then_gone(call: Caller) -> None:
    request = {"TableName": "things", "AttributeDefinitions": [A], "KeySchema": [HASH], "ProvisionedThroughput": ONE}
    created = await call("CreateTable", **request)
    assert created["TableDescription"]["TableStatus"] == "CREATING"
    error = await call.error("GetItem", TableName="things", Key={"a": {"S": "1"}})
    assert error.code == "ResourceNotFoundException"
    await call.driver.idle()
    described = (await call("DescribeTable", TableName="things"))["Table"]
    assert described["TableStatus"] == "ACTIVE" and described["TableArn"].endswith(":table/things")
    assert described["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **ONE}
    assert (
        await call.error("CreateTable", TableName="things", AttributeDefinitions=[A], KeySchema=[HASH], ProvisionedThroughput=ONE)
    ).code == "ResourceInUseException"
    deleting = await call("DeleteTable", TableName="things")
    assert deleting["TableDescription"]["TableStatus"] == "DELETING"
    await call.driver.idle()
    error = await call.error("DescribeTable", TableName="things")
    assert error.message == "Requested resource not found: Table: things not found"


async def test_a_table_made_anew_under_its_name_is_empty(call: Caller) -> None:
    await call.table("things")
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}})
    await call("DeleteTable", TableName="things")
    await call.driver.idle()
    await call.table("things")
    assert await call.items("things") == []
    assert (await call("DescribeTable", TableName="things"))["Table"]["ItemCount"] == 0


async def test_tables_are_listed_page_by_page(call: Caller) -> None:
    for name in ("ccc", "aaa", "bbb"):
        await call.table(name)
    assert await call("ListTables", Limit=2) == {"TableNames": ["aaa", "bbb"], "LastEvaluatedTableName": "bbb"}
    assert await call("ListTables", ExclusiveStartTableName="bbb") == {"TableNames": ["ccc"]}


async def test_a_new_index_is_filled_with_existing_items(call: Caller) -> None:
    await call.table("things")
    for number in range(450):
        item = {"a": {"S": str(number)}} | ({"c": {"S": "even"}} if number % 2 == 0 else {"c": {"N": "1"}} if number % 3 == 0 else {})
        await call("PutItem", TableName="things", Item=item)
    create = {"IndexName": "by-c", "KeySchema": [{"AttributeName": "c", "KeyType": "HASH"}], "Projection": ALL}
    answer = await call(
        "UpdateTable",
        TableName="things",
        AttributeDefinitions=[A, {"AttributeName": "c", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": create}],
    )
    index = answer["TableDescription"]["GlobalSecondaryIndexes"][0]
    assert (index["IndexStatus"], index["Backfilling"]) == ("CREATING", True)
    await call("PutItem", TableName="things", Item={"a": {"S": "new"}, "c": {"S": "even"}})
    await call("DeleteItem", TableName="things", Key={"a": {"S": "0"}})
    await call.driver.idle()
    query = {"KeyConditionExpression": "c = :c", "ExpressionAttributeValues": {":c": {"S": "even"}}}
    assert (await call("Query", TableName="things", IndexName="by-c", **query))["Count"] == 225
    index = (await call("DescribeTable", TableName="things"))["Table"]["GlobalSecondaryIndexes"][0]
    assert (index["IndexStatus"], index["ItemCount"]) == ("ACTIVE", 225)


async def test_an_index_has_no_entries_for_empty_or_too_long_keys(call: Caller) -> None:
    await call.table("things", keys="a:S b:S")
    for name, length in (("empty", 0), ("sort", 1024), ("partition", 2048), ("long", 2049)):
        await call("PutItem", TableName="things", Item={"a": {"S": name}, "b": {"S": "b"}, "c": {"S": "c" * length}})
    for index, keys in (("by-c", ["c"]), ("by-b", ["b", "c"])):
        schema = [{"AttributeName": key, "KeyType": "RANGE" if at else "HASH"} for at, key in enumerate(keys)]
        await call(
            "UpdateTable",
            TableName="things",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            GlobalSecondaryIndexUpdates=[{"Create": {"IndexName": index, "KeySchema": schema, "Projection": ALL}}],
        )
        await call.driver.idle()
    found = {
        index: {item["a"]["S"] for item in (await call("Scan", TableName="things", IndexName=index))["Items"]} for index in ("by-c", "by-b")
    }
    assert found == {"by-c": {"sort", "partition"}, "by-b": {"sort"}}
    item = {"a": {"S": "new"}, "b": {"S": "b"}}
    assert await call.complaint("PutItem", TableName="things", Item=item | {"c": {"S": "c" * 2049}}) == (
        INVALID + "Size limit exceeded for Index Key c Actual Size: 2049 bytes Max Size: 2048 bytes IndexName: by-c"
    )
    assert await call.complaint(
        "UpdateItem",
        TableName="things",
        Key=item,
        UpdateExpression="SET c = :c",
        ExpressionAttributeValues={":c": {"S": "ü" * 513}},
    ) == (INVALID + "Size limit exceeded for Index Key c Actual Size: 1026 bytes Max Size: 1024 bytes IndexName: by-b")


async def test_an_index_is_deleted_with_its_definitions(call: Caller) -> None:
    await call.table("things", indexes={"by-c": "c:S"})
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "c": {"S": "x"}})
    await call("UpdateTable", TableName="things", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-c"}}])
    await call.driver.idle()
    described = (await call("DescribeTable", TableName="things"))["Table"]
    assert "GlobalSecondaryIndexes" not in described and described["AttributeDefinitions"] == [A]
    await call("PutItem", TableName="things", Item={"a": {"S": "1"}, "c": {"N": "1"}})


async def test_throughput_changes_are_described_and_decreases_are_counted(call: Caller) -> None:
    await call("CreateTable", TableName="things", AttributeDefinitions=[A], KeySchema=[HASH], ProvisionedThroughput=ONE)
    await call.driver.idle()
    five = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    updating = (await call("UpdateTable", TableName="things", ProvisionedThroughput=five))["TableDescription"]
    assert updating["TableStatus"] == "UPDATING" and updating["ProvisionedThroughput"]["ReadCapacityUnits"] == 1
    await call.driver.idle()
    for units in (4, 3, 2, 1):
        less = {"ReadCapacityUnits": units, "WriteCapacityUnits": 5}
        await call("UpdateTable", TableName="things", ProvisionedThroughput=less)
        await call.driver.idle()
    told = (await call("DescribeTable", TableName="things"))["Table"]["ProvisionedThroughput"]
    assert told["NumberOfDecreasesToday"] == 4 and "LastDecreaseDateTime" in told and "LastIncreaseDateTime" in told
    less = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    assert (await call.error("UpdateTable", TableName="things", ProvisionedThroughput=less)).code == "LimitExceededException"
    assert "will not change" in await call.complaint(
        "UpdateTable", TableName="things", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 5}
    )


async def test_a_protected_table_is_not_deleted(call: Caller) -> None:
    await call.table("things", DeletionProtectionEnabled=True)
    assert "protected against deletion" in await call.complaint("DeleteTable", TableName="things")
    await call("UpdateTable", TableName="things", DeletionProtectionEnabled=False)
    await call.driver.idle()
    await call("DeleteTable", TableName="things")


async def test_tags_are_added_and_removed(call: Caller) -> None:
    await call.table("things", Tags=[{"Key": "a", "Value": "1"}])
    arn = (await call("DescribeTable", TableName="things"))["Table"]["TableArn"]
    await call("TagResource", ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    await call("UntagResource", ResourceArn=arn, TagKeys=["a"])
    assert await call("ListTagsOfResource", ResourceArn=arn) == {"Tags": [{"Key": "b", "Value": "2"}]}


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([{"Key": "hi!", "Value": "dog"}], "The Tag Key provided is invalid, Key: hi!"),
        ([{"Key": "", "Value": "dog"}], "The Tag Key provided is invalid, Key: "),
        ([{"Key": "k" * 129, "Value": "dog"}], "The Tag Key provided is invalid, Key: " + "k" * 129),
        ([{"Value": "dog"}], "The Tag Key provided is invalid, Key: null"),
        ([{"Key": "dog"}], "The Tag Value provided is invalid, Value: null"),
        ([{"Key": "dog", "Value": "d%g"}], "The Tag Value provided is invalid, Value: d%g"),
        ([{"Key": "dog", "Value": "a\nb"}], "The Tag Value provided is invalid, Value: a\nb"),
        ([{"Key": "dog", "Value": "v" * 257}], "The Tag Value provided is invalid, Value: " + "v" * 257),
        ([{"Key": "Aws:dog", "Value": "x"}], "Tag Key cannot be prefixed with aws:, Key: Aws:dog"),
        ([{"Key": "dog", "Value": "x"}] * 2, "Duplicate Tag Keys provided as input: Duplicate Tag Key found dog"),
    ],
)
async def test_an_invalid_tag_is_rejected(call: Caller, tags: list[dict[str, str]], message: str) -> None:
    await call.table("things", Tags=[{"Key": "законные буквы", "Value": "+-=._:/@ 7"}])
    arn = (await call("DescribeTable", TableName="things"))["Table"]["TableArn"]
    assert await call.complaint("TagResource", ResourceArn=arn, Tags=[{"Key": "good", "Value": ""}, *tags]) == message
    assert len((await call("ListTagsOfResource", ResourceArn=arn))["Tags"]) == 1
    assert (
        await call.complaint("UntagResource", ResourceArn=arn, TagKeys=["aws:dog"]) == "Tag Key cannot be prefixed with aws:, Key: aws:dog"
    )


async def test_all_tags_are_listed_on_one_page(call: Caller) -> None:
    await call.table("things", Tags=[{"Key": str(number), "Value": ""} for number in range(50)])
    arn = (await call("DescribeTable", TableName="things"))["Table"]["TableArn"]
    told = await call("ListTagsOfResource", ResourceArn=arn)
    assert len(told["Tags"]) == 50 and "NextToken" not in told
    too_many = "Number of Tags exceed the current limit for the provided ResourceArn"
    assert await call.complaint("TagResource", ResourceArn=arn, Tags=[{"Key": "more", "Value": ""}]) == too_many
    assert await call.complaint("UntagResource", ResourceArn=arn, TagKeys=[str(number) for number in range(51)]) == too_many


async def test_a_table_of_too_many_tags_is_not_created(call: Caller) -> None:
    tags = [{"Key": str(number), "Value": "x"} for number in range(51)]
    request = {"TableName": "things", "AttributeDefinitions": [A], "KeySchema": [HASH], "BillingMode": "PAY_PER_REQUEST", "Tags": tags}
    assert "exceed the current limit" in await call.complaint("CreateTable", **request)
    assert (await call("ListTables"))["TableNames"] == []


async def test_a_table_describes_when_its_class_was_changed(call: Caller) -> None:
    await call.table("things", TableClass="STANDARD_INFREQUENT_ACCESS")
    assert (await call("DescribeTable", TableName="things"))["Table"]["TableClassSummary"] == {"TableClass": "STANDARD_INFREQUENT_ACCESS"}
    await call("UpdateTable", TableName="things", TableClass="STANDARD")
    told = (await call("DescribeTable", TableName="things"))["Table"]
    assert told["TableClassSummary"]["TableClass"] == "STANDARD"
    assert told["TableClassSummary"]["LastUpdateDateTime"] >= told["CreationDateTime"]
    assert await call.complaint("UpdateTable", TableName="things", TableClass="junk") == (
        "Invalid table-class parameter provided. Please try again with a valid table-class value: [STANDARD, STANDARD_INFREQUENT_ACCESS]."
    )


async def test_a_table_without_a_stream_takes_no_view_type(call: Caller) -> None:
    request = {
        "TableName": "quiet",
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    complaint = await call.complaint("CreateTable", **request, StreamSpecification={"StreamEnabled": False, "StreamViewType": "NEW_IMAGE"})
    refused = "One or more parameter values were invalid: "
    assert complaint == refused + "Table is being created with a stream disabled, UpdateViewType should not be specified"


async def test_an_invalid_arn_has_no_tags(call: Caller) -> None:
    complaint = await call.complaint("TagResource", ResourceArn="things", Tags=[{"Key": "a", "Value": "b"}])
    assert complaint == "Invalid TableArn: Invalid ResourceArn provided as input things"
    assert (await call.error("ListTagsOfResource", ResourceArn="a:b:c:d:e/f")).code == "AccessDeniedException"
