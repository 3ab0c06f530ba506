"""Filters of describe and list operations: validation and evaluation.

A filter names a property and lists values. An item passes a filter if the property equals any of the values, and is returned if it passes
every filter. There are two kinds. EC2-style filters match patterns against the rendered response: `*` matches any text, `?` one character,
a backslash escapes them ("List and filter using the CLI and API" in the EC2 User Guide). An operation maps filter names to paths in its
response (`{"cidr-block-association.state": "CidrBlockAssociationSet.CidrBlockState.State"}`); a list on a path matches if any of its items
does. RDS-style filters compare whole values.

>>> passes({"VpcId": "vpc-1", "Tags": [{"Key": "Name", "Value": "shop"}]}, [{"Name": "tag:Name", "Values": ["sh?p"]}], {})
True
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from zonal.foundation.errors import AwsError

Filter = Mapping[str, Any]
"""One filter of a request: `Name` and `Values`."""

Paths = Mapping[str, str]
"""Maps a filter's name to the path of its property in the response."""

TAG_PATHS: Paths = {"tag-key": "Tags.Key", "tag-value": "Tags.Value"}


def by_name(
    filters: Iterable[Filter], known: Collection[str], *, unknown: Callable[[str], AwsError], empty: Callable[[str], AwsError]
) -> dict[str, list[str]]:
    """The values of each filter, by name. Raises `unknown(name)` for a filter not in `known`, `empty(name)` for one without values."""
    found: dict[str, list[str]] = {}
    for each in filters:
        name = str(each.get("Name") or "")
        if name not in known:
            raise unknown(name)
        values = list(each.get("Values") or ())
        if not values:
            raise empty(name)
        found[name] = values
    return found


def has_values(properties: Mapping[str, Collection[str]], asked: Mapping[str, Collection[str]]) -> bool:
    """Whether an item with these properties passes RDS-style filters."""
    return all(any(value in properties[name] for value in values) for name, values in asked.items())


def passes(answer: Mapping[str, object], filters: Iterable[Filter], paths: Paths) -> bool:
    """Whether a rendered item passes EC2-style filters."""
    return all(_passes_one(answer, each.get("Name") or "", each.get("Values") or (), paths) for each in filters)


def _passes_one(answer: Mapping[str, object], name: str, patterns: Sequence[str], paths: Paths) -> bool:
    if name.startswith("tag:"):
        tags = answer.get("Tags") or answer.get("TagSet") or ()
        assert isinstance(tags, Iterable)
        values: Iterator[str] = (tag["Value"] for tag in tags if tag["Key"] == name[4:])
    else:
        values = _at(answer, (paths.get(name) or TAG_PATHS[name]).split("."))
    return any(_pattern(pattern).fullmatch(value) for value in values for pattern in patterns)


def _at(value: object, path: Sequence[str]) -> Iterator[str]:
    """Every value at a path, as the text that a filter's pattern is matched with."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _at(item, path)
    elif path and isinstance(value, Mapping):
        if value.get(path[0]) is not None:
            yield from _at(value[path[0]], path[1:])
    elif not path and not isinstance(value, Mapping):
        yield _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    return str(value)


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    pieces = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.compile("".join(_piece(piece) for piece in pieces), re.DOTALL)


def _piece(piece: str) -> str:
    if piece == "*":
        return ".*"
    if piece == "?":
        return "."
    return re.escape(piece[1:] if len(piece) == 2 else piece)
