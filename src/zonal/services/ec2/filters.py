"""Filters of the Describe operations, evaluated on what would be answered.

A filter names a property and gives values; a thing passes a filter if the property has any of the values, and is described if it
passes all filters. `*` stands for any text, `?` for one character, a backslash takes their meaning away ("List and filter
using the CLI and API" in the EC2 User Guide). Each operation has a table from filter names to paths in its answers
(`{"cidr-block-association.state": "CidrBlockAssociationSet.CidrBlockState.State"}`); lists on a path are looked through.

>>> passes({"VpcId": "vpc-1", "Tags": [{"Key": "Name", "Value": "shop"}]}, [{"Name": "tag:Name", "Values": ["sh?p"]}], {})
True
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from zonal.foundation.errors import AwsError

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import FilterTypeDef

Paths = Mapping[str, str]
"""From a filter's name to the path of the property in the answer."""

TAG_PATHS: Paths = {"tag-key": "Tags.Key", "tag-value": "Tags.Value"}
_MOST_FILTERS = 50
_MOST_VALUES = 200


def check(filters: Iterable[FilterTypeDef], paths: Paths) -> None:
    """Raise `InvalidParameterValue` for a filter that the operation does not have, `FilterLimitExceeded` for too many."""
    given = list(filters)
    for each in given:
        name = each.get("Name") or ""
        if name not in paths and name not in TAG_PATHS and not name.startswith("tag:"):
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        if len(each.get("Values") or ()) > _MOST_VALUES:
            raise AwsError("FilterLimitExceeded", f"The maximum number of filter values specified on a single call is {_MOST_VALUES}")
    if len(given) > _MOST_FILTERS:
        raise AwsError("FilterLimitExceeded", f"The maximum number of filters specified on a single call is {_MOST_FILTERS}")


def passes(answer: Mapping[str, object], filters: Iterable[FilterTypeDef], paths: Paths) -> bool:
    """Whether what would be answered passes all filters."""
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
    """Every value at a path, as the text that a filter compares with."""
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
