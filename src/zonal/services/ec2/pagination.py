"""Pages of the Describe operations: `MaxResults` and `NextToken`.

A token names the last item that was answered, so pages neither repeat nor skip an item that stays, whatever is created or deleted
between them. It is opaque and belongs to the operation that gave it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from zonal.foundation.errors import AwsError

T = TypeVar("T")

FEWEST = 5
MOST = 1000
"""EC2's bounds for `MaxResults`; some operations have others."""


class Page(NamedTuple):
    """What one call answers: the items, and the token of the next page (None on the last one)."""

    items: Sequence[object]
    next_token: str | None


def page(
    items: Sequence[T],
    request: Mapping[str, object],
    *,
    operation: str,
    key: Callable[[T], str],
    fewest: int = FEWEST,
    most: int = MOST,
) -> Page:
    """The page of `items` that the request asks for; `items` are in the order of their keys.

    Without `MaxResults` everything that follows the token is one page. Raises `InvalidParameterValue` for a `MaxResults` out of
    bounds and `InvalidNextToken` for a token that is not this operation's.
    """
    size = request.get("MaxResults")
    token = request.get("NextToken")
    if token:
        after = _read(str(token), operation)
        items = [item for item in items if key(item) > after]
    if size is None:
        return Page(items, None)
    assert isinstance(size, int)
    if size < fewest:
        raise AwsError(
            "InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value greater than {fewest}."
        )
    if size > most:
        raise AwsError(
            "InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value less than {most}."
        )
    if len(items) <= size:
        return Page(items, None)
    return Page(items[:size], _token(key(items[size - 1]), operation))


def _token(last: str, operation: str) -> str:
    return base64.urlsafe_b64encode(f"{operation}\0{last}".encode()).decode()


def _read(token: str, operation: str) -> str:
    try:
        issuer, _, last = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition("\0")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        issuer, last = "", ""
    if issuer != operation or not last:
        raise AwsError("InvalidNextToken", f"The token '{token}' is invalid")
    return last
