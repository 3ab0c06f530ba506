from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zonal.dynamo import numbers
from zonal.foundation.errors import AwsError

digits = st.integers(min_value=-(10**38) + 1, max_value=10**38 - 1)
exponents = st.integers(min_value=-130, max_value=87)
texts = st.builds(lambda mantissa, exponent: str(Decimal(mantissa).scaleb(exponent)), digits, exponents)


@given(texts)
def test_the_canonical_form_is_the_same_number_in_plain_notation(text: str) -> None:
    canonical = numbers.canonical(text)
    assert Decimal(canonical) == Decimal(text)
    assert "E" not in canonical and "+" not in canonical
    assert numbers.canonical(canonical) == canonical


@given(texts, texts)
def test_encoded_numbers_compare_as_the_numbers_do(left: str, right: str) -> None:
    order = (Decimal(left) > Decimal(right)) - (Decimal(left) < Decimal(right))
    encoded = (numbers.encode(left) > numbers.encode(right)) - (numbers.encode(left) < numbers.encode(right))
    assert encoded == order == numbers.compare(left, right)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("1.0", "1"), ("-0", "0"), ("+5", "5"), ("1e2", "100"), ("1E-3", "0.001"), ("0012.50", "12.5"), (".5", "0.5"), ("1.", "1")],
)
def test_numbers_are_returned_in_plain_notation(text: str, canonical: str) -> None:
    assert numbers.canonical(text) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The parameter cannot be converted to a numeric value"),
        ("b", "The parameter cannot be converted to a numeric value: b"),
        ("1 ", "The parameter cannot be converted to a numeric value: 1 "),
        ("NaN", "The parameter cannot be converted to a numeric value: NaN"),
        ("1" * 39, "Attempting to store more than 38 significant digits in a Number"),
        ("1e126", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
        ("-1e-131", "Number underflow. Attempting to store a number with magnitude smaller than supported range"),
        ("1e99999999999", "Number overflow. Attempting to store a number with magnitude larger than supported range"),
    ],
)
def test_an_invalid_number_is_rejected_with_awss_messages(text: str, message: str) -> None:
    with pytest.raises(AwsError) as caught:
        numbers.canonical(text)
    assert caught.value.message == message


def test_the_ends_of_the_range_are_numbers() -> None:
    assert numbers.canonical("9" * 38 + "e88") == "9" * 38 + "0" * 88
    assert numbers.canonical("1e-130") == "0." + "0" * 129 + "1"


def test_sizes_are_those_that_aws_counts() -> None:
    assert numbers.size("0") == 1
    assert numbers.size("1" + "0" * 125) == 2
    assert numbers.size("11111" + "0" * 121) == 4
    assert numbers.size("1" * 38 + "0" * 88) == 20
    assert numbers.size("-1") == numbers.size("1") + 1


def test_a_sum_that_would_need_rounding_is_rejected() -> None:
    assert numbers.add("0.1", "0.2") == "0.3"
    assert numbers.subtract("1", "3") == "-2"
    with pytest.raises(AwsError) as caught:
        numbers.add("1e100", "1")
    assert caught.value.message == "Number overflow. Attempting to store a number with magnitude larger than supported range"
