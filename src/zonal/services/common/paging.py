"""Pagination: page sizes and continuation tokens.

A service sets its parameter names, bounds and errors in a `Paging`; `Paging.page` selects the page. The token encodes the key of the last
item returned, so an item that exists throughout is neither repeated nor skipped when others are created or deleted between two calls.
Tokens are opaque and valid only for the operation that returned them. A service whose model restricts a token's length or alphabet sets
`digest`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from zonal.foundation.errors import AwsError

T = TypeVar("T")
R = TypeVar("R")


class Page(NamedTuple, Generic[R]):
    """The items of one response, and the token of the next page (None on the last page)."""

    items: Sequence[R]
    token: str | None

    def of(self, items: Iterable[T]) -> Page[T]:
        """The same page with other items, for example the rendered ones."""
        return Page(list(items), self.token)

    def members(self, name: str, token_name: str) -> dict[str, object]:
        """The response's members: the items under `name`, and the token if there is a next page."""
        return {name: list(self.items)} | ({token_name: self.token} if self.token else {})


class Paging(NamedTuple):
    """A service's pagination. `default` is the page size of a request without one; None returns everything.

    `out_of_bounds(size, fewest, most)` and `wrong_token(token)` create the service's errors. `digest` replaces the encoded key by a hash of
    it; such a token is valid while its item is in the list.
    """

    size_name: str
    token_name: str
    fewest: int
    most: int
    out_of_bounds: Callable[[int, int, int], AwsError]
    wrong_token: Callable[[str], AwsError]
    default: int | None = None
    digest: Callable[[str], str] | None = None

    def page(self, items: Sequence[T], request: Mapping[str, object], *, issuer: str, key: Callable[[T], str]) -> Page[T]:
        """The requested page of `items`. `issuer` names the operation or list; `key` returns an item's unique key.

        Items must be in ascending order of their keys, with a `digest` in any order. Raises the service's errors.
        """
        size = self._size(request)
        token = request.get(self.token_name)
        if token or (token is not None and self.digest is not None):  # Services ignore an empty token, except DynamoDB.
            items = self._behind(str(token), items, issuer, key)
        if size is None or len(items) <= size:
            return Page(items, None)
        last = key(items[size - 1])
        return Page(items[:size], self.digest(last) if self.digest else _token(last, issuer))

    def bounded(self, *, fewest: int | None = None, most: int | None = None) -> Paging:
        """A copy with other bounds, for one operation."""
        return self._replace(fewest=self.fewest if fewest is None else fewest, most=self.most if most is None else most)

    def _size(self, request: Mapping[str, object]) -> int | None:
        size = request.get(self.size_name)
        if size is None:
            return self.default
        assert isinstance(size, int), "the request parser checks the type"
        if not self.fewest <= size <= self.most:
            raise self.out_of_bounds(size, self.fewest, self.most)
        return size

    def _behind(self, token: str, items: Sequence[T], issuer: str, key: Callable[[T], str]) -> Sequence[T]:
        """The items after the token's item."""
        if self.digest is None:
            last = _last(token, issuer)
            if last is None:
                raise self.wrong_token(token)
            return [item for item in items if key(item) > last]
        for position, item in enumerate(items, start=1):
            if self.digest(key(item)) == token:
                return items[position:]
        raise self.wrong_token(token)


def _token(last: str, issuer: str) -> str:
    return base64.urlsafe_b64encode(f"{issuer}\0{last}".encode()).decode()


def _last(token: str, issuer: str) -> str | None:
    """The key in a token; None if the token is malformed or of another issuer."""
    try:
        named, _, last = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition("\0")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return last if named == issuer and last else None
