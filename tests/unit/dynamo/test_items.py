from typing import Any

import pytest

from zonal.dynamo import items
from zonal.foundation.errors import AwsError

INVALID = "One or more parameter values were invalid: "


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        ({"a": ""}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        ({"M": {"a": {}}}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        ({"L": [{"a": {}}]}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        ({"NULL": "no"}, INVALID + "Null attribute value types must have the value of true"),
        ({"SS": []}, INVALID + "An string set  may not be empty"),
        ({"NS": []}, INVALID + "An number set  may not be empty"),
        ({"BS": []}, INVALID + "Binary sets should not be empty"),
        ({"SS": ["a", "a"]}, INVALID + "Input collection [a, a] contains duplicates."),
        ({"BS": ["Yg==", "Yg=="]}, INVALID + "Input collection [Yg==, Yg==]of type BS contains duplicates."),
        ({"NS": ["1", "1.0"]}, "Input collection contains duplicates"),
        ({"S": "", "N": ""}, "The parameter cannot be converted to a numeric value"),
        (
            {"S": "a", "N": "1"},
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        ),
    ],
)
def test_invalid_values_are_rejected_with_dynamodbs_messages(value: dict[str, Any], message: str) -> None:
    with pytest.raises(AwsError) as caught:
        items.settle(value)
    assert caught.value.message == message


@pytest.mark.parametrize("value", [{"S": 1}, {"N": 1}, {"B": "*"}, {"L": {}}, {"M": []}, {"BOOL": "perhaps"}, {"SS": [1]}, {"SS": "a"}])
def test_json_of_the_wrong_type_is_not_an_attribute_value(value: dict[str, Any]) -> None:
    with pytest.raises(items.WrongShape):
        items.settle(value)


def test_numbers_are_canonical_at_any_depth() -> None:
    value = {"M": {"a": {"L": [{"N": "1.50"}]}, "b": {"NS": ["2.0"]}}}
    items.settle(value)
    assert value == {"M": {"a": {"L": [{"N": "1.5"}]}, "b": {"NS": ["2"]}}}


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "é"}, 2),
        ({"S": ""}, 0),
        ({"N": "1"}, 2),
        ({"B": "AAAA"}, 3),
        ({"NULL": True}, 1),
        ({"BOOL": False}, 1),
        ({"SS": ["ab", "c"]}, 3),
        ({"L": []}, 3),
        ({"L": [{"S": "ab"}]}, 6),
        ({"M": {"key": {"S": "ab"}}}, 9),
    ],
)
def test_sizes_are_those_that_aws_counts(value: dict[str, Any], size: int) -> None:
    assert items.settle(value) == size == items.size(value)


def test_values_nest_at_most_thirty_two_levels() -> None:
    value: dict[str, Any] = {"S": "x"}
    for _ in range(31):
        value = {"L": [value]}
    items.settle(value)
    with pytest.raises(AwsError, match="Nesting Levels have exceeded supported limits"):
        items.settle({"L": [value]})


def test_sets_are_equal_whatever_their_order_and_lists_are_not() -> None:
    assert items.equal({"M": {"a": {"SS": ["x", "y"]}}}, {"M": {"a": {"SS": ["y", "x"]}}})
    assert not items.equal({"L": [{"S": "x"}, {"S": "y"}]}, {"L": [{"S": "y"}, {"S": "x"}]})
    assert not items.equal({"S": "1"}, {"N": "1"})


def test_sets_are_kept_in_dynamodbs_order() -> None:
    value: dict[str, Any] = {"M": {"s": {"SS": ["b", "", "a"]}, "n": {"NS": ["10", "9", "-1"]}, "b": {"BS": ["/w==", "AA=="]}}}
    items.settle(value)
    assert value["M"] == {"s": {"SS": ["", "a", "b"]}, "n": {"NS": ["-1", "9", "10"]}, "b": {"BS": ["AA==", "/w=="]}}
