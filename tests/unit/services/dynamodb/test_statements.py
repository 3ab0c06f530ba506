from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller

BROKEN = "Statement wasn't well formed, can't be processed: "
LEFT_OVER = BROKEN + "Unexpected token after expression"
OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"


async def run(call: Caller, statement: str, *parameters: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    given = {"Parameters": list(parameters)} if parameters else {}
    items: list[dict[str, Any]] = (await call("ExecuteStatement", Statement=statement, **given, **more))["Items"]
    return items


async def filled(call: Caller) -> None:
    await call.table("Music", keys="Artist:S Year:N", indexes={"by-genre": "Genre:S"})
    for artist, year, genre in (("Abba", 1974, "pop"), ("Abba", 1976, "pop"), ("Bach", 1721, "old")):
        await run(
            call, f"INSERT INTO \"Music\" VALUE {{'Artist': '{artist}', 'Year': {year}, 'Genre': ?, 'Tags': <<'a', 'b'>>}}", {"S": genre}
        )


async def test_rows_are_inserted_selected_updated_and_deleted(call: Caller) -> None:
    await filled(call)
    assert await run(call, "SELECT Year FROM Music WHERE Artist = 'Abba' AND \"Year\" > ?", {"N": "1975"}) == [{"Year": {"N": "1976"}}]
    assert [row["Year"]["N"] for row in await run(call, "SELECT * FROM Music WHERE Artist='Abba' ORDER BY \"Year\" DESC")] == [
        "1976",
        "1974",
    ]
    assert len(await run(call, "SELECT * FROM Music.\"by-genre\" WHERE Genre = 'old'")) == 1
    changed = await run(
        call,
        "UPDATE Music SET Sales = 5 SET Info = {'k': [1, true, null]} REMOVE Genre"
        " WHERE Artist='Bach' AND \"Year\"=1721 RETURNING ALL NEW *",
    )
    assert changed == [
        {
            "Artist": {"S": "Bach"},
            "Year": {"N": "1721"},
            "Tags": {"SS": ["a", "b"]},
            "Sales": {"N": "5"},
            "Info": {"M": {"k": {"L": [{"N": "1"}, {"BOOL": True}, {"NULL": True}]}}},
        }
    ]
    gone = await run(call, "DELETE FROM Music WHERE Artist='Bach' AND \"Year\"=1721 AND Sales = 5 RETURNING ALL OLD *")
    assert gone == changed
    assert len(await run(call, "SELECT * FROM Music WHERE contains(Tags, 'a') AND Genre IS NOT MISSING")) == 2


async def test_a_select_of_one_partition_costs_only_that(call: Caller) -> None:
    await filled(call)
    answer = await call("ExecuteStatement", Statement="SELECT * FROM Music WHERE Artist = 'Abba'", Limit=1)
    assert answer["Items"][0]["Year"] == {"N": "1974"} and answer["LastEvaluatedKey"] == {"Artist": {"S": "Abba"}, "Year": {"N": "1974"}}
    rest = await call("ExecuteStatement", Statement="SELECT * FROM Music WHERE Artist = 'Abba'", NextToken=answer["NextToken"])
    assert [row["Year"]["N"] for row in rest["Items"]] == ["1976"] and "NextToken" not in rest


async def test_a_row_that_is_there_is_not_inserted_again_and_one_that_is_not_is_not_updated(call: Caller) -> None:
    await filled(call)
    again = "INSERT INTO Music VALUE {'Artist': 'Abba', 'Year': 1974}"
    assert (await call.error("ExecuteStatement", Statement=again)).code == "DuplicateItemException"
    absent = "UPDATE Music SET a = 1 WHERE Artist='Nobody' AND \"Year\"=1"
    assert (await call.error("ExecuteStatement", Statement=absent)).code == "ConditionalCheckFailedException"
    await run(call, "DELETE FROM Music WHERE Artist='Nobody' AND \"Year\"=1 AND Genre='pop'")
    wrong = "DELETE FROM Music WHERE Artist='Abba' AND \"Year\"=1974 AND Genre='rock'"
    assert (await call.error("ExecuteStatement", Statement=wrong)).code == "ConditionalCheckFailedException"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE Music SET a = 1 WHERE Artist = 'Abba'", "Where clause does not contain a mandatory equality on all key attributes"),
        ("SELECT * FROM Music WHERE a = ?", "Number of parameters in request and statement don't match."),
        ("INSERT INTO Music VALUE", BROKEN + "unexpected end of statement"),
        ("SELECT * FROM Music.none", "The table does not have the specified index"),
        ("SELECT * FROM Music.none.more", "A path may contain at most 2 components in the FROM clause"),
        ('SELECT * FROM ""', "Path component cannot be an empty string"),
        ("SELECT * FROM Music WHERE Artist = 'Abba' more", LEFT_OVER),
        ("SELECT * FROM Music ORDER BY Artist WHERE Artist = 'Abba'", LEFT_OVER),
        ("INSERT INTO Music m VALUE {'Artist': 'x', 'Year': 1}", LEFT_OVER),
        ("SELECT * FROM Music m WHERE Artist = 'Abba'", "Aliasing is not supported"),
        ("UPDATE Music AS m SET a = 1 WHERE Artist = 'Abba'", "Aliasing is not supported"),
        ("SELECT * FROM Music # note", BROKEN),
        ("SELECT * FROM Music /* note", BROKEN),
        ("SELECT * FROM Music WHERE Sales = 1e2147483648", BROKEN),
        ("SELECT * FROM Music WHERE Sales = 1.5e-2147483647", BROKEN),
        ("SELECT * FROM Music WHERE Sales = 1e126", f"{OVERFLOW} under root"),
        ("INSERT INTO Music VALUE {'Artist': 'x', 'Year': 1, 'm': {'x': [1, 1e126]}}", f"{OVERFLOW} under root.x[1]"),
        (
            "DELETE FROM Music WHERE Artist = 'Abba' RETURNING MODIFIED OLD *",
            "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
        (
            "SELECT * FROM Music WHERE Sales < true",
            "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
        ),
    ],
)
async def test_invalid_statements_are_rejected(call: Caller, statement: str, message: str) -> None:
    await filled(call)
    assert await call.complaint("ExecuteStatement", Statement=statement) == message


async def test_a_batch_of_statements_reports_the_outcome_of_each(call: Caller) -> None:
    await filled(call)
    statements = [
        {"Statement": "SELECT Genre FROM Music WHERE Artist='Abba' AND \"Year\"=1974"},
        {"Statement": "INSERT INTO Music VALUE {'Artist': 'Abba', 'Year': 1974}"},
        {"Statement": "DELETE FROM Music WHERE Artist='Abba' AND \"Year\"=1976"},
    ]
    responses = (await call("BatchExecuteStatement", Statements=statements))["Responses"]
    assert responses[0] == {"TableName": "Music", "Item": {"Genre": {"S": "pop"}}}
    assert responses[1]["Error"]["Code"] == "DuplicateItem"
    assert responses[2] == {"TableName": "Music"}


async def test_statements_in_a_transaction_are_all_made_or_none(call: Caller) -> None:
    await filled(call)
    insert = {"Statement": "INSERT INTO Music VALUE {'Artist': 'New', 'Year': 1}"}
    exists = {"Statement": "EXISTS(SELECT * FROM Music WHERE Artist='Abba' AND \"Year\"=1974 AND Genre='rock')"}
    error = await call.error("ExecuteTransaction", TransactStatements=[insert, exists])
    assert [reason["Code"] for reason in error.fields["CancellationReasons"]] == ["None", "ConditionalCheckFailed"]
    await call("ExecuteTransaction", TransactStatements=[insert, {"Statement": "DELETE FROM Music WHERE Artist='Abba' AND \"Year\"=1974"}])
    read = [{"Statement": "SELECT * FROM Music WHERE Artist='New' AND \"Year\"=1"}]
    assert (await call("ExecuteTransaction", TransactStatements=read))["Responses"] == [
        {"Item": {"Artist": {"S": "New"}, "Year": {"N": "1"}}}
    ]


async def test_an_update_may_name_its_item_first(call: Caller) -> None:
    await filled(call)
    statement = "FROM Music WHERE Artist='Abba' AND \"Year\"=1974 SET a = 1 REMOVE Genre RETURNING MODIFIED NEW *"
    assert await run(call, statement) == [{"a": {"N": "1"}}]
    error = await call.error("ExecuteStatement", Statement="FROM Music WHERE Artist='Nobody' AND \"Year\"=1 SET a = 1")
    assert error.code == "ConditionalCheckFailedException"


async def test_conditions_take_functions_types_and_comments(call: Caller) -> None:
    await filled(call)
    one = 'SELECT "Year" FROM Music /* all of them */ WHERE Artist=\'Abba\' AND "Year"=1974 -- one\n AND '
    for condition, holds in (
        ("attribute_exists(Genre) = true", True),
        ("attribute_exists(Genre) <> true", False),
        ("ATTRIBUTE_NOT_EXISTS(none) = TRUE", True),
        ("Genre IS STRING", True),
        ("Genre IS BOOL", False),
        ("Genre IS NOT NULL", True),
        ("size(Genre) = 3", True),
    ):
        assert len(await run(call, one + condition)) == holds, condition


async def test_a_select_from_an_index_returns_its_attributes_and_a_local_index_fetches_the_rest(call: Caller) -> None:
    await call.table("things", keys="a:S b:S", indexes={"near": "a:S c:S LOCAL KEYS_ONLY", "far": "c:S KEYS_ONLY"})
    await call("PutItem", TableName="things", Item={name: {"S": name} for name in "abcd"})
    assert await run(call, "SELECT d FROM things.near WHERE a = 'a'") == [{"d": {"S": "d"}}]
    refused = "One or more parameter values were invalid: "
    complaint = await call.complaint("ExecuteStatement", Statement="SELECT d FROM things.far WHERE c = 'c'")
    assert complaint == refused + "Global secondary index far does not project [d]"
    for index in ("near", "far"):
        statement = f"SELECT a FROM things.{index} WHERE a = 'a' AND c = 'c' AND d = 'd'"
        complaint = await call.complaint("ExecuteStatement", Statement=statement)
        assert complaint == f"{refused}Secondary index {index} does not project one or more filter attributes: [d]"


async def test_a_transaction_takes_neither_indexes_nor_returned_items(call: Caller) -> None:
    await filled(call)
    first = "Validation failed in TransactStatements[0]: "
    update = {"Statement": "UPDATE Music SET a = 1 WHERE Artist='Abba' AND \"Year\"=1974 RETURNING ALL NEW *"}
    complaint = await call.complaint("ExecuteTransaction", TransactStatements=[update])
    assert complaint == first + "RETURNING clause is not supported in ExecuteTransaction."
    read = {"Statement": "SELECT * FROM Music.far WHERE Artist='Abba'"}
    complaint = await call.complaint("ExecuteTransaction", TransactStatements=[read])
    assert complaint == first + "Reads on indices are not supported within transactions."


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT * FROM", "Unexpected term"),
        ("SELECT * FROM Music WHERE", "Unexpected term"),
        ("DELETE FROM Music WHERE ;", "Unexpected term"),
        ("SELECT * FROM Music WHERE NOT", "Unexpected term"),
        ("SELECT * FROM Music WHERE Genre = 'x' AND", "Missing right-hand side expression of infix operator"),
        ("SELECT * FROM Music WHERE ORDER BY Genre", "Unexpected keyword"),
        ("SELECT * FROM Music WHERE Genre = LIKE", "Unexpected operator"),
        ("SELECT * FROM Music WHERE Genre IS NOTHING", "Expected type name"),
        ("SELECT * FROM Music WHERE attribute_exists(Info.inner)", "Invalid path dot component"),
        ("DELETE FROM WHERE Genre = 'x'", "Expected identifier for simple path"),
        ("CHOOSE * FROM Music", "Expected data manipulation"),
    ],
)
async def test_a_syntax_error_names_the_token_and_its_position(call: Caller, statement: str, message: str) -> None:
    assert await call.complaint("ExecuteStatement", Statement=statement) == BROKEN + message


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("Genre IS DOUBLE PRECISION", "Unsupported operation: IsType"),
        ("INSERT INTO Music.far VALUE {'Artist': 'x', 'Year': 1}", "FROM clause may only contain a single table name"),
        ("UPDATE Music.far SET a = 1 WHERE Artist = 'x'", "This operation is not supported on an index"),
        ("SELECT count(*) FROM Music", "Unexpected path component at 1:8:5"),
        ("SELECT * FROM Music WHERE\n guess(Genre) = 1", "Unrecognized function: guess at 2:2:5"),
        ("INSERT INTO Music VALUE {'Artist': now()}", "Unsupported data type: now under key root at 1:36:3"),
        ("UPDATE Music SET a = set_add(b, <<1>>)", "The first argument to SET_ADD must equal the assignment value at 1:22:7"),
        ("UPDATE Music SET a = set_add(a, 1)", "The second argument to SET_ADD must be a value with type SET at 1:30:1"),
        ("UPDATE Music SET a = set_delete(a)", "SET_DELETE must have exactly two arguments at 1:22:10"),
        ("UPDATE Music SET a = set_add(a, <<>>)", "Empty bags are not supported"),
        (
            "SELECT * FROM Music WHERE attribute_exists('x')",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "SELECT * FROM Music WHERE begins_with(Genre)",
            "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1",
        ),
        (
            "SELECT * FROM Music WHERE Sales BETWEEN true AND 5",
            "Incorrect operand type for operator or function; operator or function: BETWEEN, operand type: BOOL",
        ),
        (
            "SELECT * FROM Music WHERE Artist = 'a' AND Genre = 'x' OR Artist = 'a' AND \"Year\" = 1",
            "Overlapping conditions with range keys are not supported in where clause",
        ),
    ],
)
async def test_a_well_formed_but_invalid_statement_is_rejected_with_the_position(call: Caller, statement: str, message: str) -> None:
    await filled(call)
    assert await call.complaint("ExecuteStatement", Statement=statement) == message


async def test_branches_of_different_rows_or_with_an_excluded_sort_key_may_be_joined(call: Caller) -> None:
    await filled(call)
    for condition, years in (
        ("Artist='Abba' AND \"Year\"=1974 OR Artist='Abba' AND \"Year\"=1976", ["1974", "1976"]),
        ("Artist='Abba' AND NOT \"Year\"=1974 OR Artist='Abba' AND \"Year\"=1976", ["1976"]),
        ("Artist='Abba' AND \"Year\"=1974 OR Artist='Bach'", ["1721", "1974"]),
    ):
        rows = await run(call, f"SELECT * FROM Music WHERE {condition}")
        assert sorted(row["Year"]["N"] for row in rows) == years, condition


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"N": "1e2147483648"}, "The parameter cannot be converted to a numeric value: 1e2147483648"),
        ({"L": [{"N": "1"}, {"NS": ["1e-99999999999"]}]}, "The parameter cannot be converted to a numeric value: 1e-99999999999"),
        ({"N": ""}, "The parameter cannot be converted to a numeric value"),
        ({"N": "1e126"}, OVERFLOW),
    ],
)
async def test_an_invalid_parameter_is_reported_before_the_statement_is_parsed(
    call: Caller, parameter: dict[str, Any], message: str
) -> None:
    statement = {"Statement": "SELECT * FROM nowhere WHERE a = ? more", "Parameters": [parameter]}
    assert await call.complaint("ExecuteStatement", **statement) == message
    assert await call.complaint("ExecuteTransaction", TransactStatements=[statement]) == message
    responses = (await call("BatchExecuteStatement", Statements=[statement]))["Responses"]
    assert responses == [{"Error": {"Code": "ValidationError", "Message": message}}]


async def test_reads_in_batches_and_transactions_name_the_primary_key_and_nothing_else(call: Caller) -> None:
    await filled(call)
    key = "Artist='Abba' AND \"Year\"=1974"
    ending = " must specify the primary key in the where clause."
    too_much = {"Statement": f"SELECT * FROM Music WHERE {key} AND attribute_exists(Genre)"}
    plain = {"Statement": f"SELECT Genre, Tags FROM Music WHERE {key}"}
    indexed = {"Statement": f'SELECT * FROM Music."by-genre" WHERE {key}'}
    responses = (await call("BatchExecuteStatement", Statements=[too_much, plain, indexed]))["Responses"]
    refused = {"Error": {"Code": "ValidationError", "Message": "Select statements within BatchExecuteStatement" + ending}}
    row = {"Genre": {"S": "pop"}, "Tags": {"SS": ["a", "b"]}}
    assert responses == [refused, {"TableName": "Music", "Item": row}, refused]
    assert (await call("ExecuteTransaction", TransactStatements=[plain]))["Responses"] == [{"Item": row}]
    first = "Validation failed in TransactStatements[0]: "
    complaint = await call.complaint("ExecuteTransaction", TransactStatements=[too_much])
    assert complaint == first + "Select statements within ExecuteTransaction" + ending
    exists = {"Statement": f"EXISTS(SELECT * FROM Music WHERE {key})"}
    complaint = await call.complaint("ExecuteTransaction", TransactStatements=[exists])
    assert complaint == first + "EXISTS() must contain a single item read with additional condition"


async def test_a_failed_statement_of_a_batch_names_its_table_and_returns_no_item(call: Caller) -> None:
    await filled(call)
    update = {
        "Statement": "UPDATE Music SET a = 1 WHERE Artist='Abba' AND \"Year\"=1974 AND Genre='rock'",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    responses = (await call("BatchExecuteStatement", Statements=[update]))["Responses"]
    failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    assert responses == [{"TableName": "Music", "Error": failed}]


async def test_an_index_with_several_key_attributes_is_closed_to_statements(call: Caller) -> None:
    schema = [{"AttributeName": name, "KeyType": "HASH"} for name in ("b", "c")]
    index = {"IndexName": "both", "KeySchema": schema, "Projection": {"ProjectionType": "ALL"}}
    types = [{"AttributeName": name, "AttributeType": "S"} for name in "abc"]
    await call.table("things", GlobalSecondaryIndexes=[index], AttributeDefinitions=types)
    complaint = await call.complaint("ExecuteStatement", Statement="SELECT count(*) FROM things.both")
    closed = "PartiQL statements cannot be executed on tables with multi-attribute HASH keys or multi-attribute RANGE keys."
    assert complaint == closed
    responses = (await call("BatchExecuteStatement", Statements=[{"Statement": "SELECT * FROM things.both"}]))["Responses"]
    assert responses[0]["Error"]["Message"] == closed
    assert await run(call, "SELECT * FROM things WHERE a = 'a'") == []


async def test_a_row_names_nested_columns_by_their_last_step(call: Caller) -> None:
    await filled(call)
    await run(call, "UPDATE Music SET Info = {'k': [1, 2]} WHERE Artist='Bach' AND \"Year\"=1721")
    rows = await run(call, "SELECT Genre, Info.k FROM Music WHERE Artist='Bach'")
    assert rows == [{"Genre": {"S": "old"}, "k": {"L": [{"N": "1"}, {"N": "2"}]}}]


async def test_a_token_leads_on_only_in_the_index_that_gave_it(call: Caller) -> None:
    await call.table("things", indexes={"one": "c:S", "two": "c:S"})
    for name in "ab":
        await call("PutItem", TableName="things", Item={"a": {"S": name}, "c": {"S": "c"}})
    answer = await call("ExecuteStatement", Statement="SELECT a FROM things.one WHERE c = 'c'", Limit=1)
    rest = await run(call, "SELECT a FROM things.one WHERE c = 'c'", NextToken=answer["NextToken"])
    assert sorted(row["a"]["S"] for row in answer["Items"] + rest) == ["a", "b"]
    wrong = await call.complaint("ExecuteStatement", Statement="SELECT a FROM things.two WHERE c = 'c'", NextToken=answer["NextToken"])
    assert wrong == "Invalid NextToken"


async def test_a_repeated_transaction_costs_the_reads_of_its_items(call: Caller) -> None:
    await filled(call)
    request = {
        "TransactStatements": [{"Statement": "UPDATE Music SET Sales = 5 WHERE Artist='Bach' AND \"Year\"=1721"}],
        "ClientRequestToken": "once",
        "ReturnConsumedCapacity": "TOTAL",
    }
    written = (await call("ExecuteTransaction", **request))["ConsumedCapacity"]
    assert written == [{"TableName": "Music", "CapacityUnits": 4.0, "WriteCapacityUnits": 4.0}]
    again = (await call("ExecuteTransaction", **request))["ConsumedCapacity"]
    assert again == [{"TableName": "Music", "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0}]
