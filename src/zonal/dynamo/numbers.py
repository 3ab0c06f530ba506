"""DynamoDB's numbers: 38 significant digits, from 1E-130 to 9.99…E+125, exact, in plain notation.

A number is parsed into sign, digits and the place of its point (`Parts`: 12.5 is `"125"` with the point after two digits), and
then written canonically, measured, or encoded so that the bytes compare as the numbers do. Sums are computed by `decimal` with a
context of 38 digits that raises instead of rounding.
(Amazon DynamoDB Developer Guide, "Supported data types and naming rules", Number.)
"""

from __future__ import annotations

import decimal
import re
from functools import lru_cache
from typing import NamedTuple

from zonal.dynamo.error_messages import TwoMessages
from zonal.foundation.errors import AwsError

DIGITS = 38
_LARGEST_INT = 2**31 - 1
_LARGEST_LONG = 2**63
_TEXT = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?", re.ASCII)
_OVERFLOW = "Number overflow. Attempting to store a number with magnitude larger than supported range"
_UNDERFLOW = "Number underflow. Attempting to store a number with magnitude smaller than supported range"
_NOT_NUMERIC = "The parameter cannot be converted to a numeric value"
_TOO_LONG = "Attempting to store more than 38 significant digits in a Number"
_ARITHMETIC = decimal.Context(prec=400, Emin=-9999, Emax=9999)


class Parts(NamedTuple):
    """A parsed number: `0.digits x 10^point`, negative or not. Zero has no digits."""

    negative: bool
    digits: str
    point: int


def canonical(text: str) -> str:
    """The number as DynamoDB returns it. Raises `ValidationException` for a text that is not a number or out of range."""
    if text.isdigit() and text.isascii() and len(text) <= DIGITS and (text[0] != "0" or len(text) == 1):
        return text
    return _write(parse(text))


@lru_cache(maxsize=4096)
def parse(text: str) -> Parts:
    """Parse a number. Raises AWS's `ValidationException`."""
    if not text:
        raise TwoMessages(_NOT_NUMERIC, f"{_NOT_NUMERIC}: ")
    match = _TEXT.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise AwsError("ValidationException", f"{_NOT_NUMERIC}: {text}")
    whole, fraction, exponent = match[2] or "", match[3] or "", match[4] or "0"
    if not -_LARGEST_LONG <= int(exponent[:30]) < _LARGEST_LONG:
        raise AwsError("ValidationException", f"{_NOT_NUMERIC}: {text}")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return _zero(int(exponent))
    leading = len(whole) + len(fraction) - len(digits)
    point = len(whole) - leading + int(exponent)
    digits = digits.rstrip("0")
    if point > 126:
        if int(exponent) == _LARGEST_INT:
            # The older layer reads numbers as Java's BigDecimal, whose exponent wraps around here.
            raise TwoMessages(_UNDERFLOW, _OVERFLOW)
        raise AwsError("ValidationException", _OVERFLOW)
    if point < -129:
        raise AwsError("ValidationException", _UNDERFLOW)
    if len(digits) > DIGITS:
        raise AwsError("ValidationException", _TOO_LONG)
    return Parts(match[1] == "-", digits, point)


def _zero(exponent: int) -> Parts:
    """Zero, whose exponent must be in range although it has no effect."""
    if exponent > 125 or exponent < -130:
        raise AwsError("ValidationException", _OVERFLOW if exponent > 0 else _UNDERFLOW)
    return Parts(False, "", 0)


def size(text: str) -> int:
    """How many bytes AWS counts for a number: one, and one for each pair of decimal digits that holds a significant one."""
    negative, digits, point = parse(text)
    if not digits:
        return 1
    pairs = (len(digits) + (point & 1) + 1) // 2
    return 1 + pairs + negative


def encode(text: str) -> bytes:
    """Bytes that compare as the numbers do; no encoding is a prefix of another.

    Sign, then magnitude, then two digits a byte, then an end mark; every byte of a negative number is inverted.
    """
    negative, digits, point = parse(text)
    if not digits:
        return b"\x80"
    if len(digits) & 1:
        digits += "0"
    body = bytes([point + 129, *(int(digits[at : at + 2]) + 1 for at in range(0, len(digits), 2)), 0])
    return b"\x40" + bytes(255 - byte for byte in body) if negative else b"\xc0" + body


def hash_bytes(text: str) -> bytes:
    """The bytes AWS hashes to place a numeric partition key: base-100 digits behind a biased exponent, as its scans show."""
    negative, digits, point = parse(text)
    if not digits:
        return b"\x80"
    odd = point & 1
    padded = ("0" if odd else "") + digits
    if len(padded) & 1:
        padded += "0"
    pairs = [int(padded[at : at + 2]) for at in range(0, len(padded), 2)]
    exponent = (point + odd) // 2 - 64
    if not negative:
        return bytes([exponent & 0xFF, *(pair + 1 for pair in pairs)])
    body = [~exponent & 0xFF, *(101 - pair for pair in pairs)]
    return bytes([*body, 102] if len(pairs) < 20 else body)


def compare(left: str, right: str) -> int:
    """Negative, zero or positive, as `left` is less than, equal to or greater than `right`."""
    if left == right:
        return 0
    first, second = decimal.Decimal(left), decimal.Decimal(right)
    return (first > second) - (first < second)


def add(left: str, right: str) -> str:
    """The exact sum; raises `ValidationException` where it needs more than 38 digits or leaves the range."""
    return _result(_ARITHMETIC.add(decimal.Decimal(left), decimal.Decimal(right)))


def subtract(left: str, right: str) -> str:
    """The exact difference; raises like `add`."""
    return _result(_ARITHMETIC.subtract(decimal.Decimal(left), decimal.Decimal(right)))


def _result(number: decimal.Decimal) -> str:
    """A result as DynamoDB returns it. AWS reports a result of too many digits as an overflow, whatever its magnitude."""
    try:
        return canonical(str(number))
    except AwsError as error:
        if error.message == _TOO_LONG:
            raise AwsError("ValidationException", _OVERFLOW) from None
        raise


def _write(parts: Parts) -> str:
    negative, digits, point = parts
    if not digits:
        return "0"
    if point <= 0:
        text = "0." + "0" * -point + digits
    elif point >= len(digits):
        text = digits + "0" * (point - len(digits))
    else:
        text = digits[:point] + "." + digits[point:]
    return "-" + text if negative else text
