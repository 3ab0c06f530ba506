"""Tags: the limits that all services share, checked in each service's order and with its errors.

A resource has at most 50 tags with unique keys; a key has 1 to 128 characters, a value at most 256; keys that begin with `aws:` are
reserved ("Tagging AWS resources" in the AWS General Reference). Each service defines its `TagRules`. Tags are stored in the record of the
tagged resource, as a mapping from key to value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict

from zonal.foundation.errors import AwsError

MOST_TAGS = 50
LONGEST_KEY = 128
LONGEST_VALUE = 256


class ShownTag(TypedDict):
    """A tag in a request or response."""

    Key: str
    Value: str


TagCheck = Callable[[str | None, str | None], AwsError | None]
"""Returns the error of a tag, or None if it is valid. Key and value are None if the request omits them."""


class TagRules(NamedTuple):
    """A service's rules. `checks` run for each tag in this order; `too_many(count)` is the error for more than `most` tags.

    `repeated(key)` is the error for a duplicate key in a request; if None, the last value wins. `counts_first` checks the number of tags
    before the tags themselves, `repeats_first` the duplicates.
    """

    checks: tuple[TagCheck, ...]
    too_many: Callable[[int], AwsError]
    repeated: Callable[[str], AwsError] | None = None
    most: int = MOST_TAGS
    counts_first: bool = False
    repeats_first: bool = False

    def merged(self, present: Mapping[str, str], added: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """The existing tags plus the added ones. Raises the service's errors."""
        tags = [(tag.get("Key"), tag.get("Value")) for tag in added]
        if self.counts_first:
            self.check_count(len(tags))
        if self.repeats_first:
            self._check_repeats(tags)
        given: dict[str, str] = {}
        for key, value in tags:
            self.check(key, value)
            key = key or ""
            if key in given and self.repeated is not None:
                raise self.repeated(key)
            given[key] = value or ""
        result = dict(present) | given
        self.check_count(len(result))
        return result

    def check(self, key: str | None, value: str | None = "") -> None:
        """Raises the first error of one tag."""
        for check in self.checks:
            if (error := check(key, value)) is not None:
                raise error

    def check_count(self, count: int) -> None:
        """Raises if a resource would have more than `most` tags."""
        if count > self.most:
            raise self.too_many(count)

    def _check_repeats(self, tags: Iterable[tuple[str | None, str | None]]) -> None:
        seen: set[str] = set()
        for key, _ in tags:
            if (key or "") in seen and self.repeated is not None:
                raise self.repeated(key or "")
            seen.add(key or "")


def is_reserved(key: str) -> bool:
    """Whether a key is reserved for AWS."""
    return key.lower().startswith("aws:")


def without(present: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """The tags without these keys."""
    removed = set(keys)
    return {key: value for key, value in present.items() if key not in removed}


def shown(tags: Mapping[str, str]) -> list[ShownTag]:
    """Tags in a response's form, ordered by key."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
