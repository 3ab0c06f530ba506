"""Pages of a list: how many items one answer holds, and the token of the next page.

A service states its parameter names, bounds and errors as a `Paging`; `Paging.page` cuts the page. The token names the last item of a
page, so that pages neither repeat nor skip an item that stays, whatever is created or deleted between two calls. It is opaque and
belongs to the operation that gave it. A service whose model demands another shape of token gives a `token_of` of its own.
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
    """What one call answers: the items, and the token of the next page (None on the last one)."""

    items: Sequence[R]
    token: str | None

    def of(self, items: Iterable[T]) -> Page[T]:
        """The page with other items, its own as they are shown, for instance."""
        return Page(list(items), self.token)

    def members(self, name: str, token_name: str) -> dict[str, object]:
        """The answer's members: the items under `name`, and the token, if there is one."""
        return {name: list(self.items)} | ({token_name: self.token} if self.token else {})


class Paging(NamedTuple):
    """A service's way of paging. `default` is the size of a page where the request names none; None stands for everything.

    `out_of_bounds(size, fewest, most)` and `wrong_token(token)` make the service's errors. `digest` makes a token that cannot be read
    back, for models that bound the token's length or alphabet; such a token is valid while the item that it names is in the list.
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
        """The page of `items` that the request asks for. `issuer` names the operation or list, `key` the item within it.

        Items are in ascending order of their keys; with a `digest` in any order. Raises the service's errors.
        """
        size = self._size(request)
        token = request.get(self.token_name)
        if token or (token is not None and self.digest is not None):  # An empty token is none, but not to DynamoDB.
            items = self._behind(str(token), items, issuer, key)
        if size is None or len(items) <= size:
            return Page(items, None)
        last = key(items[size - 1])
        return Page(items[:size], self.digest(last) if self.digest else _token(last, issuer))

    def bounded(self, *, fewest: int | None = None, most: int | None = None) -> Paging:
        """The same for an operation with other bounds."""
        return self._replace(fewest=self.fewest if fewest is None else fewest, most=self.most if most is None else most)

    def _size(self, request: Mapping[str, object]) -> int | None:
        size = request.get(self.size_name)
        if size is None:
            return self.default
        assert isinstance(size, int), "the wire has checked the type"
        if not self.fewest <= size <= self.most:
            raise self.out_of_bounds(size, self.fewest, self.most)
        return size

    def _behind(self, token: str, items: Sequence[T], issuer: str, key: Callable[[T], str]) -> Sequence[T]:
        """The items that follow the one that a token names."""
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
    """The key in a token of this issuer; None where it is not one."""
    try:
        named, _, last = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition("\0")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return last if named == issuer and last else None
