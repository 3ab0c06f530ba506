"""AWS's errors for expressions; the cases are those on which public recordings of DynamoDB agree."""

from typing import Any

import pytest

from zonal.dynamo.expressions.request import Expressions, read
from zonal.foundation.errors import AwsError


def complaint(**request: Any) -> str:
    with pytest.raises(AwsError) as caught:
        read(request)
    assert caught.value.code == "ValidationException"
    return caught.value.message


def holds(text: str, item: dict[str, Any], names: dict[str, str] | None = None, **values: Any) -> bool:
    given = {f":{name}": value for name, value in values.items()}
    expressions = read({"ConditionExpression": text, "ExpressionAttributeNames": names, "ExpressionAttributeValues": given or None})
    assert expressions.condition is not None
    return expressions.condition.holds(item, expressions.values)


def updated(text: str, item: dict[str, Any], **values: Any) -> dict[str, Any]:
    given = {f":{name}": value for name, value in values.items()}
    expressions: Expressions = read({"UpdateExpression": text, "ExpressionAttributeValues": given or None})
    assert expressions.update is not None
    return expressions.update.apply(item, expressions.values)


@pytest.mark.parametrize(
    "text",
    [
        "things are not gonna be ok",
        "a > 4",
        "attribute_exists(Pictures-RearView)",
        'attribute_exists("Pictures.RearView")',
        "attribute_exists(Pictures..RearView)",
        "attribute_exists(Pi#ctures.RearView)",
        "attribute_exists(asdf[a])",
        "a in b, c",
        "a > between",
        "a in b",
        "a in (b,c,)",
        "(a)between(b.(c.d))and(c)",
        "(a)between(b.c.d)and((c)",
        "#$.b > a",
        "a > :things.stuff",
        "b[:a] > a",
        "b[#_] > a",
        "ü > a",
        "(a)between(b.c[4.5].#d)and(:a)",
        "size(a).b > a",
        "(size(a)).b > a",
        "size(a)[0] > a",
        "(size(a))[0] > a",
    ],
)
def test_bad_syntax_is_a_syntax_error(text: str) -> None:
    assert complaint(FilterExpression=text).startswith('Invalid FilterExpression: Syntax error; token: "')


@pytest.mark.parametrize(
    "text",
    [
        "a=a and a > ((views))",
        "(a)between(((b.c)).d)and(c)",
        "a > whatever((:things), ((a)))",
        "a=a AND ((a=a AND a=a)) AND a=a",
        "a=a OR ((a=a OR a=a)) OR a=a",
        "a=a AND ((a=a AND (a=a AND a=a)))",
    ],
)
def test_parentheses_around_parentheses_are_redundant(text: str) -> None:
    assert complaint(FilterExpression=text) == "Invalid FilterExpression: The expression has redundant parentheses;"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=a and whatever((:things)) > a", "Invalid function name; function: whatever"),
        ("attRIbute_exIsts((views), #a)", "Invalid function name; function: attRIbute_exIsts"),
        (
            "a=a and attribute_exists((views), (#a)) > b",
            "The function is not allowed to be used this way in an expression; function: attribute_exists",
        ),
        ("size(contains(a, b)) > a", "The function is not allowed to be used this way in an expression; function: contains"),
        ("size(things)", "The function is not allowed to be used this way in an expression; function: size"),
        ("attribute_exists(views, #a)", "Attribute name is a reserved keyword; reserved keyword: views"),
        (":a < abOrT", "Attribute name is a reserved keyword; reserved keyword: abOrT"),
        (
            "attribute_exists(#Pictures.RearView, :a) and a=a",
            "An expression attribute name used in the document path is not defined; attribute name: #Pictures",
        ),
        (
            "begins_with(:hello, #a, #b)",
            "An expression attribute value used in expression is not defined; attribute value: :hello",
        ),
        (
            "attribute_exists(things, a) and a=a",
            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
        ),
        (
            "((a=a) OR (a=a))",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]",
        ),
    ],
)
def test_errors_are_reported_in_awss_order_with_its_messages(text: str, message: str) -> None:
    assert complaint(FilterExpression=text) == f"Invalid FilterExpression: {message}"


@pytest.mark.parametrize(
    ("text", "value", "function", "kind"),
    [
        ("attribute_type(a, :a)", {"N": "1"}, "attribute_type", "N"),
        ("begins_with(a, size(a)) and a=:a", {"N": "1"}, "begins_with", "N"),
        ("begins_with(:a, a)", {"L": []}, "begins_with", "L"),
        ("attribute_not_exists(size(:a))", {"N": "1"}, "size", "N"),
        ("size(:a) > a", {"NULL": True}, "size", "NULL"),
    ],
)
def test_functions_name_the_operand_type_they_do_not_take(text: str, value: dict[str, Any], function: str, kind: str) -> None:
    assert complaint(FilterExpression=text, ExpressionAttributeValues={":a": value}) == (
        f"Invalid FilterExpression: Incorrect operand type for operator or function; operator or function: {function}, operand type: {kind}"
    )


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"ExpressionAttributeNames": {}, "UpdateExpression": ""}, "ExpressionAttributeNames must not be empty"),
        (
            {"ExpressionAttributeNames": {"a": "a"}, "UpdateExpression": ""},
            'ExpressionAttributeNames contains invalid key: Syntax error; key: "a"',
        ),
        ({"ExpressionAttributeValues": {}, "UpdateExpression": ""}, "ExpressionAttributeValues must not be empty"),
        (
            {"ExpressionAttributeValues": {":b": {"S": "a", "N": "1"}}, "UpdateExpression": ""},
            "ExpressionAttributeValues contains invalid value: Supplied AttributeValue has more than one datatypes set,"
            " must contain exactly one of the supported datatypes for key :b",
        ),
        ({"UpdateExpression": "", "ConditionExpression": ""}, "Invalid UpdateExpression: The expression can not be empty;"),
        (
            {"UpdateExpression": "remove a", "ExpressionAttributeNames": {"#a": "a", "#b": "b"}},
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #b}",
        ),
        (
            {"UpdateExpression": "remove a", "ExpressionAttributeValues": {":c": {"S": "a"}}},
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:c}",
        ),
    ],
)
def test_names_and_values_are_checked_before_expressions_and_must_be_used(request_: dict[str, Any], message: str) -> None:
    assert complaint(**request_) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("set a = #c set c = :d", 'The "SET" section can only be used once in an update expression;'),
        (
            "SET b = if_not_exists(c)",
            "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1",
        ),
        ("set a = if_not_exists(:a, c)", "Operator or function requires a document path; operator or function: if_not_exists"),
        (
            "set a = list_append(:a, a)",
            "Incorrect operand type for operator or function; operator or function: list_append, operand type: S",
        ),
        (
            "set a = list_append(list_append(a, b), c)",
            "The function is not allowed to be used this way in an expression; function: list_append",
        ),
        ("set a = a + :a", "Incorrect operand type for operator or function; operator or function: +, operand type: S"),
        ("add a.b :a", "Incorrect operand type for operator or function; operator: ADD, operand type: STRING"),
        (
            "set #c[3].#d = a, #c[3] = a",
            "Two document paths overlap with each other; must remove or rewrite one of these paths;"
            " path one: [c, [3], [3]], path two: [c, [3]]",
        ),
        (
            "remove a.#c set a[1] = #d",
            "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, c], path two: [a, [1]]",
        ),
    ],
)
def test_updates_are_complained_of_in_awss_messages(text: str, message: str) -> None:
    names = {"#c": "c", "#d": "[3]"}
    told = complaint(UpdateExpression=text, ExpressionAttributeNames=names, ExpressionAttributeValues={":a": {"S": "a"}})
    assert told == f"Invalid UpdateExpression: {message}"


def test_conditions_are_evaluated_on_an_item() -> None:
    item = {"a": {"N": "5"}, "b": {"M": {"c": {"L": [{"S": "x"}]}}}, "t": {"SS": ["u", "v"]}, "n": {"S": "hello"}}
    assert holds("a > :low AND a <= :high", item, low={"N": "4.5"}, high={"N": "5.0"})
    assert holds("b.c[0] = :x AND attribute_not_exists(b.c[1])", item, x={"S": "x"})
    assert holds("contains(t, :u) AND begins_with(n, :h) AND size(n) = :five", item, u={"S": "u"}, h={"S": "he"}, five={"N": "5"})
    assert holds("NOT (a IN (:one, :two)) OR #zz = :one", item, {"#zz": "zz"}, one={"N": "1"}, two={"N": "2"})
    assert holds("attribute_type(t, :ss) AND a BETWEEN :one AND :nine", item, ss={"S": "SS"}, one={"N": "1"}, nine={"N": "9"})


def test_a_missing_attribute_is_unequal_and_nothing_else() -> None:
    assert holds("zz <> :one", {}, one={"N": "1"})
    assert not holds("zz = :one", {}, one={"N": "1"})
    assert not holds("zz < :one", {}, one={"N": "1"})


def test_numbers_compare_as_numbers_and_not_as_text() -> None:
    assert holds("a < :ten", {"a": {"N": "9"}}, ten={"N": "10"})
    assert not holds("a < :ten", {"a": {"S": "9"}}, ten={"N": "10"})


def test_an_update_computes_everything_from_the_item_before_it() -> None:
    item = {"a": {"N": "1"}, "b": {"N": "2"}}
    assert updated("SET a = b, b = a", item) == {"a": {"N": "2"}, "b": {"N": "1"}}
    assert item == {"a": {"N": "1"}, "b": {"N": "2"}}


def test_an_update_leaves_the_item_before_it_alone_also_inside() -> None:
    item = {"m": {"M": {"x": {"L": [{"N": "1"}]}}}}
    assert updated("SET m.x[0] = :v, m.y = :v", item, v={"N": "9"}) == {"m": {"M": {"x": {"L": [{"N": "9"}]}, "y": {"N": "9"}}}}
    assert item == {"m": {"M": {"x": {"L": [{"N": "1"}]}}}}


def test_removed_elements_are_those_that_the_caller_saw() -> None:
    elements = {"l": {"L": [{"N": str(number)} for number in range(5)]}}
    assert updated("REMOVE l[1], l[3]", elements) == {"l": {"L": [{"N": "0"}, {"N": "2"}, {"N": "4"}]}}


def test_elements_behind_the_end_are_appended() -> None:
    assert updated("SET l[7] = :a, l[5] = :b", {"l": {"L": []}}, a={"S": "a"}, b={"S": "b"}) == {"l": {"L": [{"S": "b"}, {"S": "a"}]}}


def test_add_and_delete_change_numbers_and_sets() -> None:
    assert updated("ADD a :one, s :set", {"a": {"N": "1"}}, one={"N": "1.5"}, set={"SS": ["x"]}) == {
        "a": {"N": "2.5"},
        "s": {"SS": ["x"]},
    }
    assert updated("DELETE s :set", {"s": {"SS": ["x"]}}, set={"SS": ["x"]}) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SET a = b", "The provided expression refers to an attribute that does not exist in the item"),
        ("SET a.b = :one", "The document path provided in the update expression is invalid for update"),
        ("SET a = n + :one", "An operand in the update expression has an incorrect data type"),
    ],
)
def test_an_update_that_does_not_fit_the_item_is_rejected(text: str, message: str) -> None:
    with pytest.raises(AwsError) as caught:
        updated(text, {"n": {"S": "text"}}, **({"one": {"N": "1"}} if ":one" in text else {}))
    assert caught.value.message == message


def test_a_projection_keeps_the_shape_and_closes_lists_up() -> None:
    from zonal.dynamo.expressions.projections import project

    item = {"a": {"M": {"b": {"L": [{"N": "0"}, {"N": "1"}, {"N": "2"}]}, "c": {"N": "9"}}}, "d": {"S": "x"}}
    projection = read({"ProjectionExpression": "a.b[2], a.b[0], zz"}).projection
    assert projection is not None
    assert project(projection, item) == {"a": {"M": {"b": {"L": [{"N": "0"}, {"N": "2"}]}}}}


def test_the_cache_does_not_mix_up_values_of_one_text() -> None:
    assert holds("a = :v", {"a": {"N": "1"}}, v={"N": "1"})
    assert not holds("a = :v", {"a": {"N": "1"}}, v={"N": "2"})
    assert "lower bound" in complaint(
        ConditionExpression="a BETWEEN :x AND :y", ExpressionAttributeValues={":x": {"N": "2"}, ":y": {"N": "1"}}
    )
    assert holds("a BETWEEN :x AND :y", {"a": {"N": "1"}}, x={"N": "1"}, y={"N": "2"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a > b and size(b) > c or a > c", "Invalid operator used in KeyConditionExpression: OR"),
        ("a in (b, size(c), d)", "Invalid operator used in KeyConditionExpression: IN"),
        ("attribute_exists(a)", "Invalid operator used in KeyConditionExpression: attribute_exists"),
        ("not a > b", "Invalid operator used in KeyConditionExpression: NOT"),
        ("a <> b", "Invalid operator used in KeyConditionExpression: <>"),
        ("size(b) > a AND a.b > b AND b > c", "KeyConditionExpressions cannot contain nested operations"),
        ("b between c[1] and d", "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition"),
        ("b[0] > a", "KeyConditionExpressions cannot have conditions on nested attributes"),
        (":b > :a AND a < :b", "Invalid condition in KeyConditionExpression: No key attribute specified"),
        ("b > :a AND b < :b", "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key"),
        (
            ":a between :b and b",
            "Invalid condition in KeyConditionExpression: BETWEEN operator must have the key attribute as its first operand",
        ),
    ],
)
def test_key_conditions_must_be_answerable_from_the_order_of_keys(text: str, message: str) -> None:
    values = {name: {"N": "1"} for name in (":a", ":b") if name in text}
    assert complaint(KeyConditionExpression=text, ExpressionAttributeValues=values or None) == message
