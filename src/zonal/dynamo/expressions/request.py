"""Checks all expressions of a request in AWS's order, and caches their trees.

Names and values are checked first, then the expressions in the order update, condition, key condition, filter, projection, and last that
every name and value is used. Parsing depends on the text alone and is cached. The resolved tree is cached for the text, names and types of
values, because an application sends the same few expressions repeatedly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from zonal.dynamo.error_messages import TwoMessages, with_newer_message
from zonal.dynamo.expressions import conditions, projections, updates
from zonal.dynamo.expressions import key_conditions as key_conditions_module
from zonal.dynamo.expressions.ast import Condition, Path
from zonal.dynamo.expressions.key_conditions import KeyCondition
from zonal.dynamo.expressions.operands import AttributeNames
from zonal.dynamo.expressions.tokens import ExpressionError, TooLong
from zonal.dynamo.expressions.updates import Update
from zonal.dynamo.items import Value, kind_and_body, settle, validation
from zonal.foundation.errors import AwsError

_NAME = re.compile(r"#[0-9a-zA-Z_]+")
_VALUE = re.compile(r":[0-9a-zA-Z_]+")
_CACHE_SIZE = 2000
MAX_NAMES_SIZE = 2 * 1024 * 1024


class Expressions(NamedTuple):
    """The trees of a request's expressions; None for an absent one. `values` are its settled expression attribute values."""

    update: Update | None = None
    condition: Condition | None = None
    key_conditions: dict[str, KeyCondition] | None = None
    filter: Condition | None = None
    projection: tuple[Path, ...] | None = None
    values: Mapping[str, Value] = MappingProxyType({})
    condition_paths: frozenset[str] = frozenset()
    filter_paths: frozenset[str] = frozenset()
    nested: tuple[str, ...] = ()
    """First names of document paths with more than one step, in all expressions; a key attribute among them is an error."""


NONE = Expressions()
_PARAMETERS = ("UpdateExpression", "ConditionExpression", "KeyConditionExpression", "FilterExpression", "ProjectionExpression")


def read(request: Mapping[str, Any]) -> Expressions:
    """The expressions of a request. Raises AWS's `ValidationException`."""
    names, values = request.get("ExpressionAttributeNames"), request.get("ExpressionAttributeValues")
    texts = tuple(request.get(parameter) for parameter in _PARAMETERS)
    if names is None and values is None and not any(text is not None for text in texts):
        return NONE
    if names is not None:
        _check_names(names)
    if values is not None:
        _check_values(values)
    shape = tuple((name, kind_and_body(value)[0]) for name, value in values.items()) if values else ()
    key = (texts, tuple(names.items()) if names else (), shape)
    cached = _CACHE.get(key)
    if cached is not None:
        return cached.with_values(values or {})
    found, cacheable = _read(texts, AttributeNames(names, values))
    if cacheable:
        if len(_CACHE) >= _CACHE_SIZE:
            _CACHE.clear()
        _CACHE[key] = _Remembered(found)
    return found


class _Remembered:
    """The cached expressions of requests that differ in values only. Key conditions hold values, the others refer to them."""

    def __init__(self, found: Expressions) -> None:
        self._found = found
        names = {id(value): name for name, value in found.values.items()}
        conditions = (found.key_conditions or {}).items()
        self._keys = [(part, each.operator, [names[id(value)] for value in each.values]) for part, each in conditions]

    def with_values(self, values: Mapping[str, Value]) -> Expressions:
        found, keys = self._found, None
        if found.key_conditions is not None:
            keys = {part: KeyCondition(operator, tuple([values[name] for name in names])) for part, operator, names in self._keys}
        return Expressions(
            found.update,
            found.condition,
            keys,
            found.filter,
            found.projection,
            values,
            found.condition_paths,
            found.filter_paths,
            found.nested,
        )


_CACHE: dict[Any, _Remembered] = {}


def _read(texts: tuple[str | None, ...], names: AttributeNames) -> tuple[Expressions, bool]:
    update_text, condition_text, key_text, filter_text, projection_text = texts
    update = _bound("UpdateExpression", update_text, _parse_update, updates.bind, names)
    condition = _bound("ConditionExpression", condition_text, _parse_condition, conditions.bind, names)
    _bound("KeyConditionExpression", key_text, _parse_condition, conditions.bind, names)
    filter = _bound("FilterExpression", filter_text, _parse_condition, conditions.bind, names)
    projection = _bound("ProjectionExpression", projection_text, _parse_projection, projections.bind, names)
    _check_unused("ExpressionAttributeNames", names.names, names.used_names)
    _check_unused("ExpressionAttributeValues", names.values, names.used_values)
    keys = None if key_text is None else key_conditions_module.key_conditions(_parse_condition(key_text).root, names)
    paths = {
        "update": _update_paths(update_text, names),
        "condition": _condition_paths(condition_text, names),
        "filter": _condition_paths(filter_text, names),
        "projection": list(projection or ()),
    }
    expressions = Expressions(
        update,
        condition,
        keys,
        filter,
        projection,
        names.values,
        frozenset(str(path.steps[0]) for path in paths["condition"]),
        frozenset(str(path.steps[0]) for path in paths["filter"]),
        tuple(dict.fromkeys(str(path.steps[0]) for found in paths.values() for path in found if len(path.steps) > 1)),
    )
    values_matter = any(map(_values_matter, (condition_text, key_text, filter_text)))
    return expressions, not values_matter


def _bound(
    parameter: str, text: str | None, parse: Callable[[str], Any], bind: Callable[[Any, AttributeNames], Any], names: AttributeNames
) -> Any:
    if text is None:
        return None
    try:
        return bind(parse(text), names)
    except TooLong as error:
        size = "" if parameter == "UpdateExpression" else f" expression size: {error.size}"
        raise validation(f"Invalid {parameter}: {error}{size}") from None
    except ExpressionError as error:
        raise validation(f"Invalid {parameter}: {error}") from None


_parse_condition = lru_cache(maxsize=_CACHE_SIZE)(conditions.parse)
_parse_update = lru_cache(maxsize=_CACHE_SIZE)(updates.parse)
_parse_projection = lru_cache(maxsize=_CACHE_SIZE)(projections.parse)


def _values_matter(text: str | None) -> bool:
    """Whether a condition's validity depends on the values, not only on their types (order of bounds, a type's name)."""
    if text is None:
        return False
    return any(condition.operator in ("BETWEEN", "attribute_type") for condition in _parse_condition(text).simple)


def _check_names(names: Mapping[str, str]) -> None:
    if not names:
        raise validation("ExpressionAttributeNames must not be empty")
    for name in names:
        if not _is_name(name):
            raise validation(f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{name}"')


def _check_values(values: Mapping[str, Value]) -> None:
    if not values:
        raise validation("ExpressionAttributeValues must not be empty")
    for name in values:
        if not _is_value_name(name):
            raise validation(f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{name}"')
    for name, value in values.items():
        try:
            settle(value)
        except AwsError as error:
            older = f"ExpressionAttributeValues contains invalid value: {error.message} for key {name}"
            raise TwoMessages(older, with_newer_message(error).message) from None


@lru_cache(maxsize=_CACHE_SIZE)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


@lru_cache(maxsize=_CACHE_SIZE)
def _is_value_name(name: str) -> bool:
    return _VALUE.fullmatch(name) is not None


def _check_unused(parameter: str, given: Mapping[str, Any], used: set[str]) -> None:
    unused = [name for name in given if name not in used]
    if unused:
        raise validation(f"Value provided in {parameter} unused in expressions: keys: {{{', '.join(unused)}}}")


def _condition_paths(text: str | None, names: AttributeNames) -> list[Path]:
    if text is None:
        return []
    return [names.path(raw) for condition in _parse_condition(text).simple for raw in _raw_paths(condition.operands)]


def _update_paths(text: str | None, names: AttributeNames) -> list[Path]:
    if text is None:
        return []
    draft = _parse_update(text)
    raws = [raw for action in draft.actions for raw in _raw_paths((action.path, action.value))]
    return [names.path(raw) for raw in raws]


def _raw_paths(operands: tuple[Any, ...]) -> list[Any]:
    found: list[Any] = []
    for operand in operands:
        if hasattr(operand, "steps"):
            found.append(operand)
        elif hasattr(operand, "operands"):
            found += _raw_paths(operand.operands)
    return found
