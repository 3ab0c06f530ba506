"""Checks parameters against the model's constraints, as each service does, with its error messages.

Services do this in three ways. Most services run AWS's common framework, which checks required members, lengths, ranges, patterns and enums
before the operation sees the request, and reports all of it at once: `2 validation errors detected: Value 'a' at 'tableName' failed to
satisfy constraint: Member must have length greater than or equal to 3; …` (ValidationException, in Query services ValidationError). EC2,
RDS and their family check required members only (MissingParameter) and leave the rest to the operation. S3 answers MalformedXML or
InvalidArgument.

A shape's checks compile once. `_fine` returns quickly whether all constraints hold; if not, `_problems` checks again and builds the
messages.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from zonal.foundation.errors import AwsError
from zonal.wire import constraints
from zonal.wire.dispatch import EC2, JSON, QUERY, Located
from zonal.wire.scalars import Malformed
from zonal.wire.service_models import Shape

_REQUIRED_ONLY = frozenset({"ec2", "rds", "elasticache", "redshift", "neptune", "docdb", "autoscaling", "s3"})
_OWN_ENUMS = frozenset({"string"})


def check(located: Located, shape: Shape, values: dict[str, Any]) -> None:
    """Raises `AwsError` if the values break a constraint that this service checks."""
    full = located.dialect.name not in _REQUIRED_ONLY
    if _fine(shape, full)(values):
        return
    found = list(_problems(shape, values, "", full))
    if not found:
        return
    if full:
        raise _constraints_broken(located, found)
    path = found[0][0]
    if located.dialect.name == "s3":
        if path == shape.payload:
            raise AwsError("MissingRequestBodyError", "Request Body is empty")
        if path in shape.members and shape.members[path].location == "header":
            name = (shape.members[path].location_name or path).lower()
            raise AwsError("InvalidRequest", f"Missing required header for this request: {name}")
        raise AwsError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
    name = path.rpartition(".")[2]
    raise AwsError("MissingParameter", f"The request must contain the parameter {name}")


def wrong_type(located: Located, problem: Malformed) -> AwsError:
    """The service's error for a value that does not have its type."""
    if located.dialect.name == "s3":
        return _wrong_argument(located, problem)
    if located.dialect.protocol == EC2:
        name = problem.path.rpartition(".")[2]
        name = name[:1].lower() + name[1:]
        if problem.type:
            return AwsError("InvalidParameterValue", f"Invalid value '{problem.text}' for {name}. {_valid_type_required(problem)}")
        return AwsError("InvalidParameterValue", f"Invalid value for {name}: {problem.reason}")
    if located.dialect.protocol == QUERY:
        return AwsError("MalformedInput", f"{problem.path}: {problem.reason}")
    if located.dialect.protocol == JSON:
        return AwsError("SerializationException", problem.reason)
    return AwsError("SerializationException", f"{problem.path}: {problem.reason}" if problem.path else problem.reason)


def _wrong_argument(located: Located, problem: Malformed) -> AwsError:
    """S3's error, which names an argument as on the wire."""
    shape = located.operation.input
    member = shape.members.get(problem.path) if shape is not None else None
    name = (member.location_name if member is not None else None) or problem.path
    is_number = problem.type in ("integer", "long")
    message = f"Provided {name} not an integer or within integer range" if is_number else f"Argument {name}: {problem.reason}"
    return AwsError("InvalidArgument", message, fields={"ArgumentName": name, "ArgumentValue": problem.text})


def _valid_type_required(problem: Malformed) -> str:
    return f"The value must be a valid {problem.type}."


def _constraints_broken(located: Located, found: list[tuple[str, str]]) -> AwsError:
    message = constraints.summary([problem for _, problem in found])
    return AwsError("ValidationError" if located.dialect.protocol == QUERY else "ValidationException", message)


ValueCheck = Callable[[Any], bool]


@functools.cache
def _fine(shape: Shape, full: bool) -> ValueCheck:
    """A function that returns whether a value meets all constraints. Shapes without constraints are not visited."""
    if not _constrains(shape, full):
        return _anything
    if shape.type == "structure":
        return _fine_structure(shape, full)
    own = _fine_self(shape) if full and _has_own(shape) else _anything
    if shape.type == "list":
        return _fine_list(shape, full, own)
    if shape.type == "map":
        return _fine_map(shape, full, own)
    return own


def _anything(value: Any) -> bool:
    return True


def _fine_structure(shape: Shape, full: bool) -> ValueCheck:
    required = [name for name in shape.definition.required if not _is_auto(shape, name)]
    checks: dict[str, ValueCheck] | None = None

    def fine(value: Any) -> bool:
        nonlocal checks
        if checks is None:  # Compiled at first use, because shapes may be recursive.
            checks = {name: _fine(member, full) for name, member in shape.members.items() if _constrains(member, full)}
        for name in required:
            if name not in value:
                return False
        for name, item in value.items():
            check = checks.get(name)
            if check is not None and not check(item):
                return False
        return True

    return fine


def _fine_list(shape: Shape, full: bool, own: ValueCheck) -> ValueCheck:
    def fine(value: Any) -> bool:
        member = _fine(shape.member, full)
        return own(value) and (member is _anything or all(item is None or member(item) for item in value))

    return fine


def _fine_map(shape: Shape, full: bool, own: ValueCheck) -> ValueCheck:
    def fine(value: Any) -> bool:
        key, member = _fine(shape.key, full), _fine(shape.value, full)
        if not own(value):
            return False
        return all(key(name) and (item is None or member(item)) for name, item in value.items())

    return fine


def _fine_self(shape: Shape) -> ValueCheck:
    definition = shape.definition
    low, high = definition.min, definition.max
    if shape.type in ("string", "list", "map") and definition.pattern is None and not definition.enum:
        least, most = low if low is not None else 0, high if high is not None else float("inf")
        return lambda value: least <= len(value) <= most
    return lambda value: next(_own_problems(shape, value), None) is None


def _is_auto(shape: Shape, name: str) -> bool:
    """Whether a required member may be absent: a streamed body may be empty."""
    member = shape.members[name]
    return member.type == "blob" and shape.payload == name


@functools.cache
def _constrains(shape: Shape, full: bool) -> bool:
    """Whether a shape, or one that it contains, has a constraint that is checked."""
    seen: set[str] = set()
    waiting = [shape]
    while waiting:
        each = waiting.pop()
        if each.name in seen or each.definition.document:
            continue
        seen.add(each.name)
        definition = each.definition
        if definition.required or (full and _has_own(each)):
            return True
        waiting += each.members.values() if each.type == "structure" else ()
        waiting += [each.member] if each.type == "list" else [each.key, each.value] if each.type == "map" else []
    return False


def _has_own(shape: Shape) -> bool:
    definition = shape.definition
    return definition.min is not None or definition.max is not None or definition.pattern is not None or bool(definition.enum)


def _problems(shape: Shape, value: Any, path: str, full: bool) -> Iterator[tuple[str, str]]:
    """Every broken constraint below `path`, with its path and AWS's message."""
    if full and shape.type != "structure":
        for message in _own_problems(shape, value):
            yield path, constraints.failure(_shown(shape, value), path, message)
    if shape.type == "structure" and not shape.definition.document:
        for name in shape.definition.required:
            if name not in value and not _is_auto(shape, name):
                where = _below(path, name, full)
                yield where, constraints.failure("null", where, constraints.NOT_NULL)
        for name, item in value.items():
            yield from _problems(shape.members[name], item, _below(path, name, full), full)
    elif shape.type == "list":
        for number, item in enumerate(value, 1):
            if item is not None:
                yield from _problems(shape.member, item, f"{path}.{number}.member", full)
    elif shape.type == "map":
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{path}.{key[:100]}", full)
            if item is not None:
                yield from _problems(shape.value, item, f"{path}.{key[:100]}.member", full)


def _below(path: str, name: str, full: bool) -> str:
    if full:
        name = name[:1].lower() + name[1:]
    return f"{path}.{name}" if path else name


def _own_problems(shape: Shape, value: Any) -> Iterator[str]:
    definition, kind = shape.definition, shape.type
    if kind in ("string", "blob", "list", "map"):
        if hasattr(value, "__len__"):
            yield from constraints.broken_length(len(value), *constraints.bounds(definition))
    elif kind in ("integer", "long", "float", "double"):
        yield from constraints.broken_range(value, *constraints.bounds(definition))
    if kind in _OWN_ENUMS and definition.enum and value not in definition.enum:
        yield constraints.enum(definition.enum)
    if kind == "string" and definition.pattern is not None and not _matches(definition.pattern, value):
        yield constraints.pattern(definition.pattern)


def _shown(shape: Shape, value: Any) -> str:
    if shape.type in ("list", "map"):
        return f"'{str(value)[:200]}'"
    return f"'{value}'" if len(str(value)) <= 1000 else f"'{str(value)[:1000]}…'"


def _matches(pattern: str, text: str) -> bool:
    """Whether text matches a model's pattern, as a whole, like in Java. A pattern that Python cannot compile accepts everything."""
    compiled = _compiled(pattern)
    if compiled is None or len(text) > 4096:
        return True
    return (compiled.search(text) if pattern.startswith("^") else compiled.fullmatch(text)) is not None


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    python = pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF").replace(r"\z", r"\Z")
    if r"\p{" in python:
        return None
    try:
        return re.compile(python)
    except re.error:
        return None
