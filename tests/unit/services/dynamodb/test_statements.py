from typing import Any

import pytest

from tests.unit.services.dynamodb.caller import Caller


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
    await run(call, "DELETE FROM Music WHERE Artist='Nobody' AND \"Year\"=1")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE Music SET a = 1 WHERE Artist = 'Abba'", "Where clause does not contain a mandatory equality on all key attributes"),
        ("SELECT * FROM Music WHERE a = ?", "Number of parameters in request and statement don't match."),
        ("SELECT FROM", "Statement wasn't well formed, can't be processed: unexpected end of statement"),
        ("SELECT * FROM Music.none", "The table does not have the specified index"),
    ],
)
async def test_statements_that_cannot_be_are_refused(call: Caller, statement: str, message: str) -> None:
    await filled(call)
    assert await call.complaint("ExecuteStatement", Statement=statement) == message


async def test_a_batch_of_statements_tells_of_each_what_became_of_it(call: Caller) -> None:
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
