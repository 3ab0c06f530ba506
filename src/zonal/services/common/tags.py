"""Tags: the limits that hold in every service, checked in each service's own order and with its own errors.

A resource has at most 50 tags with different keys; a key has 1 to 128 characters, a value at most 256, and keys that begin with `aws:`
are AWS's own ("Tagging AWS resources" in the AWS General Reference). A service states its `TagRules` once. Tags live in the
record of what they describe, as a mapping from key to value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict

from zonal.foundation.errors import AwsError

MOST_TAGS = 50
LONGEST_KEY = 128
LONGEST_VALUE = 256


class ShownTag(TypedDict):
    """A tag as requests and answers hold it."""

    Key: str
    Value: str


TagCheck = Callable[[str | None, str | None], AwsError | None]
"""The error of a tag (key and value, None where the request has none), or None where this check finds nothing wrong."""


class TagRules(NamedTuple):
    """A service's rules. `checks` run for each tag in this order; `too_many(count)` is the error of more than `most` tags.

    `repeated(key)` is the error of two tags with one key in a request; None where the last one counts. `counts_first` has the number
    checked before the tags, `repeats_first` has repeated keys looked for before them.
    """

    checks: tuple[TagCheck, ...]
    too_many: Callable[[int], AwsError]
    repeated: Callable[[str], AwsError] | None = None
    most: int = MOST_TAGS
    counts_first: bool = False
    repeats_first: bool = False

    def merged(self, present: Mapping[str, str], added: Iterable[Mapping[str, Any]]) -> dict[str, str]:
        """The tags after adding some. Raises the service's errors."""
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
        """Raise the first error of one tag."""
        for check in self.checks:
            if (error := check(key, value)) is not None:
                raise error

    def check_count(self, count: int) -> None:
        """Raise where a resource would have more tags than it may."""
        if count > self.most:
            raise self.too_many(count)

    def _check_repeats(self, tags: Iterable[tuple[str | None, str | None]]) -> None:
        seen: set[str] = set()
        for key, _ in tags:
            if (key or "") in seen and self.repeated is not None:
                raise self.repeated(key or "")
            seen.add(key or "")


def is_reserved(key: str) -> bool:
    """Whether a key is one of AWS's own."""
    return key.lower().startswith("aws:")


def without(present: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """The tags after removing some, by their keys."""
    removed = set(keys)
    return {key: value for key, value in present.items() if key not in removed}


def shown(tags: Mapping[str, str]) -> list[ShownTag]:
    """Tags as an answer holds them, in the order of their keys."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
